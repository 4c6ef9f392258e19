/**
 * gRPC mode, when a connection does not end as it should: an agent that is killed in the middle of everything, targets that
 * close and reset. Each client hears of its own connection, once; what goes through another agent goes on.
 */
import { createHash } from 'node:crypto'
import { constants } from 'node:http2'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { Int64 } from '../../src/tunnel/packet.ts'
import { makePki } from './certificates.ts'
import { event, eventually, within } from './deadline.ts'
import { AGENT, figure, figureBecomes, SERVER } from './figures.ts'
import { dialsUnderWay, echo, idle, listenTarget, PATIENT, stuckTarget } from './target.ts'
import { expectedHash, pieces, sendAll } from './transfer.ts'
import {
  type Agent,
  type Server,
  startAgent,
  startServer,
  startTunnel,
  startTunnels,
  TRANSPORTS,
  type Transport,
} from './tunnel.ts'
import { closeRequest, dialRequest, echoOver, joinFrontend, openCall, type WireCall } from './wire-call.ts'

const MEBIBYTE = 1024 * 1024
/** More than all that may wait on its way, so that a transfer of it is under way for as long as nobody reads. */
const ENDLESS_BYTES = 256 * MEBIBYTE
/** The one agent is asked for this address, the other one for any other. */
const LOST = '127.0.0.1'
const KEPT = '127.0.0.2'

const flags = ['--mode=grpc']
const pki = await makePki(t)
const tunnels = await startTunnels(t, { pki, flags })

type Pair = { readonly server: Server; readonly lost: Agent; readonly kept: Agent }

async function startPair(t: Test, transport: Transport, strategies: string): Promise<Pair> {
  const server = await startServer(t, { pki, transport, flags: [...flags, `--proxy-strategies=${strategies}`] })
  const start = (host: string): Promise<Agent> =>
    startAgent(t, server, { flags: [`--agent-id=${host}`, `--agent-identifiers=ipv4=${host}`, PATIENT] })
  return { server, lost: await start(LOST), kept: await start(KEPT) }
}

/** Nothing is left of any connection, dial or byte. */
async function emptied(server: Server, ...agents: readonly Agent[]): Promise<void> {
  for (const gauge of ['established_connections', 'pending_backend_dials']) {
    await figureBecomes(server, SERVER + gauge, 0)
  }
  await figureBecomes(server, `${SERVER}full_receive_channels{service_method="Proxy"}`, 0)
  await figureBecomes(server, 'culvert_server_buffered_bytes', 0)
  for (const agent of agents) {
    await figureBecomes(agent, `${AGENT}open_endpoint_connections`, 0)
    await figureBecomes(agent, 'culvert_agent_buffered_bytes', 0)
  }
}

const HALF_MESSAGE = Buffer.from([0, 0, 0, 1, 0, 1])

/** Ends the call in order. */
async function finish(call: WireCall): Promise<unknown> {
  call.stream.end()
  return call.ended()
}

