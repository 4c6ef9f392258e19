/** What one end does about its stream as a whole: heartbeats, drain, going away, frames that mean nothing, the end. */
import { Buffer } from 'node:buffer'
import t from 'tap'
import { createBudget, spend, spendWithin } from '../../src/tunnel/budget.ts'
import { close } from '../../src/tunnel/ending.ts'
import { type Extensions, offered, without } from '../../src/tunnel/extensions.ts'
import type { Packet } from '../../src/tunnel/packet.ts'
import { taken } from '../../src/tunnel/receiving.ts'
import { send } from '../../src/tunnel/sending.ts'
import { hearing, oneSession, stockSession } from './one-session.ts'

t.test('agent: beats, and learns the round trip from the answer', async (t) => {
  const { session, carrier, told } = oneSession({ role: 'agent' })
  session.tick(1_000, 1_700_000_001_000)
  t.strictSame(carrier.frames(), [
    { type: 'HEARTBEAT', seq: 1, sentUnixMs: 1_700_000_001_000, health: { uptimeMs: 1 } },
  ])
  session.heard(1_007)
  session.receive(carrier, { type: 'HEARTBEAT_ACK', seq: 1, serverUnixMs: 5 })
  session.receive(carrier, { type: 'HEARTBEAT_ACK', seq: 99, serverUnixMs: 5 })
  t.strictSame(told, [['roundTrip', 7]])
  for (const [nowMs, seqs] of [
    [1_500, [2]],
    [2_000, [3]], // so soon for the path to be known: the first three
    [6_999, []],
    [7_000, [4]],
    [11_999, []],
    [12_000, [5]],
  ] as const) {
    session.heard(nowMs)
    session.tick(nowMs, nowMs)
    t.match(
      carrier.frames(),
      seqs.map((seq) => ({ type: 'HEARTBEAT', seq })),
      `at ${nowMs}`,
    )
  }
})

t.test('agent: a stock server is asked no sooner than the interval says', async (t) => {
  const { session, told } = stockSession('agent')
  for (const nowMs of [0, 500, 1_000]) session.tick(nowMs, nowMs)
  t.equal(told.filter(([event]) => event === 'ping').length, 1)
})

t.test('server: answers a heartbeat at once, asks back, and learns the round trip too', async (t) => {
  const { session, carrier, told } = oneSession({ role: 'server' })
  session.tick(0, 1_700_000_000_000)
  session.heard(500)
  session.receive(carrier, { type: 'HEARTBEAT', seq: 4, sentUnixMs: 1, health: { nodes: 3 } })
  t.strictSame(carrier.frames(), [
    { type: 'HEARTBEAT_ACK', seq: 4, serverUnixMs: 1_700_000_000_500 },
    { type: 'PING', nonce: 1 },
  ])
  session.heard(520)
  session.receive(carrier, { type: 'PONG', nonce: 1 })
  t.match(told, [
    ['beat', { seq: 4, sentUnixMs: 1, health: { nodes: 3 } }],
    ['roundTrip', 20],
  ])
})

t.test('a window may grow larger where the round trip is long', async (t) => {
  const grown = (...roundTripsMs: number[]): number => {
    const { session, carrier, open } = oneSession({ role: 'agent' })
    for (const [index, ms] of roundTripsMs.entries()) {
      const sentMs = 5_000 * (index + 1)
      session.tick(sentMs, sentMs)
      session.heard(sentMs + ms)
      session.receive(carrier, { type: 'HEARTBEAT_ACK', seq: index + 1, serverUnixMs: 5 })
    }
    const { connection } = open(1)
    for (let round = 0; round < 12; round++) session.receive(carrier, { type: 'BLOCKED', connectId: 1 })
    return connection.window.size
  }
  t.equal(grown(10, 100, 10), 16 * 2 ** 20)
  t.equal(grown(10, 10, 10, 9.9), 2 * 2 ** 20, 'a busy moment makes a path seem long')
  t.equal(grown(9.9, 100, 100, 100), 2 * 2 ** 20, 'so do several')
  t.equal(grown(100, 100), 2 * 2 ** 20, 'too little is known')
})

t.test('gives the stream up after twelve seconds of silence', async (t) => {
  for (const role of ['server', 'agent'] as const) {
    const { session, told } = oneSession({ role })
    session.tick(0, 0)
    session.tick(11_999, 11_999)
    t.notOk(told.some(([name]) => name === 'broken'))
    session.tick(12_000, 12_000)
    t.strictSame(told.at(-1), ['broken', 'heartbeat-timeout'])
  }
})

