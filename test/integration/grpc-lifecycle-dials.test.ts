/** gRPC mode, when a dial comes to nothing: what its client is told, and that nobody goes on dialling for nobody. */
import { constants } from 'node:http2'
import t, { type Test } from 'tap'
import { makePki } from './certificates.ts'
import { eventually } from './deadline.ts'
import { AGENT, counts, figure, figureBecomes, SERVER } from './figures.ts'
import { dialsUnderWay, echo, listenTarget, type Stuck, stuckTarget } from './target.ts'
import { startServer, startTunnel, startTunnels, TRANSPORTS } from './tunnel.ts'
import { dialRequest, echoOver, joinFrontend, openCall, type WireCall } from './wire-call.ts'

const flags = ['--mode=grpc']
const CANCELLED = `${AGENT}stream_packets_total{segment="to_agent",packet_type="DIAL_CLS"}`
const DIALLED = `${AGENT}stream_packets_total{segment="to_agent",packet_type="DIAL_REQ"}`
const failed = (reason: string): string => `${SERVER}dial_failure_count{reason="${reason}"}`

/** Of who gives up: longer than a busy machine keeps it from a target that answers. Milliseconds. */
const DIAL_TIMEOUT_MS = 2_000

const pki = await makePki(t)
const target = await listenTarget(t, echo)
/** Both ends as patient as by default. */
const patient = await startTunnels(t, { pki, flags })
const impatientServer = await startTunnel(t, { pki, flags: [...flags, `--backend-dial-timeout=${DIAL_TIMEOUT_MS}ms`] })
const impatientAgent = await startTunnel(
  t,
  { pki, flags: [...flags, '--backend-dial-timeout=0'] },
  { flags: [`--endpoint-dial-timeout=${DIAL_TIMEOUT_MS}ms`] },
)

const underWay = (stuck: Stuck, count: number): Promise<unknown> =>
  eventually(
    `the agent has ${count} dials under way`,
    () => dialsUnderWay(stuck.port).length,
    (found) => found === count,
  )

async function stillServes(t: Test, call: WireCall): Promise<void> {
  const id = await call.dial(target.address, 99)
  await echoOver(call, id, 'still here')
  call.stream.end()
  t.match(await call.ended(), { code: 0 })
}

for (const { server, agent } of patient) {
  const { transport } = server

  t.test(`${transport}: a client that takes one of its dials back ends that one, and no other`, async (t) => {
    const stuck = await stuckTarget(t)
    const call = openCall(await joinFrontend(t, server))
    const cancelled = await figure(agent, CANCELLED)
    call.send(dialRequest(stuck.address, 1), dialRequest(stuck.address, 2))
    await underWay(stuck, 2)
    await counts(server, failed('frontend_close'), 1, async () => call.send({ type: 'DIAL_CLS', random: 1 }))
    await underWay(stuck, 1)
    await figureBecomes(agent, CANCELLED, cancelled + 1)
    t.equal(await figure(server, `${SERVER}pending_backend_dials`), 1)
    stuck.release()
    const { random, error, connectId } = await call.next('DIAL_RSP')
    t.strictSame({ random, error }, { random: 2, error: '' })
    await echoOver(call, connectId, 'the one that was not taken back')
    t.equal(call.received.length, 1, 'of the other one nothing is heard')
    call.stream.end()
    t.match(await call.ended(), { code: 0 })
    await figureBecomes(agent, `${AGENT}open_endpoint_connections`, 0)
  })

  for (const [what, end] of [
    ['ends its call', (call: WireCall) => void call.stream.end()],
    ['cancels its call', (call: WireCall) => call.stream.close(constants.NGHTTP2_CANCEL)],
    ['breaks its call', (call: WireCall) => call.stream.close(constants.NGHTTP2_INTERNAL_ERROR)],
    ['hangs up', (call: WireCall) => call.http.destroy()],
  ] as const) {
    t.test(`${transport}: when a client ${what} during its dials, they end, and those of others go on`, async (t) => {
      const stuck = await stuckTarget(t)
      const call = openCall(await joinFrontend(t, server))
      const other = openCall(await joinFrontend(t, server))
      const cancelled = await figure(agent, CANCELLED)
      call.send(dialRequest(stuck.address, 1), dialRequest(stuck.address, 2))
      other.send(dialRequest(stuck.address, 1))
      await underWay(stuck, 3)
      await counts(server, failed('frontend_close'), 2, async () => end(call))
      await underWay(stuck, 1)
      await figureBecomes(agent, CANCELLED, cancelled + 2)
      t.equal(await figure(server, `${SERVER}pending_backend_dials`), 1)
      stuck.release()
      t.match(await other.next('DIAL_RSP'), { random: 1, error: '' })
      await stillServes(t, other)
    })
  }

  t.test(`${transport}: a name that nobody has is told in Go's words, and the call is of use`, async (t) => {
    const name = `${'a'.repeat(64)}.invalid` // a label too long for any resolver to ask about
    const call = openCall(await joinFrontend(t, server))
    call.send(dialRequest(`${name}:443`, 1))
    t.match(await call.next('DIAL_RSP'), { random: 1, connectId: 0, error: `dial tcp: lookup ${name}: no such host` })
    await stillServes(t, call)
  })
}

t.test(
  'an agent that does not answer in time is told of as konnectivity does, and its dial is cancelled',
  async (t) => {
    const { server, agent } = impatientServer
    const stuck = await stuckTarget(t)
    const call = openCall(await joinFrontend(t, server))
    const startMs = performance.now()
    call.send(dialRequest(stuck.address, 1))
    await figureBecomes(agent, DIALLED, 1) // which stays, unlike the dial
    t.match(await call.next('DIAL_RSP'), { random: 1, connectId: 0, error: 'timed out waiting for backend dial' })
    t.ok(performance.now() - startMs >= DIAL_TIMEOUT_MS)
    t.equal(await figure(server, failed('backend_dial_timeout')), 1)
    t.equal(await figure(server, `${SERVER}pending_backend_dials`), 0)
    await figureBecomes(agent, CANCELLED, 1)
    await underWay(stuck, 0)
    await stillServes(t, call)
  },
)

t.test('without a time limit of the server, the agent says when it has waited long enough', async (t) => {
  const { server } = impatientAgent
  const stuck = await stuckTarget(t)
  const call = openCall(await joinFrontend(t, server))
  call.send(dialRequest(stuck.address, 1))
  t.match(await call.next('DIAL_RSP'), { random: 1, error: `dial tcp ${stuck.address}: i/o timeout` })
  t.equal(await figure(server, failed('error_response')), 1)
  t.equal(await figure(server, failed('backend_dial_timeout')), 0)
  await underWay(stuck, 0)
  await stillServes(t, call)
})

for (const transport of TRANSPORTS) {
  t.test(`${transport}: without any agent a call is told so, and is of no use any more`, async (t) => {
    const server = await startServer(t, { pki, transport, flags })
    const http = await joinFrontend(t, server)
    const call = openCall(http)
    call.send(dialRequest(target.address, 1), dialRequest(target.address, 2))
    t.match(await call.next('DIAL_RSP'), { random: 1, connectId: 0, error: 'No agent available' })
    call.stream.end()
    t.match(await call.ended(), { code: 0 })
    t.equal(call.received.length, 1)
    t.equal(await figure(server, failed('no_agent')), 1)
    const next = openCall(http)
    next.send(dialRequest(target.address, 1))
    t.match(await next.next('DIAL_RSP'), { error: 'No agent available' }, 'the next call asks anew')
    next.stream.end()
    await next.ended()
  })
}
