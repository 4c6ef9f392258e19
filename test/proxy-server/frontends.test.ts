import { type AddressInfo, connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { tlsProtocol } from '../../src/platform/cipher-suites.ts'
import { createFrontend } from '../../src/proxy-server/frontends.ts'
import type { ServerOptions } from '../../src/proxy-server/options.ts'
import { event, eventually } from '../integration/deadline.ts'
import { dialRequest, openCall, overHttp2, type WireCall } from '../integration/wire-call.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'
import { recordedMetrics } from './recorded-metrics.ts'
import { roomyUnread } from './roomy-unread.ts'

const KEEPALIVE_MS = 45_000

const limits: Partial<ServerOptions> = {
  tlsHandshakeTimeoutMs: 10_000,
  maxHeaderListBytes: 4_096,
  maxFrontendConnections: 1,
  frontendKeepaliveTimeMs: KEEPALIVE_MS,
  maxMessageBytes: 1_000,
  unknownFramesPerMinute: 1,
  connectHeadBytes: 600,
  connectHeadTimeoutMs: 7_000,
  earlyDataBytes: 1_024,
}

/** A frontend without TLS, of that mode, with no agent behind it. */
async function listening(t: Test, mode: ServerOptions['mode']) {
  const clock = manualClock()
  const metrics = recordedMetrics()
  const frontend = createFrontend(
    { ...limits, mode } as ServerOptions,
    undefined,
    { protocol: tlsProtocol('', []), trustDomain: undefined },
    { dialing: { dial: () => () => undefined }, clock, log: recordedLog(), metrics, unread: roomyUnread() },
  )
  frontend.server.listen(0, '127.0.0.1')
  t.teardown(() => {
    frontend.server.close()
    frontend.destroyAll()
  })
  await event(frontend.server, 'listening')
  const join = async (): Promise<Socket> => {
    const socket = connect((frontend.server.address() as AddressInfo).port, '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.on('error', () => undefined)
    await event(socket, 'connect')
    return socket
  }
  const call = async (): Promise<WireCall> => openCall(overHttp2(t, await join()))
  return { clock, metrics, frontend, join, call }
}

t.test('--mode=grpc: calls within the limits of the flags, and PINGs as often as they say', async (t) => {
  const { clock, call } = await listening(t, 'grpc')
  const first = await call()
  first.send(dialRequest('x:1', 1, 'udp'))
  t.match(await first.next('DIAL_RSP'), { random: 1 })
  t.ok(clock.asked.includes(KEEPALIVE_MS))
  t.equal(first.http.remoteSettings.maxHeaderListSize, 4_096)
  t.match(await openCall(first.http).ended(), { code: 8, message: /limit of 1 calls/ })
  first.send(dialRequest('x:1', 2, 'udp'))
  t.match(await first.ended(), { code: 8, message: /mean nothing/ }, 'the second that means nothing')
})

t.test('--mode=grpc: a message over --max-message-bytes ends its call', async (t) => {
  const { call } = await listening(t, 'grpc')
  const long = await call()
  long.sendRaw(Buffer.from([0, 0, 0, 0x03, 0xe9]))
  t.match(await long.ended(), { code: 8, message: /1001 bytes is over the limit of 1000$/ })
})

t.test('--mode=http-connect: heads within the limits of the flags', async (t) => {
  const { clock, metrics, join } = await listening(t, 'http-connect')
  const long = await join()
  long.write(`CONNECT x:1 HTTP/1.1\r\na: ${'b'.repeat(600)}\r\n\r\n`)
  t.match(String(await event(long, 'data')), /^HTTP\/1\.1 431 /)
  const silent = await join()
  await eventually('its time runs', clock.waiting, (timers) => timers > 0)
  const closed = event(silent.resume(), 'close')
  clock.advance(7_000)
  await closed
  t.strictSame(metrics.counted.filter(([verb]) => verb === 'headRefused').flat(), [
    'headRefused',
    'too-large',
    'headRefused',
    'slow',
  ])
})