for (const transport of TRANSPORTS) {
  t.test(`${transport}: an agent is killed, and all that went through it ends, and nothing else`, async (t) => {
    const { server, lost, kept } = await startPair(t, transport, 'destHost')
    const source = await listenTarget(t, (socket) => void sendAll(socket, ENDLESS_BYTES).catch(() => undefined), LOST)
    const sink = await listenTarget(t, (socket) => void socket.resume(), LOST)
    const [near, far] = [await listenTarget(t, echo, LOST), await listenTarget(t, echo, KEPT)]
    const stuck = await stuckTarget(t)
    const http = await joinFrontend(t, server)

    const download = openCall(http)
    const took = createHash('sha256')
    let tookBytes = 0
    download.take = (_id, bytes) => {
      took.update(bytes)
      tookBytes += bytes.length
    }
    const downloadId = await download.dial(source.address)
    const upload = openCall(http)
    const uploadId = await upload.dial(sink.address)
    const uploading = (async () => {
      for (const piece of pieces(ENDLESS_BYTES)) {
        if (upload.received.some(({ type }) => type === 'CLOSE_RSP')) return
        if (!upload.sendData(uploadId, piece)) await event(upload.stream, 'drain')
      }
    })()
    const both = openCall(http)
    const [nearId, farId] = [await both.dial(near.address, 1), await both.dial(far.address, 2)]
    const other = openCall(await joinFrontend(t, server))
    const otherId = await other.dial(far.address)
    const pending = openCall(http)
    pending.send(dialRequest(stuck.address, 3), dialRequest(stuck.address, 4))
    await eventually(
      'the agent dials',
      () => dialsUnderWay(stuck.port),
      (dials) => dials.length === 2,
    )
    await eventually(
      'the transfers are under way',
      () => tookBytes > MEBIBYTE && [...sink.sockets].every(({ bytesRead }) => bytesRead > MEBIBYTE),
      Boolean,
    )
    lost.signal('SIGKILL')

    t.match(await download.next('CLOSE_RSP'), { connectId: downloadId, error: '' })
    t.match(await upload.next('CLOSE_RSP'), { connectId: uploadId, error: '' })
    t.match(await both.next('CLOSE_RSP'), { connectId: nearId, error: '' })
    for (const random of [3, 4]) {
      const error = /^the agent was lost during the dial: /
      t.match(await pending.next('DIAL_RSP'), { random, error, connectId: 0 })
    }
    t.ok(tookBytes < ENDLESS_BYTES, `${tookBytes} bytes came`)
    t.equal(took.digest('hex'), expectedHash(tookBytes), 'they are the first of those that were sent')
    await within(uploading, 'the client that uploads is not held up')
    await echoOver(both, farId, 'the other connection of the same call')
    await echoOver(other, otherId, 'another call, by another agent')
    pending.send(dialRequest(far.address, 5))
    t.match(await pending.next('DIAL_RSP'), { random: 5, error: '' }, 'a call whose dials failed is of use')
    await figureBecomes(server, `${SERVER}established_connections`, 3)
    await figureBecomes(server, `${SERVER}pending_backend_dials`, 0)
    t.equal(await figure(server, `${SERVER}dial_failure_count{reason="backend_close"}`), 2)

    download.take = undefined
    for (const call of [download, upload, both, other, pending]) t.match(await finish(call), { code: 0 })
    for (const { received } of [download, upload, both]) {
      t.equal(received.filter(({ type }) => type === 'CLOSE_RSP').length, 1, 'an end is told once')
    }
    await emptied(server, kept)
  })

  t.test(`${transport}: the dials of an agent that is killed are tried on another one`, async (t) => {
    const { server, lost, kept } = await startPair(t, transport, 'destHost,default')
    const stuck = await stuckTarget(t)
    const call = openCall(await joinFrontend(t, server))
    call.send(...[1, 2, 3].map((random) => dialRequest(stuck.address, random)))
    const dialled = (by: Agent): Promise<number> =>
      figure(by, `${AGENT}stream_packets_total{segment="to_agent",packet_type="DIAL_REQ"}`)
    await eventually(
      'the agent dials',
      () => dialled(lost),
      (dials) => dials === 3,
    )
    lost.signal('SIGKILL')
    await eventually(
      'the other one dials',
      () => dialled(kept),
      (dials) => dials === 3,
    )
    stuck.release()
    const answers = await Promise.all([1, 2, 3].map(() => call.next('DIAL_RSP')))
    t.strictSame(answers.map(({ random, error }) => `${random} ${error}`).sort(), ['1 ', '2 ', '3 '])
    t.match(await finish(call), { code: 0 })
    await emptied(server, kept)
  })
}

