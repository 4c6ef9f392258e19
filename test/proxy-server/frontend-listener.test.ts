import { once } from 'node:events'
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net'
import { connect } from 'node:tls'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import type { CertificateAndKey } from '../../src/pki/certificate.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { tlsProtocol } from '../../src/platform/cipher-suites.ts'
import type { Waiter } from '../../src/proxy-server/dialing.ts'
import { createFrontendListener } from '../../src/proxy-server/frontend-listener.ts'
import { eventually, within } from '../integration/deadline.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'
import { recordedMetrics } from './recorded-metrics.ts'
import { roomyUnread } from './roomy-unread.ts'

const HEAD = 'CONNECT 10.0.0.1:443 HTTP/1.1\r\n\r\n'
const authority = await createAuthority({ trustDomain: 'hub.example' })
const [server, apiserver, user, agent, plain] = await Promise.all([
  issueLeaf(authority, { identity: { role: 'server', id: 'hub-0' }, dnsNames: ['hub.example'] }),
  issueLeaf(authority, { identity: { role: 'apiserver', cluster: 'eu-1' } }),
  issueLeaf(authority, { identity: { role: 'user', name: 'alice' } }),
  issueLeaf(authority, { identity: { role: 'agent', cluster: 'eu-1', name: 'a1' } }),
  issueLeaf(authority, {}),
])
const ca = authority.certificatePem

/** A listener whose dials fail when the test says so; without TLS it stands for the one on a Unix socket. */
async function setup(t: Test, transport: 'tls' | 'plain' = 'tls') {
  const clock = manualClock()
  const log = recordedLog()
  const metrics = recordedMetrics()
  const dials: { readonly principal: string; readonly waiter: Waiter }[] = []
  const material = { cert: server.certificatePem, key: server.keyPem, ca }
  const listener = createFrontendListener(
    transport === 'tls' ? material : undefined,
    { protocol: tlsProtocol('', []), handshakeTimeoutMs: 10_000, trustDomain: 'hub.example' },
    {
      options: { headBytes: 16_384, headTimeoutMs: 10_000, earlyDataBytes: 65_536 },
      dialing: {
        dial(_cluster, principal, _address, waiter) {
          dials.push({ principal, waiter })
          return () => {}
        },
      },
      clock,
      log,
      metrics,
      unread: roomyUnread(),
    },
  )
  listener.server.listen(0, '127.0.0.1')
  t.teardown(() => {
    listener.server.close()
    listener.destroyAll()
  })
  await once(listener.server, 'listening')
  const { port } = listener.server.address() as AddressInfo

  async function join(who: CertificateAndKey | 'none', alpn?: string): Promise<Socket> {
    const socket =
      transport === 'plain'
        ? connectTcp({ host: '127.0.0.1', port })
        : connect({
            host: '127.0.0.1',
            port,
            servername: 'hub.example',
            ca,
            ...(alpn !== undefined && { ALPNProtocols: [alpn] }),
            ...(who !== 'none' && { cert: who.certificatePem, key: who.keyPem }),
          })
    t.teardown(() => socket.destroy())
    await within(once(socket, transport === 'plain' ? 'connect' : 'secureConnect'), 'a connection')
    socket.on('error', () => undefined)
    return socket
  }
  const counts = (count: number): Promise<unknown> =>
    eventually(`${count} clients`, listener.count, (now) => now === count)
  return { listener, clock, log, metrics, dials, port, join, counts }
}

async function answerOf(socket: Socket, head = HEAD): Promise<string> {
  const chunks: Buffer[] = []
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  const ended = once(socket, 'end')
  socket.write(head)
  await within(ended, 'the end of the answer')
  return Buffer.concat(chunks).toString()
}

t.test('dials for API servers, users and those whose certificate says no role', async (t) => {
  const { dials, join } = await setup(t)
  for (const [who, principal] of [
    [apiserver, 'cluster/eu-1/apiserver'],
    [user, 'user/alice'],
    [plain, 'O=culvert, CN=culvert'],
  ] as const) {
    const socket = await join(who)
    socket.write(HEAD)
    await eventually(
      'a dial',
      () => dials.at(-1)?.principal,
      (got) => got === principal,
    )
    socket.destroy()
  }
  t.equal(dials.length, 3)
})

