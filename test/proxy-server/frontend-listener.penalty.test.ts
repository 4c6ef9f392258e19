/** Which connections of http-connect mode were of use, and which cost a handshake for nothing. */
import { type AddressInfo, connect as connectTcp } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { tlsProtocol } from '../../src/platform/cipher-suites.ts'
import type { Failure } from '../../src/proxy-server/core/answers.ts'
import type { Waiter } from '../../src/proxy-server/dialing.ts'
import { createFrontendListener } from '../../src/proxy-server/frontend-listener.ts'
import { event, eventually } from '../integration/deadline.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'
import { ca, leaves } from './agent-port.ts'
import { tenantsOf } from './grpc-port.ts'
import { recordedMetrics } from './recorded-metrics.ts'
import { recordedPenalty } from './recorded-penalty.ts'
import { roomyUnread } from './roomy-unread.ts'

const CONNECT = 'CONNECT 10.0.0.1:443 HTTP/1.1\r\n\r\n'
const CAME = ['came', 'user/alice'] as const
const VAIN = ['vain', 'user/alice'] as const

/** @param dialled what becomes of each dial */
async function setup(t: Test, dialled: (waiter: Waiter) => void = () => undefined, limits = '{}') {
  const clock = manualClock()
  const log = recordedLog()
  const penalty = recordedPenalty()
  const tenants = tenantsOf(t, `id: eu-1\nfrontends: {users: [alice]}\nlimits: ${limits}\n`, clock, log)
  const listener = createFrontendListener(
    { cert: leaves.server.certificatePem, key: leaves.server.keyPem, ca },
    { protocol: tlsProtocol('', []), handshakeTimeoutMs: 10_000, trustDomain: 'hub.example', tenants },
    {
      options: { headBytes: 16_384, headTimeoutMs: 10_000, earlyDataBytes: 65_536 },
      dialing: {
        dial(_cluster, _principal, _address, waiter) {
          dialled(waiter)
          return () => {}
        },
      },
      clock,
      log,
      metrics: recordedMetrics(),
      unread: roomyUnread(),
      penalty,
    },
  )
  listener.server.listen(0, '127.0.0.1')
  t.teardown(() => {
    listener.server.close()
    listener.destroyAll()
    clock.advance(60_000)
  })
  await event(listener.server, 'listening')
  const { port } = listener.server.address() as AddressInfo

  async function join(): Promise<TLSSocket> {
    const { certificatePem: cert, keyPem: key } = leaves.user
    const socket = connect({ host: '127.0.0.1', port, servername: 'hub.example', ca, cert, key })
    t.teardown(() => socket.destroy())
    socket.on('error', () => undefined)
    await event(socket, 'secureConnect')
    return socket
  }
  /** Sends that, and reads to the end. */
  async function ask(head: string): Promise<void> {
    const socket = await join()
    const closed = event(socket.resume(), 'close')
    socket.write(head)
    await closed
  }
  const told = (count: number): Promise<unknown> =>
    eventually(
      `${count} are told of`,
      () => penalty.told.length,
      (length) => length === count,
    )
  return { clock, listener, penalty, port, join, ask, told }
}

const fail =
  (failure: Failure, counted: boolean) =>
  (waiter: Waiter): void => {
    if (counted) waiter.counted?.()
    waiter.failed(failure as Parameters<Waiter['failed']>[0])
  }

t.test('a client that asks for nothing was there in vain', async (t) => {
  const { penalty, join, told } = await setup(t)
  const socket = await join()
  socket.end()
  await told(2)
  t.strictSame(penalty.told, [CAME, VAIN])
  t.equal(penalty.gated(), 1)
})

t.test('and so was one that asks for what makes no sense, though it is answered', async (t) => {
  const { penalty, ask, told } = await setup(t)
  await ask('GET / HTTP/1.1\r\n\r\n')
  await told(2)
  t.strictSame(penalty.told, [CAME, VAIN])
})

t.test('a client whose dial counts among those of its cluster was not, whatever came of it', async (t) => {
  const { penalty, ask, told, listener } = await setup(t, fail({ kind: 'no-agent' }, true))
  await ask(CONNECT)
  await told(1)
  await eventually('it has gone', listener.count, (clients) => clients === 0)
  t.strictSame(penalty.told, [CAME])
})

t.test('a client that has waited to be told of a limit was not, one that has not waited was', async (t) => {
  const limit = { kind: 'cluster-limit', status: 503, text: 'at its limit' } as const
  const { penalty, ask, told, listener } = await setup(t, fail(limit, false))
  await ask(CONNECT)
  await eventually('it has gone', listener.count, (clients) => clients === 0)
  t.strictSame(penalty.told, [CAME])
  const impatient = await setup(t)
  const socket = await impatient.join()
  socket.write(CONNECT)
  await eventually('it has asked', impatient.listener.busy, Boolean)
  socket.destroy()
  await impatient.told(2)
  t.strictSame(impatient.penalty.told, [CAME, VAIN])
  await told(1)
})

t.test('a dial that is refused at once, before it counts, is one in vain', async (t) => {
  const { penalty, ask, told } = await setup(t, fail({ kind: 'too-many-dials' }, false))
  await ask(CONNECT)
  await told(2)
  t.strictSame(penalty.told, [CAME, VAIN])
})

t.test('of those for whom there is no place, who goes before it is told so was there in vain', async (t) => {
  const { penalty, clock, join, told } = await setup(t, undefined, '{clients: 1}')
  await join()
  const impatient = await join()
  await told(2)
  const left = event(impatient, 'finish')
  impatient.end()
  await left
  const patient = await join() // whose handshake takes longer than that end
  await told(3)
  const closed = event(patient.resume(), 'close')
  clock.advance(10_000)
  await closed
  await told(4)
  t.strictSame(penalty.told, [CAME, CAME, CAME, VAIN])
})

t.test('a handshake that fails is told of', async (t) => {
  const { penalty, port, told } = await setup(t)
  const socket = connectTcp(port, '127.0.0.1').on('error', () => undefined)
  t.teardown(() => socket.destroy())
  await event(socket, 'connect')
  socket.end('no TLS\r\n')
  await told(1)
  t.strictSame(penalty.told, [['failed']])
})