t.test('an agent that is killed before it has answered is told to the client, where there is no other', async (t) => {
  const { server, agent } = await startTunnel(t, { pki, flags })
  const stuck = await stuckTarget(t)
  const call = openCall(await joinFrontend(t, server))
  call.send(dialRequest(stuck.address))
  await eventually(
    'the agent dials',
    () => dialsUnderWay(stuck.port),
    (dials) => dials.length === 1,
  )
  agent.signal('SIGKILL')
  t.match(await call.next('DIAL_RSP'), { error: /^the agent was lost during the dial: / })
  await server.logged('agent disconnected')
  call.send(dialRequest('127.0.0.1:1', 8))
  t.match(await call.next('DIAL_RSP'), { random: 8, error: 'No agent available' })
  call.send(dialRequest('127.0.0.1:1', 9))
  t.match(await finish(call), { code: 0 })
  t.equal(call.received.length, 2, 'after that, a call serves nothing')
  await emptied(server)
})

for (const { server, agent } of tunnels) {
  const { transport } = server

  t.test(`${transport}: a target that resets is told from one that closes`, async (t) => {
    const closes = await listenTarget(t, (socket) => void socket.once('data', () => socket.end('farewell')))
    const resets = await listenTarget(t, (socket) => void socket.once('data', () => socket.resetAndDestroy()))
    const { address } = await listenTarget(t, echo)
    const http = await joinFrontend(t, server)
    const beside = openCall(http)
    const besideId = await beside.dial(address)
    for (const [target, error, bytes] of [
      [closes, '', 'farewell'],
      [resets, 'ECONNRESET', ''],
    ] as const) {
      const call = openCall(http)
      const id = await call.dial(target.address)
      call.sendData(id, Buffer.from('hello'))
      t.match(await call.next('CLOSE_RSP'), { connectId: id, error })
      t.equal(call.bytesOf(id).toString(), bytes)
      call.sendData(id, Buffer.from('too late'))
      t.match(await finish(call), { code: 0 })
      t.equal(call.received.length, 2, 'its end is told once')
    }
    await echoOver(beside, besideId, 'beside them')
    await finish(beside)
    await emptied(server, agent)
  })

  t.test(`${transport}: whatever way a call ends, the targets of its connections hear of it`, async (t) => {
    const { address, next } = await listenTarget(t, idle)
    for (const [what, heard, end] of [
      ['ends', 'end', (call: WireCall) => void call.stream.end()],
      ['is cancelled', 'end', (call: WireCall) => call.stream.close(constants.NGHTTP2_CANCEL)],
      ['is closed', 'end', (call: WireCall, id: Int64) => call.send(closeRequest(id))],
      ['breaks', 'read ECONNRESET', breakOff],
      ['loses its HTTP/2 connection', 'read ECONNRESET', (call: WireCall) => call.http.destroy()],
      ['is in the middle of a message', 'read ECONNRESET', halfMessage],
    ] as const) {
      const call = openCall(await joinFrontend(t, server))
      const sockets: Socket[] = []
      const ids: Int64[] = []
      for (const random of [1, 2]) {
        const accepted = next()
        ids.push(await call.dial(address, random))
        sockets.push(await accepted)
      }
      const told = what === 'is closed' ? sockets.slice(0, 1) : sockets
      const ends = told.map(endAt)
      end(call, ids[0]!)
      for (const ended of ends) t.equal(await ended, heard, `a call that ${what}`)
      call.stream.end()
      for (const socket of sockets) socket.destroy()
      await emptied(server, agent)
    }
  })
}

/** Node may send the end of the call before its reset, and in a piece of its own: without a message that lacks the rest it would be an end in order. */
function breakOff(call: WireCall): void {
  call.sendRaw(HALF_MESSAGE)
  call.stream.close(constants.NGHTTP2_INTERNAL_ERROR)
}

function halfMessage(call: WireCall): void {
  call.sendRaw(HALF_MESSAGE)
  call.stream.end()
}

/** How a connection ends that its target reads. Asked for before it may happen. */
function endAt(socket: Socket): Promise<string> {
  const ended = new Promise<string>((resolve) => {
    socket.once('end', () => resolve('end'))
    socket.once('error', ({ message }) => resolve(message))
    socket.resume()
  })
  return within(ended, 'the end of a connection at its target')
}
