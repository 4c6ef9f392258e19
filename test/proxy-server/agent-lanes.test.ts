/** Lanes at the agent port: whose they are, and what becomes of those that are not what they seem. */
import { once } from 'node:events'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import type { CertificateAndKey } from '../../src/pki/certificate.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { TOKEN_LIFE_MS } from '../../src/proxy-server/lane-tokens.ts'
import { HELLO_BYTES, LANE_ALPN, writeHello } from '../../src/tunnel/lane.ts'
import { laneFraming } from '../../src/tunnel/lane-frames.ts'
import type { Packet } from '../../src/tunnel/packet.ts'
import { eventually, within } from '../integration/deadline.ts'
import { roomyLimits } from '../tunnel/one-session.ts'
import { agentPort, ca, type HandMadeAgent, joinAgent, leaves } from './agent-port.ts'

const WELCOME = '0100'
const REFUSED = '0101'

type HandMadeLane = { readonly socket: TLSSocket; readonly bytes: () => string; readonly closed: Promise<unknown> }

async function connectLane(
  t: Test,
  port: number,
  who: CertificateAndKey | 'none' = leaves.agent,
): Promise<HandMadeLane> {
  const socket = connectTls({
    host: '127.0.0.1',
    port,
    servername: 'hub.example',
    ca,
    ...(who !== 'none' && { cert: who.certificatePem, key: who.keyPem }),
    ALPNProtocols: [LANE_ALPN],
  })
  let bytes = ''
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.toString('hex')
  })
  socket.on('error', () => undefined)
  const closed = new Promise<void>((resolve) => socket.once('close', () => resolve()))
  t.teardown(() => socket.destroy())
  await within(Promise.race([once(socket, 'secureConnect'), closed]), 'TLS')
  return { socket, bytes: () => bytes, closed: within(closed, 'the lane is closed') }
}

async function tokenFor(agent: HandMadeAgent): Promise<Uint8Array> {
  agent.send({ type: 'LANES_WANTED', count: 1 })
  return (await agent.next('LANE_OFFER')).token
}

async function openLane(t: Test, port: number, agent: HandMadeAgent): Promise<HandMadeLane> {
  const token = await tokenFor(agent)
  const lane = await connectLane(t, port)
  lane.socket.write(writeHello(token))
  await eventually('a welcome', lane.bytes, (bytes) => bytes === WELCOME)
  return lane
}

function frameOf(packet: Packet): Buffer {
  const writer = { bytes: Buffer.alloc(laneFraming.packetBytes(packet)), at: 0 }
  laneFraming.writePacket(writer, packet)
  return writer.bytes
}

t.test('gives a token for each lane that is asked for, and takes the lane that shows one', async (t) => {
  const { port, metrics, connected } = await agentPort(t)
  const agent = await joinAgent(t, port)
  await agent.answer
  agent.send({ type: 'LANES_WANTED', count: 2 })
  const [one, two] = [await agent.next('LANE_OFFER'), await agent.next('LANE_OFFER')]
  t.strictSame([one.lane, two.lane], [1, 2])
  t.strictSame([one.token.length, two.token.length], [16, 16])
  t.notSame(one.token, two.token)
  const lane = await connectLane(t, port)
  const hello = writeHello(two.token)
  lane.socket.write(hello.subarray(0, 5))
  lane.socket.write(Buffer.concat([hello.subarray(5), frameOf({ type: 'PING', nonce: 0 })]))
  const pong = frameOf({ type: 'PONG', nonce: 0 }).toString('hex')
  await eventually('a welcome, and an answer to what came with the hello', lane.bytes, (it) => it === WELCOME + pong)
  t.strictSame(metrics.counted, [['laneOpened']])
  lane.socket.end()
  await lane.closed
  t.strictSame(metrics.counted, [['laneOpened'], ['laneEnded', 'finished']])
  t.equal(connected[0]?.session.connectionCount(), 0)
})

