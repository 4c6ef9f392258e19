/**
 * gRPC mode: agents that break the protocol, and what clients see of it: a text or an end, of their own connection only.
 * The witness is a call through an honest agent, which drains, so that new dials go to whoever else is connected.
 */
import t from 'tap'
import type { Int64, Packet } from '../../src/tunnel/packet.ts'
import { encodePacket } from '../../src/tunnel/packet-codec.ts'
import { makePki } from './certificates.ts'
import { eventually } from './deadline.ts'
import { counts, figure, figureBecomes, SERVER } from './figures.ts'
import { forced, violation } from './series.ts'
import { echo, listenTarget } from './target.ts'
import { sendAll } from './transfer.ts'
import { startTunnel } from './tunnel.ts'
import { grpcMessage } from './wire.ts'
import { allExtensions, joinWireAgent, type WireAgent } from './wire-agent.ts'
import { closeRequest, dialRequest, echoOver, joinFrontend, openCall, type WireCall } from './wire-call.ts'
import { joinWitness, onlyLeft } from './witness.ts'

const MEBIBYTE = 1024 * 1024
const READ_BYTES = 128 * 1024
/** More than the largest window. */
const FLOOD_BYTES = 4 * MEBIBYTE
const TRANSFER_BYTES = 512 * 1024
const MAX_TEXT_CHARS = 4_096
const UNUSABLE = 'the agent answered with a connection id that it cannot use'

const pki = await makePki(t)
const target = await listenTarget(t, echo)
const source = await listenTarget(t, (socket) => void sendAll(socket, MEBIBYTE))
const { server, agent } = await startTunnel(
  t,
  { pki, transport: 'uds', flags: ['--mode=grpc'] },
  { flags: ['--drain-timeout=10m'] },
)
/** All calls share it, honest ones and those through hostile agents. */
const http = await joinFrontend(t, server)
const witness = await joinWitness(http, { echo: target, source, sourceBytes: MEBIBYTE })
agent.signal('SIGTERM')
await server.logged('agent drains')

const dataOf = (connectId: Int64, data: string | Buffer): Packet => ({
  type: 'DATA',
  connectId,
  error: '',
  data: Buffer.from(data),
})
const success = (random: Int64, connectId: Int64): Packet => ({ type: 'DIAL_RSP', error: '', connectId, random })
const failure = (random: Int64, error: string): Packet => ({ type: 'DIAL_RSP', error, connectId: 0, random })

let numbers = 100

/** A call whose dial has arrived at this agent. */
async function dialThrough(agent: WireAgent): Promise<{ call: WireCall; random: Int64 }> {
  const call = openCall(http)
  call.send(dialRequest('10.0.0.1:443', ++numbers))
  const { random } = await agent.next('DIAL_REQ')
  return { call, random }
}

/** A call with a connection of this agent. */
async function connectThrough(agent: WireAgent, connectId: Int64): Promise<WireCall> {
  const { call, random } = await dialThrough(agent)
  agent.send(success(random, connectId))
  const answer = await call.next('DIAL_RSP')
  if (answer.error !== '' || answer.connectId !== connectId) throw new Error(`answered ${JSON.stringify(answer.error)}`)
  return call
}

/** The call has got these bytes for its connection, and nothing else since it was answered. */
async function carries(agent: WireAgent, call: WireCall, id: Int64): Promise<void> {
  const before = call.bytesOf(id).length
  agent.send(dataOf(id, 'and on'))
  const all = await call.data(id, before + 6)
  if (all.subarray(before).toString() !== 'and on') throw new Error(`strange bytes: ${all.subarray(before)}`)
  if (call.received.length !== 1) throw new Error(`strange packets: ${JSON.stringify(call.received)}`)
}

async function allIsWell(...agents: WireAgent[]): Promise<void> {
  for (const one of agents) await one.leave()
  await witness.isWell()
  await onlyLeft({ server, agent }, 1)
}

async function end(...calls: WireCall[]): Promise<void> {
  for (const { stream, closed } of calls) {
    stream.end()
    await closed
  }
}