t.test('tells of replicas whom that was agreed on with, and hears of them', async (t) => {
  const servers = [{ id: 'a', address: '', serverName: 'a.example', workers: 1 }]
  const able = oneSession({ role: 'server', extensions: offered })
  able.session.pushServers(servers)
  t.strictSame(able.carrier.frames(), [{ type: 'SERVERS', servers }])
  const unable = oneSession({ role: 'server', extensions: without(offered, 'servers') })
  unable.session.pushServers(servers)
  t.strictSame(unable.carrier.frames(), [])
  const agent = oneSession({ role: 'agent', extensions: offered })
  agent.session.receive(agent.carrier, { type: 'SERVERS', servers })
  t.match(agent.told.at(-1), ['servers', servers])
  const before = agent.told.length
  able.session.receive(able.carrier, { type: 'SERVERS', servers })
  t.equal(agent.told.length, before)
  t.match(able.told.at(-1), ['violation', 'unexpected'])
})

t.test('agent: has drained when the server has answered and nothing is left', async (t) => {
  const { session, carrier, told, open } = oneSession({ role: 'agent' })
  session.tick(1_000, 1_000)
  const { connection } = open(1)
  carrier.frames()
  session.drain()
  session.drain()
  t.match(carrier.frames(), [{ type: 'DRAIN' }, { type: 'HEARTBEAT', seq: 2 }])
  session.receive(carrier, { type: 'DIAL_REQ', protocol: 'tcp', address: 'a:1', random: 9 })
  session.receive(carrier, { type: 'HEARTBEAT_ACK', seq: 1, serverUnixMs: 1 })
  close(connection, 'gone')
  session.refuse(9, 'refused')
  const drained = (): boolean => told.some(([name]) => name === 'drained')
  t.notOk(drained(), 'a dial that was sent before the server knew may still come')
  const late = session.accept(9, hearing().events)
  t.equal(late, undefined)
  session.receive(carrier, { type: 'DIAL_REQ', protocol: 'tcp', address: 'a:1', random: 10 })
  session.receive(carrier, { type: 'HEARTBEAT_ACK', seq: 2, serverUnixMs: 1 })
  t.notOk(drained(), 'one did')
  session.receive(carrier, { type: 'DIAL_CLS', random: 10 })
  t.ok(drained())
})

t.test('hears drain and going away, each at its own end', async (t) => {
  const server = oneSession({ role: 'server' })
  server.session.receive(server.carrier, { type: 'DRAIN' })
  t.strictSame(server.told, [['draining']])
  server.session.goAway('shutdown', 25_000, 500)
  const notice = { type: 'GOING_AWAY', reason: 'shutdown', deadlineMs: 25_000, reconnectAfterMs: 500 } as const
  t.strictSame(server.carrier.frames(), [notice])
  const agent = oneSession({ role: 'agent' })
  agent.session.receive(agent.carrier, notice)
  t.match(agent.told, [['goingAway', { reason: 'shutdown', deadlineMs: 25_000, reconnectAfterMs: 500 }]])
})

t.test('says nothing and asks nothing once it is over', async (t) => {
  const { session, carrier, told, open, budget } = oneSession({ role: 'agent' })
  const { connection, heard } = open(1)
  told.length = 0
  session.receiveData(carrier, 1, Buffer.alloc(100))
  session.lost(carrier, 'gone')
  session.lost(carrier, 'gone')
  t.strictSame(heard.endings, [{ kind: 'reset', by: 'tunnel', reason: 'gone' }])
  session.tick(60_000, 60_000)
  session.drain()
  session.receive(carrier, { type: 'DIAL_REQ', protocol: 'tcp', address: 'a:1', random: 9 })
  send(connection, Buffer.from('x'))
  taken(connection, 100)
  close(connection, 'x')
  session.writable(carrier)
  t.strictSame([told, carrier.frames(), budget.usedBytes], [[], [], 0])
})

const withoutLanes: Extensions = new Set([...offered].filter((name) => name !== 'lanes' && name !== 'policy'))
const strays: Readonly<Record<'server' | 'agent', readonly Packet[]>> = {
  server: [
    { type: 'DIAL_REQ', protocol: 'tcp', address: '10.0.0.1:80', random: 1 },
    { type: 'CLOSE_REQ', connectId: 1, reason: '' },
    { type: 'HEARTBEAT_ACK', seq: 1, serverUnixMs: 1 },
    { type: 'GOING_AWAY', reason: '', deadlineMs: 1, reconnectAfterMs: 1 },
    { type: 'LANE_OFFER', lane: 1, token: Buffer.alloc(16) },
    { type: 'MOVE', connectId: 1, carrier: 1 },
    { type: 'POLICY', version: 'v', rules: '' },
    { type: 'POLICY_ACK', version: 'v', accepted: 1, reason: '' },
  ],
  agent: [
    { type: 'DIAL_RSP', error: '', connectId: 1, random: 1 },
    { type: 'CLOSE_RSP', connectId: 1, error: '' },
    { type: 'DRAIN' },
    { type: 'HEARTBEAT', seq: 1, sentUnixMs: 1, health: {} },
    { type: 'LANES_WANTED', count: 1 },
    { type: 'MOVE', connectId: 1, carrier: 1 },
    { type: 'POLICY', version: 'v', rules: '' },
    { type: 'POLICY_ACK', version: 'v', accepted: 1, reason: '' },
  ],
}