t.test('takes a token once, only in time, and from nobody else', async (t) => {
  const { port, metrics, clock } = await agentPort(t)
  const agent = await joinAgent(t, port)
  await agent.answer
  const stranger = await issueLeaf(await createAuthority({ trustDomain: 'hub.example' }), {
    identity: { role: 'agent', cluster: 'eu-1', name: 'a1' },
  })
  const refused = async (token: Uint8Array, who?: CertificateAndKey | 'none'): Promise<string> => {
    const lane = await connectLane(t, port, who)
    lane.socket.write(writeHello(token))
    await lane.closed
    return lane.bytes()
  }
  const token = await tokenFor(agent)
  const other = await joinAgent(t, port, undefined, leaves.otherAgent)
  await other.answer
  t.equal(await refused(token, leaves.otherAgent), REFUSED, 'the token of another identity')
  t.equal(await refused(token, leaves.user), '', 'a certificate that is none of an agent')
  t.equal(await refused(token, 'none'), '')
  t.equal(await refused(token, stranger), '')
  t.equal(await refused(Buffer.alloc(16)), REFUSED, 'a token that is none')
  const lane = await connectLane(t, port)
  lane.socket.write(writeHello(token))
  await eventually('a welcome for whom it was given to', lane.bytes, (bytes) => bytes === WELCOME)
  t.equal(await refused(token), REFUSED, 'replayed')
  const late = await tokenFor(agent)
  clock.advance(TOKEN_LIFE_MS - 1)
  const inTime = await tokenFor(agent)
  clock.advance(1)
  t.equal(await refused(late), REFUSED, 'too late')
  const second = await connectLane(t, port)
  second.socket.write(writeHello(inTime))
  await eventually('a welcome', second.bytes, (bytes) => bytes === WELCOME)
  const last = await tokenFor(agent)
  agent.http.destroy()
  await lane.closed
  await second.closed
  t.equal(await refused(last), REFUSED, 'of a stream that is gone')
  const verbs = metrics.counted.map(([verb, given]) => `${verb} ${given ?? ''}`.trim())
  t.strictSame(
    verbs.filter((verb) => /Refused|Forbidden/.test(verb)),
    [
      'laneRefused foreign_token',
      'clientForbidden agent',
      'clientForbidden agent',
      'clientForbidden agent',
      'laneRefused unknown_token',
      'laneRefused unknown_token',
      'laneRefused unknown_token',
      'laneRefused unknown_token',
    ],
  )
})

t.test('hangs up on who says no hello, or says it too slowly', async (t) => {
  const { port, metrics, clock } = await agentPort(t)
  const garbage = await connectLane(t, port)
  garbage.socket.write('GET / HTTP/1.1\r\nHost: hub.example\r\n\r\n')
  await garbage.closed
  t.equal(garbage.bytes(), '')
  const [slow, silent] = [await connectLane(t, port), await connectLane(t, port)]
  slow.socket.write(writeHello(Buffer.alloc(16)).subarray(0, HELLO_BYTES - 1))
  await eventually(
    'both are hung up on',
    () => {
      clock.advance(10_000) // each in its turn: the server hears of a handshake after the client
      return metrics.counted.length
    },
    (count) => count === 3,
  )
  await Promise.all([slow.closed, silent.closed])
  t.strictSame(metrics.counted, [
    ['laneRefused', 'no_hello'],
    ['laneRefused', 'slow'],
    ['laneRefused', 'slow'],
  ])
})

t.test('holds no more lanes and tokens of one stream than it may', async (t) => {
  const { port } = await agentPort(t, { stream: { maxLanes: 2 } })
  const agent = await joinAgent(t, port)
  await agent.answer
  agent.send({ type: 'LANES_WANTED', count: 2 ** 53 - 1 }, { type: 'LANES_WANTED', count: -1 })
  const first = [await agent.next('LANE_OFFER'), await agent.next('LANE_OFFER')]
  const third = await tokenFor(agent)
  t.equal(agent.received.filter(({ type }) => type === 'LANE_OFFER').length, 3)
  const lane = await connectLane(t, port)
  lane.socket.write(writeHello(first[0]!.token))
  await lane.closed
  t.equal(lane.bytes(), REFUSED, 'the oldest token made room for the third')
  for (const token of [first[1]!.token, third]) {
    const good = await connectLane(t, port)
    good.socket.write(writeHello(token))
    await eventually('a welcome', good.bytes, (bytes) => bytes === WELCOME)
  }
  agent.send({ type: 'LANES_WANTED', count: 1 }, { type: 'HEARTBEAT', seq: 1, sentUnixMs: 1, health: {} })
  await agent.next('HEARTBEAT_ACK')
  t.equal(agent.received.filter(({ type }) => type === 'LANE_OFFER').length, 3, 'two lanes stand')
})