const closedIds = (peer: WireAgent): Int64[] =>
  peer.received.flatMap((packet) => (packet.type === 'CLOSE_REQ' ? [packet.connectId] : []))

t.test('an answer to a dial that nobody made is counted, and its connection closed', async (t) => {
  const peer = await joinWireAgent(t, server)
  const { call, random } = await dialThrough(peer)
  await counts(server, `${SERVER}dial_failure_count{reason="unrecognized_response"}`, 3, async () => {
    peer.send(success(2n ** 63n - 1n, 5), success(-1, 6), failure(12_345, 'no'))
  })
  await eventually(
    'both are closed',
    () => closedIds(peer),
    (ids) => ids.length === 2,
  )
  t.strictSame(closedIds(peer), [5, 6])
  t.strictSame(call.received, [], 'who waits for another answer hears of none of them')
  peer.send(success(random, 7))
  t.match(await call.next('DIAL_RSP'), { error: '', connectId: 7 })
  await end(call)
  await allIsWell(peer)
})

t.test('an answer to the dial of another agent, and packets for its connection, touch neither', async (t) => {
  const peers = [await joinWireAgent(t, server), await joinWireAgent(t, server)] as const
  const call = openCall(http)
  call.send(dialRequest('10.0.0.1:443', ++numbers))
  const asked = await eventually(
    'one of them is asked',
    () => peers.findIndex(({ received }) => received.length > 0),
    (index) => index >= 0,
  )
  const [rightful, stranger] = asked === 0 ? peers : [peers[1], peers[0]]
  const { random } = await rightful.next('DIAL_REQ')
  await counts(server, violation('unknown_dial'), 2, async () => {
    stranger.send(success(random, 1), failure(random, 'I say no'))
    t.match(await stranger.next('CLOSE_REQ'), { connectId: 1 })
  })
  t.strictSame(call.received, [])
  rightful.send(success(random, 1))
  t.match(await call.next('DIAL_RSP'), { error: '', connectId: 1 })
  await counts(server, violation('unknown_connection'), 1, async () => {
    stranger.send(dataOf(1, 'from a stranger'), { type: 'CLOSE_RSP', connectId: 1, error: 'by a stranger' })
    stranger.send(dataOf(9, 'for nobody'))
  })
  await carries(rightful, call, 1)
  t.strictSame(closedIds(rightful), [])
  await end(call)
  await allIsWell(...peers)
})

t.test('of several answers to a dial the first one counts', async (t) => {
  const peer = await joinWireAgent(t, server)
  const [first, second] = [await dialThrough(peer), await dialThrough(peer)]
  await counts(server, violation('unknown_dial'), 4, async () => {
    peer.send(success(first.random, 1), success(first.random, 1), success(first.random, 2), failure(first.random, 'no'))
    peer.send(failure(second.random, 'no'), success(second.random, 3))
  })
  t.match(await first.call.next('DIAL_RSP'), { error: '', connectId: 1 })
  t.match(await second.call.next('DIAL_RSP'), { error: 'no', connectId: 0 })
  await carries(peer, first.call, 1)
  t.strictSame(closedIds(peer), [2, 3], 'connections that nobody wants are closed, the one that is wanted is not')
  t.equal(second.call.received.length, 1)
  await end(first.call, second.call)
  await allIsWell(peer)
})

for (const [what, id] of [
  ['0', 0],
  ['a negative one', -1],
  ['the lowest of all', -(2n ** 63n)],
  ['one that is in use', 1],
] as const) {
  t.test(`an answer with the connection id ${what} fails its dial alone, and the call goes on`, async (t) => {
    const peer = await joinWireAgent(t, server)
    const open = await connectThrough(peer, 1)
    const { call, random } = await dialThrough(peer)
    await counts(server, violation('unexpected'), 1, async () => peer.send(success(random, id)))
    t.match(await call.next('DIAL_RSP'), { error: UNUSABLE, connectId: 0 })
    await carries(peer, open, 1)
    call.send(dialRequest('10.0.0.1:443', 1))
    peer.send(success((await peer.next('DIAL_REQ')).random, 2))
    t.match(await call.next('DIAL_RSP'), { error: '', connectId: 2 })
    await end(call, open)
    await allIsWell(peer)
  })
}

