/** Which connections of http-connect mode were of use, and which cost a handshake for nothing. */
import { type AddressInfo, connect as connectTcp, type Socket } from 'node:net'
import { connect, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { tlsProtocol } from '../../src/platform/cipher-suites.ts'
import type { Failure } from '../../src/proxy-server/core/answers.ts'
import type { Waiter } from '../../src/proxy-server/dialing.ts'
import { openFrontDoors } from '../../src/proxy-server/front-doors.ts'
import { createFrontendListener } from '../../src/proxy-server/frontend-listener.ts'
import { event, eventually } from '../integration/deadline.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'
import { nodeHello } from '../sni-router/hellos.ts'
import { ca, leaves } from './agent-port.ts'
import { tenantsOf } from './grpc-port.ts'
import { recordedMetrics } from './recorded-metrics.ts'
import { recordedPenalty } from './recorded-penalty.ts'
import { roomyUnread } from './roomy-unread.ts'

const CONNECT = 'CONNECT 10.0.0.1:443 HTTP/1.1\r\n\r\n'
const OF_USE = ['of use', 'eu-1'] as const
const VAIN = ['vain', 'eu-1', '127.0.0.1'] as const

/** A ClientHello, whose answer the server has to sign. */
const HELLO = await nodeHello({ servername: 'hub.example' })

/** @param dialled what becomes of each dial */
async function setup(
  t: Test,
  dialled: (waiter: Waiter) => void = () => undefined,
  limits = '{}',
  proxyProtocolFrom: string[] = [],
) {
  const clock = manualClock()
  const log = recordedLog()
  const penalty = recordedPenalty()
  const tenants = tenantsOf(t, `id: eu-1\nfrontends: {users: [alice]}\nlimits: ${limits}\n`, clock, log)
  const doors = { proxyProtocolFrom, tlsHandshakeTimeoutMs: 10_000 }
  const frontDoors = openFrontDoors(doors, { clock, log, metrics: recordedMetrics() })('frontend')
  const listener = createFrontendListener(
    { cert: leaves.server.certificatePem, key: leaves.server.keyPem, ca },
    { protocol: tlsProtocol('', []), handshakeTimeoutMs: 10_000, trustDomain: 'hub.example', tenants, frontDoors },
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

  /** As the client of the cluster. */
  function shake(raw: Socket): TLSSocket {
    const { certificatePem: cert, keyPem: key } = leaves.user
    const socket = connect({ socket: raw, servername: 'hub.example', ca, cert, key })
    t.teardown(() => socket.destroy())
    return socket.on('error', () => undefined)
  }
  async function join(): Promise<TLSSocket> {
    const socket = shake(await connectPlain())
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
  /** Without TLS. */
  async function connectPlain(): Promise<Socket> {
    const socket = connectTcp(port, '127.0.0.1').on('error', () => undefined)
    t.teardown(() => socket.destroy())
    await event(socket, 'connect')
    return socket
  }
  const gone = (): Promise<unknown> => eventually('it has gone', listener.count, (clients) => clients === 0)
  const told = (count: number): Promise<unknown> =>
    eventually(
      `${count} are told of`,
      () => penalty.told.length,
      (length) => length === count,
    )
  return { clock, listener, penalty, join, shake, ask, connect: connectPlain, gone, told }
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
  await told(1)
  t.strictSame(penalty.told, [VAIN])
  t.equal(penalty.gated(), 1)
})

t.test('and so was one that asks for what makes no sense, though it is answered', async (t) => {
  const { penalty, ask, told } = await setup(t)
  await ask('GET / HTTP/1.1\r\n\r\n')
  await told(1)
  t.strictSame(penalty.told, [VAIN])
})

t.test('a client whose dial counts among those of its cluster was not, whatever came of it', async (t) => {
  const { penalty, ask, gone } = await setup(t, fail({ kind: 'no-agent' }, true))
  await ask(CONNECT)
  await gone()
  t.strictSame(penalty.told, [OF_USE])
})

t.test('a client that has waited to be told of a limit was not, one that has not waited was', async (t) => {
  const limit = { kind: 'cluster-limit', status: 503, text: 'at its limit' } as const
  const patient = await setup(t, fail(limit, false))
  await patient.ask(CONNECT)
  await patient.gone()
  t.strictSame(patient.penalty.told, [])
  const impatient = await setup(t)
  const socket = await impatient.join()
  socket.write(CONNECT)
  await eventually('it has asked', impatient.listener.busy, Boolean)
  socket.destroy()
  await impatient.told(1)
  t.strictSame(impatient.penalty.told, [VAIN])
})

t.test('a dial that is refused at once, before it counts, is one in vain', async (t) => {
  const { penalty, ask, told } = await setup(t, fail({ kind: 'too-many-dials' }, false))
  await ask(CONNECT)
  await told(1)
  t.strictSame(penalty.told, [VAIN])
})

t.test('of those for whom there is no place, who goes before it is told so was there in vain', async (t) => {
  const { penalty, clock, join, told, listener } = await setup(t, undefined, '{clients: 1}')
  const first = await join()
  first.write(CONNECT)
  await eventually('it has asked', listener.busy, Boolean)
  const impatient = await join()
  const left = event(impatient, 'finish')
  impatient.end()
  await left
  const patient = await join() // whose handshake takes longer than that end
  await eventually('it waits', listener.count, (clients) => clients === 3)
  const closed = event(patient.resume(), 'close')
  clock.advance(10_000)
  await closed
  await told(1)
  await eventually('both have gone', listener.count, (clients) => clients === 1)
  t.strictSame(penalty.told, [VAIN])
})

for (const [what, leave] of [
  ['says what is no TLS', (socket: Socket) => socket.end('no TLS\r\n')],
  ['ends behind its hello', (socket: Socket) => socket.end(HELLO)],
  ['is gone behind its hello', (socket: Socket) => socket.write(HELLO, () => socket.resetAndDestroy())],
] as const) {
  t.test(`a client that ${what} broke off`, async (t) => {
    const { penalty, told, connect } = await setup(t)
    leave(await connect())
    await told(1)
    t.strictSame(penalty.told, [['broke off', '127.0.0.1']])
  })
}

t.test('a client that is gone as soon as its handshake is done broke off, or was there in vain', async (t) => {
  const { penalty, told, connect, shake } = await setup(t)
  const raw = await connect()
  const socket = shake(raw)
  await event(socket, 'secureConnect')
  raw.resetAndDestroy()
  await told(1)
  t.match(penalty.told, [[/^(broke off|vain)$/]])
  t.equal(penalty.told[0]?.at(-1), '127.0.0.1')
})

t.test('a client that connects and says nothing cost nothing', async (t) => {
  const { penalty, connect, ask, gone } = await setup(t, fail({ kind: 'no-agent' }, true))
  const silent = await connect()
  silent.end()
  await event(silent.resume(), 'close')
  await ask(CONNECT)
  await gone()
  t.strictSame(penalty.told, [OF_USE])
})

t.test('nor did one of whom a front door says who he is, and who says nothing', async (t) => {
  const { penalty, connect, told } = await setup(t, undefined, '{}', ['127.0.0.1'])
  const header = 'PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n'
  const silent = await connect()
  silent.end(header)
  await event(silent.resume(), 'close')
  const speaking = await connect()
  speaking.end(Buffer.concat([Buffer.from(header), HELLO]))
  await event(speaking.resume(), 'close')
  await told(1)
  t.strictSame(penalty.told, [['broke off', '127.0.0.1']])
})
