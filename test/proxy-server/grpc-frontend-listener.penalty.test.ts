/** Which connections of gRPC mode were of use, and which cost a handshake for nothing. */

import type { AddressInfo } from 'node:net'
import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { REFUSAL_EVERY_MS, SHORTEST_REFUSAL_MS } from '../../src/proxy-server/core/refusal-pace.ts'
import { event, eventually } from '../integration/deadline.ts'
import { dialRequest, openCall, type WireCall } from '../integration/wire-call.ts'
import { type GrpcPort, type GrpcPortOptions, grpcPort } from './grpc-port.ts'
import { type RecordedPenalty, recordedPenalty } from './recorded-penalty.ts'

async function setup(
  t: Test,
  limits = '{}',
  listener: GrpcPortOptions['listener'] = {},
): Promise<GrpcPort & { readonly penalty: RecordedPenalty }> {
  const penalty = recordedPenalty()
  const clusters = `id: eu-1\nfrontends: {users: [alice]}\nlimits: ${limits}\n`
  return { ...(await grpcPort(t, { clusters, penalty, listener, alone: true })), penalty }
}

/** That it has gone, as the listener knows it. */
const gone = (port: GrpcPort): Promise<unknown> =>
  eventually('it has gone', port.listener.leaving, (connections) => connections === 0)

const OF_USE = ['of use', 'eu-1'] as const
const VAIN = ['vain', 'eu-1', '127.0.0.1'] as const

t.test('a client that calls nothing was there in vain', async (t) => {
  const port = await setup(t)
  const http = await port.join()
  http.destroy()
  await gone(port)
  await eventually(
    'that is told',
    () => port.penalty.told.length,
    (count) => count === 1,
  )
  t.strictSame(port.penalty.told, [VAIN])
  t.equal(port.penalty.gated(), 1)
})

t.test('a client whose call dials was not, whatever came of the dial', async (t) => {
  const port = await setup(t)
  const call = openCall(await port.join())
  call.send(dialRequest('10.0.0.1:80', 1))
  t.match(await call.next('DIAL_RSP'), { error: /No agent available/ })
  call.http.destroy()
  await gone(port)
  t.strictSame(port.penalty.told, [OF_USE])
})

/** Of the first that is refused, and of the second at the same time: milliseconds. */
const REFUSAL_MS: readonly [number, number] = [SHORTEST_REFUSAL_MS, SHORTEST_REFUSAL_MS + REFUSAL_EVERY_MS]

for (const [limit, what] of [
  ['dialsPerSecond: 1, clients: 10', 'dials'],
  ['clients: 1', 'clients'],
] as const) {
  t.test(`a client over the limit of ${what} has to wait to be told`, async (t) => {
    const port = await setup(t, `{${limit}}`)
    const first = openCall(await port.join())
    first.send(dialRequest('10.0.0.1:80', 1))
    await first.next('DIAL_RSP')
    const refusals = (): number => port.clock.asked.filter((ms) => REFUSAL_MS.includes(ms)).length
    const waits = async (): Promise<WireCall> => {
      const before = refusals()
      const call = openCall(await port.join())
      if (what === 'dials') call.send(dialRequest('10.0.0.1:80', 2))
      await eventually('it waits', refusals, (count) => count > before)
      return call
    }
    const impatient = await waits()
    impatient.http.destroy()
    await eventually(
      'it has gone',
      () => port.penalty.told.at(-1),
      (last) => last?.[0] === 'vain',
    )
    const patient = await waits()
    port.clock.advance(REFUSAL_MS[1])
    if (what === 'dials') await patient.next('DIAL_RSP')
    else await patient.ended()
    patient.http.destroy()
    first.http.destroy()
    await gone(port)
    t.strictSame(port.penalty.told.filter(([verb]) => verb === 'vain').length, 1)
  })
}

t.test('a client of which one call has waited to be told of the limit was not there in vain', async (t) => {
  const port = await setup(t, '{clients: 1}')
  const first = openCall(await port.join())
  await eventually('it has its place', port.listener.count, (calls) => calls === 1)
  const second = openCall(first.http)
  await eventually('it waits', () => port.clock.asked.includes(SHORTEST_REFUSAL_MS), Boolean)
  port.clock.advance(SHORTEST_REFUSAL_MS)
  await second.ended()
  first.http.destroy()
  await gone(port)
  t.strictSame(port.penalty.told, [])
})

t.test('a client for whom others leave no room was not there in vain', async (t) => {
  const port = await setup(t, '{}', { maxCalls: 2 })
  const first = openCall(await port.join())
  openCall(first.http)
  await eventually('there is no more room', port.listener.count, (calls) => calls === 2)
  const second = openCall(await port.join())
  await second.ended()
  second.http.destroy()
  await eventually('it has gone', port.listener.leaving, (connections) => connections === 1)
  t.strictSame(port.penalty.told, [])
})

t.test('a handshake that comes to no end is told of', async (t) => {
  const port = await setup(t)
  const { port: number } = port.listener.server.address() as AddressInfo
  const socket = connect(number, '127.0.0.1').on('error', () => undefined)
  t.teardown(() => socket.destroy())
  await event(socket, 'connect')
  socket.end('no TLS\r\n')
  await eventually(
    'that is told',
    () => port.penalty.told,
    (told) => told.length > 0,
  )
  t.strictSame(port.penalty.told, [['broke off', '127.0.0.1']])
})