t.test('the highest connection id there is works like any other', async (t) => {
  const peer = await joinWireAgent(t, server)
  const id = 2n ** 63n - 1n
  const call = await connectThrough(peer, id)
  await carries(peer, call, id)
  call.sendData(id, Buffer.from('back'))
  t.match(await peer.next('DATA'), { connectId: id, data: Buffer.from('back') })
  call.send(closeRequest(id))
  t.match(await call.next('CLOSE_RSP'), { connectId: id, error: '' })
  await end(call)
  await allIsWell(peer)
})

t.test('bytes before the answer, and behind the end, reach nobody', async (t) => {
  const peer = await joinWireAgent(t, server)
  const { call, random } = await dialThrough(peer)
  await counts(server, violation('unknown_connection'), 1, async () => {
    peer.send(dataOf(1, 'too early'), success(random, 1), dataOf(1, 'in time'))
  })
  t.equal((await call.data(1, 7)).toString(), 'in time')
  peer.send({ type: 'CLOSE_RSP', connectId: 1, error: '' }, dataOf(1, 'too late'))
  peer.send({ type: 'CLOSE_RSP', connectId: 1, error: 'again' })
  t.match(await call.next('CLOSE_RSP'), { connectId: 1, error: '' })
  const other = await connectThrough(peer, 2) // behind all that
  t.equal(call.bytesOf(1).toString(), 'in time')
  t.equal(call.received.length, 2)
  await end(call, other)
  await allIsWell(peer)
})

t.test('a connection id that comes again, for another client, gets nothing of the one before', async (t) => {
  const peer = await joinWireAgent(t, server)
  const before = await connectThrough(peer, 1)
  peer.send(dataOf(1, 'mine'), { type: 'CLOSE_RSP', connectId: 1, error: '' })
  await before.next('CLOSE_RSP')
  const after = await connectThrough(peer, 1)
  await carries(peer, after, 1)
  t.equal(before.bytesOf(1).toString(), 'mine')
  await end(before, after)
  await allIsWell(peer)
})

t.test('an agent that sends beyond its credit breaks that connection and no other', async (t) => {
  const peer = await joinWireAgent(t, server, allExtensions)
  const [greedy, modest] = [await connectThrough(peer, 1), await connectThrough(peer, 2)]
  greedy.stream.pause()
  await counts(server, forced('flow_control_violation'), 1, async () => {
    for (let sent = 0; sent < FLOOD_BYTES; sent += READ_BYTES) peer.send(dataOf(1, Buffer.alloc(READ_BYTES)))
  })
  greedy.stream.resume()
  t.match(await greedy.next('CLOSE_RSP'), { connectId: 1, error: 'flow-control-violation' })
  await carries(peer, modest, 2)
  await end(greedy, modest)
  await allIsWell(peer)
})

t.test('a text of an agent is told, as it is and as long as a text is', async (t) => {
  const peer = await joinWireAgent(t, server)
  const text = 'no\r\n\0: "é\u{1f600}'
  const long = 'x'.repeat(2 * MEBIBYTE)
  for (const [error, told] of [
    [text, text],
    [long, 'x'.repeat(MAX_TEXT_CHARS)],
  ] as const) {
    const { call, random } = await dialThrough(peer)
    peer.send(failure(random, error))
    t.ok((await call.next('DIAL_RSP')).error === told, 'of a dial')
    const id = error.length
    const open = await connectThrough(peer, id)
    peer.send({ type: 'CLOSE_RSP', connectId: id, error })
    t.ok((await open.next('CLOSE_RSP')).error === told, 'of a connection')
    await end(call, open)
  }
  await allIsWell(peer)
})