t.test('answers agents and strangers with 403 and the cause, and warns of each cause once in a while', async (t) => {
  const { dials, join, metrics, log, clock } = await setup(t)
  t.match(await answerOf(await join(agent)), /^HTTP\/1.1 403 .*it is an agent certificate, and this port is for/)
  t.match(await answerOf(await join('none')), /^HTTP\/1.1 403 .*none was sent/)
  t.match(await answerOf(await join('none')), /^HTTP\/1.1 403 .*none was sent/)
  t.equal(dials.length, 0)
  t.strictSame(metrics.counted, Array(3).fill(['clientForbidden', 'frontend']))
  clock.advance(60_000)
  await answerOf(await join('none'))
  t.match(
    log.lines.filter(({ message }) => message === 'client certificate not accepted'),
    [
      { level: 'warn', fields: { cause: /^it is an agent certificate/, remote: '127.0.0.1' } },
      { level: 'warn', fields: { cause: 'none was sent' } },
      { level: 'debug', fields: { cause: 'none was sent' } },
      { level: 'warn', fields: { cause: 'none was sent', repeated: 1 } },
    ],
  )
})

t.test('takes everybody who reaches its Unix socket', async (t) => {
  const { dials, join } = await setup(t, 'plain')
  const socket = await join('none')
  socket.write(HEAD)
  await eventually(
    'a dial',
    () => dials[0]?.principal,
    (principal) => principal === 'unix-socket',
  )
})

t.test('speaks HTTP/1.1 and nothing else, also to clients that name no protocol', async (t) => {
  const { join, metrics } = await setup(t)
  await join(apiserver)
  await join(apiserver, 'http/1.1')
  await t.rejects(join(apiserver, 'h2'))
  await eventually(
    'the count',
    () => metrics.counted,
    (counted) => counted.length > 0,
  )
  t.strictSame(metrics.counted, [['handshakeFailed', 'frontend', 'failed']])
})

t.test('counts its clients from their handshake to their end', async (t) => {
  const { listener, join, counts } = await setup(t)
  t.equal(listener.count(), 0)
  const [one, two] = [await join(apiserver), await join(apiserver)]
  await counts(2)
  one.destroy()
  await counts(1)
  two.destroy()
  await counts(0)
})

t.test('is busy with those who have asked, to their end, and not with those who have not', async (t) => {
  const { listener, dials, join, counts } = await setup(t)
  t.notOk(listener.busy())
  const [idle, asks] = [await join(apiserver), await join(apiserver)]
  await counts(2)
  t.notOk(listener.busy())
  const answered = answerOf(asks)
  await eventually(
    'a dial',
    () => dials.length,
    (count) => count === 1,
  )
  t.ok(listener.busy())
  listener.goAway()
  dials[0]?.waiter.failed({ kind: 'dial-timeout' })
  t.match(await answered, /^HTTP\/1.1 504 /)
  await counts(1)
  t.notOk(listener.busy())
  t.notOk(idle.destroyed)
})

t.test('a shutdown sends idle clients away, those that come later too, and leaves dials alone', async (t) => {
  const { listener, dials, join, counts } = await setup(t)
  const [idle, busy] = [await join(apiserver), await join(apiserver)]
  const answered = answerOf(busy)
  await eventually(
    'a dial',
    () => dials.length,
    (count) => count === 1,
  )
  const hungUp = once(idle, 'close')
  idle.resume()
  listener.dismissIdle()
  await within(hungUp, 'the end of the idle one')
  const late = await join(apiserver)
  late.resume()
  await within(once(late, 'close'), 'the end of the late one')
  await counts(1)
  dials[0]?.waiter.failed({ kind: 'dial-timeout' })
  t.match(await answered, /^HTTP\/1.1 504 /)
  await counts(0)
})

t.test('breaks every client at the end', async (t) => {
  const { listener, join, counts } = await setup(t)
  const sockets = [await join(apiserver), await join(user)]
  await counts(2)
  const closed = sockets.map((socket) => within(once(socket.resume(), 'close'), 'the end'))
  listener.destroyAll()
  await Promise.all(closed)
  await counts(0)
})

t.test('serves renewed material, and needs none on a Unix socket', async (t) => {
  const { listener, join } = await setup(t)
  const renewed = await issueLeaf(authority, { identity: { role: 'server', id: 'hub-1' }, dnsNames: ['hub.example'] })
  listener.renew({ cert: renewed.certificatePem, key: renewed.keyPem, ca })
  const socket = (await join(apiserver)) as ReturnType<typeof connect>
  t.match(socket.getPeerX509Certificate()?.subject, /CN=hub-1$/)
  const { listener: local } = await setup(t, 'plain')
  t.doesNotThrow(() => local.renew({}))
})
