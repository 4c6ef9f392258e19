/**
 * gRPC mode: calls that are abandoned while their connections are an agent's that behaves like konnectivity's. It answers a
 * dial that was given up as if nothing had happened, and each close in turn; at the end neither side has anything left.
 */
import t from 'tap'
import type { Int64 } from '../../src/tunnel/packet.ts'
import { abandonCalls } from './abandoned-calls.ts'
import { makePki } from './certificates.ts'
import { eventually } from './deadline.ts'
import { figure, SERVER } from './figures.ts'
import { left, noMoreLeft, watched } from './left-behind.ts'
import { startServer } from './tunnel.ts'
import { allExtensions, joinWireAgent, type WireAgent } from './wire-agent.ts'
import { onlyLeft } from './witness.ts'

const CHUNK_BYTES = 64 * 1024
const CHUNKS = 8
const FIRST = 500
const SECOND = 2_000

/** Its connections that are open, and how many there were. */
type Answering = { readonly open: Set<Int64>; count: number }

function answer(agent: WireAgent): Answering {
  const answering: Answering = { open: new Set(), count: 0 }
  const late = new Set<Int64>() // dials that are answered when they have been given up
  const connect = (random: Int64, send = false): void => {
    const connectId = ++answering.count
    answering.open.add(connectId)
    agent.send({ type: 'DIAL_RSP', error: '', connectId, random })
    const data = Buffer.alloc(CHUNK_BYTES)
    for (let chunk = 0; send && chunk < CHUNKS; chunk++) agent.send({ type: 'DATA', connectId, error: '', data })
  }
  agent.onPacket((packet) => {
    if (packet.type === 'DIAL_REQ') {
      if (packet.address === 'slow:1') late.add(packet.random)
      else connect(packet.random, packet.address === 'source:1')
    }
    if (packet.type === 'DIAL_CLS' && late.delete(packet.random)) connect(packet.random)
    if (packet.type === 'CLOSE_REQ') {
      answering.open.delete(packet.connectId)
      agent.send({ type: 'CLOSE_RSP', connectId: packet.connectId, error: '' })
    }
  })
  return answering
}

const pki = await makePki(t)
const server = await startServer(t, { pki, transport: 'uds', flags: ['--mode=grpc'], ...watched })

t.test(`${FIRST + SECOND} abandoned calls leave no more than ${FIRST}, here and at the agent`, async (t) => {
  const agent = await joinWireAgent(t, server)
  const answering = answer(agent)
  const abandoned = async (count: number): Promise<void> => {
    const unanswered = await figure(server, `${SERVER}dial_failure_count{reason="frontend_close"}`)
    await abandonCalls(t, server, count, { target: 'target:1', slow: 'slow:1', source: 'source:1' })
    await onlyLeft({ server }, 0)
    await eventually(
      'the agent was told to close everything',
      () => answering.open.size,
      (open) => open === 0,
    )
    t.ok((await figure(server, `${SERVER}dial_failure_count{reason="frontend_close"}`)) > unanswered + count / 10)
  }
  await abandoned(FIRST)
  const before = await left(server)
  await abandoned(SECOND)
  await noMoreLeft(t, server, before)
  t.ok(answering.count > SECOND / 2, `${answering.count} connections`)
  t.notOk(agent.stream.closed, 'late answers are not held against it')
  await agent.leave()
})

t.test('dials that an agent never answers are forgotten with their calls, and it is told', async (t) => {
  const agent = await joinWireAgent(t, server, allExtensions)
  const pending = new Set<Int64>()
  agent.onPacket((packet) => {
    if (packet.type === 'DIAL_REQ') pending.add(packet.random)
    if (packet.type === 'DIAL_CLS') pending.delete(packet.random)
  })
  const before = await left(server)
  const abandoned = { target: 'silent:1', slow: 'silent:1', source: 'silent:1' }
  await abandonCalls(t, server, FIRST, abandoned, ['before it has said anything', 'before the answer'])
  await onlyLeft({ server }, 0)
  await eventually(
    'the agent knows of no dial',
    () => pending.size,
    (size) => size === 0,
  )
  await noMoreLeft(t, server, before)
  await agent.leave()
})