const last = 'in the middle of a message'
const deaths: readonly [what: string, die: (peer: WireAgent) => unknown][] = [
  ['vanishes', (peer) => peer.http.destroy()],
  [
    `vanishes ${last}`,
    (peer) => peer.stream.write(grpcMessage(encodePacket(dataOf(1, last))).subarray(0, -5), () => peer.http.destroy()),
  ],
  ['sends a message of 4 MiB and a byte', (peer) => peer.sendMessage(Buffer.alloc(4 * MEBIBYTE + 1))],
  ['sends what is no packet', (peer) => peer.sendMessage(Buffer.alloc(9, 0xff))],
  ['sends more that means nothing than is borne', (peer) => peer.send(...Array(1_001).fill(dataOf(99, 'x')))],
]
for (const [what, die] of deaths) {
  t.test(
    `an agent that ${what} in a transfer: what came is there, then the end; its dials go to another agent`,
    async (t) => {
      const [peer, other] = [await joinWireAgent(t, server), await joinWireAgent(t, server, { agentid: 'other' })]
      const calls = new Map<WireAgent, WireCall>()
      while (calls.size < 2) {
        const call = openCall(http)
        call.send(dialRequest('10.0.0.1:443', ++numbers))
        const asked = await eventually(
          'one of them is asked',
          () =>
            [peer, other].find(({ received }) =>
              received.some((one) => one.type === 'DIAL_REQ' && one.random === numbers),
            ),
          Boolean,
        )
        const { random } = await asked!.next('DIAL_REQ')
        if (calls.has(asked!)) {
          asked!.send(failure(random, 'once is enough'))
          await end(call)
          continue
        }
        asked!.send(success(random, 1))
        await call.next('DIAL_RSP')
        calls.set(asked!, call)
      }
      const [open, elsewhere] = [calls.get(peer)!, calls.get(other)!]
      peer.send(dataOf(1, Buffer.alloc(TRANSFER_BYTES, 'x')))
      await open.data(1, TRANSFER_BYTES)
      const disconnected = server.log.filter(({ msg }) => msg === 'agent disconnected').length
      die(peer)
      await server.logged('agent disconnected', disconnected + 1)
      t.match(await open.next('CLOSE_RSP'), { connectId: 1, error: '' }, 'as with konnectivity')
      const bytes = open.bytesOf(1).subarray(TRANSFER_BYTES).toString()
      t.ok(last.startsWith(bytes), `${bytes} came of the last message`)
      await carries(other, elsewhere, 1)
      await end(open, elsewhere)
      await allIsWell(other)
    },
  )
}

t.test('a dial whose agent vanishes is answered by another one', async (t) => {
  const peer = await joinWireAgent(t, server)
  const call = openCall(http)
  call.send(dialRequest(target.address, 1))
  await peer.next('DIAL_REQ')
  await peer.leave()
  const { error, connectId } = await call.next('DIAL_RSP')
  t.equal(error, '', 'by the honest one, though it drains')
  await echoOver(call, connectId, 'hello')
  await end(call)
  await allIsWell()
})

t.test('an agent that answers dials long after they were given up, and again, is borne', async (t) => {
  const peer = await joinWireAgent(t, server)
  const randoms: Int64[] = []
  for (let count = 0; count < 20; count++) {
    const { call, random } = await dialThrough(peer)
    randoms.push(random)
    call.stream.close(8)
    await call.closed
  }
  await figureBecomes(server, `${SERVER}pending_backend_dials`, 0)
  const before = await figure(server, violation('unknown_dial'))
  for (const _ of [1, 2]) peer.send(...randoms.map((random, index) => success(random, index + 1)))
  await figureBecomes(server, violation('unknown_dial'), before + 2 * randoms.length)
  await eventually(
    'each is closed',
    () => new Set(closedIds(peer)).size,
    (size) => size === randoms.length,
  )
  const call = await connectThrough(peer, 100)
  await carries(peer, call, 100)
  await end(call)
  await allIsWell(peer)
})
