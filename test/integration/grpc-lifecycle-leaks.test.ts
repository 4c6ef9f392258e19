/**
 * gRPC mode, as both generations of kube-apiserver use it: an HTTP/2 connection for each dial, and one for thousands of dials.
 * Each carries its bytes, and afterwards nothing is left: in tables, of descriptors, on the heap.
 */
import { constants } from 'node:http2'
import t, { type Test } from 'tap'
import { makePki } from './certificates.ts'
import { within } from './deadline.ts'
import { AGENT, figure, figureBecomes, SERVER } from './figures.ts'
import { left, noMoreLeft, watched } from './left-behind.ts'
import { echo, listenTarget } from './target.ts'
import { startTunnel, type Transport, type Tunnel } from './tunnel.ts'
import { closeRequest, echoOver, joinFrontend, openCall, type WireCall } from './wire-call.ts'

const DIALLED = `${SERVER}dial_duration_seconds_count`
const flags = ['--mode=grpc', '--log-level=info']

const pki = await makePki(t)
const target = await listenTarget(t, echo)
const start = (t: Test, transport: Transport): Promise<Tunnel> =>
  startTunnel(t, { pki, transport, flags, ...watched }, { flags: ['--log-level=info'], ...watched })

/** How a client may end a call, in turn. */
const endings: readonly ((call: WireCall, id: bigint | number) => Promise<unknown>)[] = [
  async function closes(call, id) {
    call.send(closeRequest(id))
    await call.next('CLOSE_RSP')
    call.stream.end()
    await call.ended()
  },
  async function ends(call) {
    call.stream.end()
    await call.ended()
  },
  async function cancels(call) {
    call.stream.close(constants.NGHTTP2_CANCEL)
    await within(call.closed, 'the end of a call')
  },
]

async function dialAndEnd(call: WireCall, index: number): Promise<void> {
  const id = await call.dial(target.address, index)
  await echoOver(call, id, `the bytes of ${index}`)
  await endings[index % endings.length]!(call, id)
}

/** Waits until both ends have noticed every end. */
async function settled({ server, agent }: Tunnel): Promise<void> {
  for (const gauge of ['established_connections', 'pending_backend_dials']) {
    await figureBecomes(server, SERVER + gauge, 0)
  }
  await figureBecomes(server, 'culvert_server_buffered_bytes', 0)
  await figureBecomes(agent, `${AGENT}open_endpoint_connections`, 0)
  await figureBecomes(agent, 'culvert_agent_buffered_bytes', 0)
}

/** @param dial is called so many times before the first look and so many times between both */
async function leavesNothing(
  t: Test,
  tunnel: Tunnel,
  first: number,
  second: number,
  dial: (index: number) => Promise<void>,
) {
  const programs = [tunnel.server, tunnel.agent]
  for (let index = 0; index < first; index++) await dial(index)
  await settled(tunnel)
  const before = await Promise.all(programs.map(left))
  for (let index = 0; index < second; index++) await dial(first + index)
  await settled(tunnel)
  t.equal(await figure(tunnel.server, DIALLED), first + second)
  for (const [index, program] of programs.entries()) await noMoreLeft(t, program, before[index]!)
}

t.test('tls: 5,000 dials one after the other on one HTTP/2 connection', async (t) => {
  const tunnel = await start(t, 'tls')
  const http = await joinFrontend(t, tunnel.server)
  await leavesNothing(t, tunnel, 1_500, 3_500, (index) => dialAndEnd(openCall(http), index))
  t.notOk(http.closed, 'it is still the one')
})

t.test('uds: 2,000 dials one after the other, each on an HTTP/2 connection of its own', async (t) => {
  const tunnel = await start(t, 'uds')
  await leavesNothing(t, tunnel, 700, 1_300, async (index) => {
    const http = await joinFrontend(t, tunnel.server)
    await dialAndEnd(openCall(http), index)
    const closed = new Promise((resolve) => http.once('close', resolve))
    if (index % 2 === 0) http.close()
    else http.destroy()
    await within(closed, 'the end of an HTTP/2 connection')
  })
})