t.test('counts and drops what its end or its extensions have no use for', async (t) => {
  for (const role of ['server', 'agent'] as const) {
    const { session, carrier, told, open } = oneSession({ role, extensions: withoutLanes })
    const { heard } = open(1)
    told.length = 0
    for (const packet of strays[role]) session.receive(carrier, packet)
    t.strictSame(
      told,
      strays[role].map(() => ['violation', 'unexpected']),
    )
    t.strictSame([heard.endings, heard.ended, carrier.frames()], [[], 0, []])
  }
})

t.test('a policy goes ahead of the dials that follow, and to nobody who did not ask for policies', async (t) => {
  const able = oneSession({ role: 'server', extensions: offered })
  const inLine: Packet[] = [] // frames that are ordered stand behind all of these
  Object.assign(able.carrier, { control: (packet: Packet) => void inLine.push(packet) })
  able.session.pushPolicy('v', '{}')
  const events = { connected: () => hearing().events, failed: () => {} }
  able.session.dial({ random: 1, protocol: 'tcp', address: 'a:1' }, events)
  able.session.pushPolicy('w', '{}')
  t.match(inLine, [
    { type: 'POLICY', version: 'v', rules: '{}' },
    { type: 'DIAL_REQ', random: 1 },
    { type: 'POLICY', version: 'w' },
  ])
  const stock = oneSession({ role: 'server', extensions: withoutLanes })
  stock.session.pushPolicy('v', '{}')
  t.strictSame(stock.carrier.frames(), [])
  const agent = oneSession({ role: 'agent', extensions: offered })
  agent.session.acknowledgePolicy({ version: 'v', accepted: false, reason: 'why' })
  t.match(agent.carrier.frames(), [{ type: 'POLICY_ACK', version: 'v', accepted: 0, reason: 'why' }])
})

t.test('agent: has drained when a ping that was sent after DRAIN is answered, not one from before', async (t) => {
  const { session, carrier, told } = stockSession('agent')
  session.tick(0, 0)
  session.drain()
  t.strictSame(carrier.frames(), [{ type: 'DRAIN' }])
  t.strictSame(told, [
    ['ping', 1],
    ['ping', 2],
  ])
  session.pingAnswered(1)
  t.equal(told.length, 2, 'the server may not have read DRAIN yet')
  session.pingAnswered(2)
  t.strictSame(told.slice(2), [['drained']])
  session.pingAnswered(2)
  t.equal(told.length, 3)
})

t.test('never sends a frame of an extension', async (t) => {
  for (const role of ['server', 'agent'] as const) {
    const { session, carrier, open, told } = stockSession(role)
    const { connection } = open(1)
    while (send(connection, Buffer.alloc(100_000))) t.pass('there is room, and there is no credit')
    session.receiveData(carrier, 1, Buffer.alloc(200_000))
    taken(connection, 200_000)
    session.tick(500, 500)
    if (role === 'agent') session.drain()
    session.goAway('shutdown', 1, 1)
    close(connection, 'ECONNRESET')
    const types = new Set(carrier.frames().map(({ type }) => type))
    t.strictSame([...types], role === 'server' ? ['DATA', 'CLOSE_REQ'] : ['DATA', 'DRAIN', 'CLOSE_RSP'])
    t.ok(
      told.some(([name]) => name === 'ping'),
      'it is pinged in the way of HTTP/2 instead',
    )
  }
})

t.test(
  'what waits for peers besides data counts for the process, and whoever has most of it is given up',
  async (t) => {
    const process = createBudget(1024 * 1024)
    const [first, second] = [1, 2].map(() => oneSession({ role: 'server', budget: createBudget(1024 * 1024, process) }))
    spendWithin(first!.session.excess, 500 * 1024)
    spendWithin(second!.session.excess, 600 * 1024)
    t.strictSame([first!.told, second!.told], [[], [['broken', 'peer-does-not-read']]])
    second!.session.lost(second!.carrier, 'it does not read')
    spend(second!.session.excess, -600 * 1024)
    t.strictSame([process.usedBytes, process.children.size], [500 * 1024, 2], 'and its budgets are gone')
  },
)