t.test('agrees on no lanes where it may hold none, nor with a peer that cannot bound them', async (t) => {
  const { port, metrics } = await agentPort(t, { stream: { maxLanes: 0 } })
  const agent = await joinAgent(t, port)
  t.notMatch((await agent.answer)['culvert-extensions'], /lanes/)
  agent.send({ type: 'LANES_WANTED', count: 1 }, { type: 'HEARTBEAT', seq: 1, sentUnixMs: 1, health: {} })
  await agent.next('HEARTBEAT_ACK')
  t.strictSame(metrics.counted[0], ['violation', 'unexpected'])
  const other = await agentPort(t)
  const extensions = 'lanes/1,heartbeat/1'
  const partial = await joinAgent(t, other.port, {
    agentid: 'a',
    agentidentifiers: '',
    'culvert-extensions': extensions,
  })
  await partial.answer
  partial.send({ type: 'LANES_WANTED', count: 1 }, { type: 'HEARTBEAT', seq: 1, sentUnixMs: 1, health: {} })
  await partial.next('HEARTBEAT_ACK')
  t.notOk(partial.received.some(({ type }) => type === 'LANE_OFFER'))
})

t.test('ends a lane whose bytes make no sense, alone', async (t) => {
  const oversize = Buffer.alloc(8)
  oversize.writeUInt32BE(4 * 2 ** 24 + 2 ** 24 - 1, 0)
  for (const bytes of [oversize, Buffer.alloc(8, 0x77), frameOf({ type: 'DRAIN' })]) {
    const { port, metrics, connected } = await agentPort(t)
    const agent = await joinAgent(t, port)
    await agent.answer
    const [bad, good] = [await openLane(t, port, agent), await openLane(t, port, agent)]
    bad.socket.write(bytes)
    await bad.closed
    t.match(metrics.counted.at(-1), ['laneEnded', 'broken'])
    good.socket.write(frameOf({ type: 'PING', nonce: 0 }))
    await eventually('the other one answers', good.bytes, (it) => it.length > WELCOME.length)
    t.notOk(connected[0]?.draining)
    agent.send({ type: 'HEARTBEAT', seq: 1, sentUnixMs: 1, health: {} })
    await agent.next('HEARTBEAT_ACK')
  }
})

t.test(
  'counts frames on a lane for connections that are not there, and ends the stream of who sends many',
  async (t) => {
    const limits = { unknownFramesPerMinute: 5 }
    const { port, metrics } = await agentPort(t, { stream: { limits: { ...roomyLimits, ...limits } } })
    const agent = await joinAgent(t, port)
    await agent.answer
    const lane = await openLane(t, port, agent)
    const data = { bytes: Buffer.alloc(9), at: 0 }
    laneFraming.writeData(data, 77, Buffer.from('x'))
    lane.socket.write(Buffer.concat(Array.from({ length: 5 }, () => data.bytes)))
    lane.socket.write(frameOf({ type: 'PING', nonce: 0 }))
    await eventually('it is served', lane.bytes, (it) => it.length > WELCOME.length)
    t.strictSame(
      metrics.counted.slice(1),
      Array.from({ length: 5 }, () => ['violation', 'unknown-connection']),
    )
    lane.socket.write(frameOf({ type: 'MOVE', connectId: 78, carrier: 0 }))
    t.match(await agent.status, ['8', 'too many frames that mean nothing here'])
    await lane.closed
  },
)
