/** Credit, half close, heartbeats, drain: what one end does, told as stories. */
import { Buffer } from 'node:buffer'
import t from 'tap'
import { createBudget } from '../../src/tunnel/budget.ts'
import { close } from '../../src/tunnel/ending.ts'
import { taken } from '../../src/tunnel/receiving.ts'
import { end, send } from '../../src/tunnel/sending.ts'
import { hearing, oneSession } from './one-session.ts'

const KIB = 1024

t.test('sends on until its credit is used up, says so once, and reads on when there is more', async (t) => {
  const { session, carrier, open } = oneSession({ role: 'server' })
  const { connection, heard } = open(1)
  t.ok(send(connection, Buffer.alloc(64 * KIB - 1)), 'one byte is left')
  t.notOk(send(connection, Buffer.alloc(128 * KIB)), 'so this read may go, all of it')
  t.notOk(send(connection, Buffer.alloc(10)), 'this one waits')
  t.match(
    carrier.frames().map((frame) => (frame.type === 'DATA' ? frame.data.length : frame)),
    [64 * KIB - 1, 128 * KIB, { type: 'BLOCKED', connectId: 1 }],
  )
  session.receive(carrier, { type: 'WINDOW_UPDATE', connectId: 1, credit: 128 * KIB - 1 })
  t.strictSame([carrier.frames(), heard.resumed], [[], 0], 'that only pays the debt')
  session.receive(carrier, { type: 'WINDOW_UPDATE', connectId: 1, credit: 11 })
  t.match(carrier.frames(), [{ type: 'DATA', data: Buffer.alloc(10) }])
  session.writable(carrier)
  t.equal(heard.resumed, 1)
})

t.test('copies what it must keep: the buffer of a read is used again', async (t) => {
  const { session, carrier, open } = oneSession({ role: 'server' })
  const { connection } = open(1)
  carrier.roomBytes = 2
  const read = Buffer.from('hello')
  send(connection, read)
  read.fill('x')
  carrier.roomBytes = 100
  session.writable(carrier)
  t.match(carrier.frames(), [{ data: Buffer.from('he') }, { data: Buffer.from('llo') }])
})

t.test('closes alone a peer that overdraws its credit by more than a read', async (t) => {
  const { session, carrier, open } = oneSession({ role: 'server' })
  const [greedy, other] = [open(1), open(2)]
  session.receiveData(carrier, 1, Buffer.alloc(192 * KIB))
  t.strictSame(greedy.heard.endings, [])
  session.receiveData(carrier, 1, Buffer.alloc(1))
  t.match(greedy.heard.endings, [{ kind: 'reset', by: 'self', reason: 'flow-control-violation' }])
  t.equal(greedy.heard.bytes, 192 * KIB)
  t.match(carrier.frames(), [{ type: 'CLOSE_REQ', connectId: 1, reason: 'flow-control-violation' }])
  t.strictSame(other.heard.endings, [])
})

t.test('closes alone a peer that grants credit which cannot be', async (t) => {
  for (const credit of [0, -1, 2 ** 31]) {
    const { session, carrier, open } = oneSession({ role: 'agent' })
    const { heard } = open(1)
    session.receive(carrier, { type: 'WINDOW_UPDATE', connectId: 1, credit })
    t.match(heard.endings, [{ kind: 'reset', reason: 'flow-control-violation' }], `${credit}`)
  }
})

t.test('grants more to a sender that ran out while its reader keeps up, and nothing while it does not', async (t) => {
  const { session, carrier, open } = oneSession({ role: 'server' })
  const { connection } = open(1)
  session.receiveData(carrier, 1, Buffer.alloc(64 * KIB))
  session.receive(carrier, { type: 'BLOCKED', connectId: 1 })
  t.strictSame(carrier.frames(), [], 'nothing was taken')
  taken(connection, 64 * KIB)
  t.strictSame(carrier.frames(), [{ type: 'WINDOW_UPDATE', connectId: 1, credit: 64 * KIB }])
  session.receive(carrier, { type: 'BLOCKED', connectId: 1 })
  t.strictSame(carrier.frames(), [{ type: 'WINDOW_UPDATE', connectId: 1, credit: 64 * KIB }], 'a window of 128 KiB')
})

t.test('a reader that takes nothing never makes the window grow beyond its second size', async (t) => {
  const { session, carrier, open } = oneSession({ role: 'server' })
  const { connection } = open(1)
  let credit = 64 * KIB
  let received = 0
  for (let round = 0; round < 100; round++) {
    session.receive(carrier, { type: 'BLOCKED', connectId: 1 }) // control frames overtake the data before them
    for (const frame of carrier.frames()) if (frame.type === 'WINDOW_UPDATE') credit += frame.credit
    if (credit <= 0) break
    const read = 128 * KIB
    session.receiveData(carrier, 1, Buffer.alloc(read))
    credit -= read
    received += read
  }
  t.ok(received <= 256 * KIB, `${received} bytes wait for a reader that takes nothing`)
  t.ok(connection.window.size <= 128 * KIB)
})

t.test('lets no window grow while the budget is tight', async (t) => {
  const { session, carrier, open } = oneSession({ role: 'server', budget: createBudget(80 * KIB) })
  open(1)
  open(2)
  session.receiveData(carrier, 1, Buffer.alloc(60 * KIB))
  session.receive(carrier, { type: 'BLOCKED', connectId: 2 })
  t.strictSame(carrier.frames(), [])
})

t.test('gives back what an idle window had grown', async (t) => {
  const { session, carrier, open } = oneSession({ role: 'server' })
  const { connection } = open(1)
  session.receive(carrier, { type: 'BLOCKED', connectId: 1 })
  t.equal(connection.window.size, 128 * KIB)
  for (let ms = 1_000; ms <= 9_000; ms += 1_000) {
    session.heard(ms)
    session.tick(ms, ms)
  }
  t.equal(connection.window.size, 128 * KIB)
  session.heard(10_000)
  session.tick(10_000, 10_000)
  t.equal(connection.window.size, 64 * KIB)
})

t.test('is over when both directions have ended, in either order, with no word more', async (t) => {
  for (const first of ['we', 'they'] as const) {
    const { session, carrier, open } = oneSession({ role: 'agent' })
    const { connection, heard } = open(1)
    const theirs = (): void => session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 0 })
    if (first === 'they') theirs()
    end(connection)
    t.strictSame(heard.endings, first === 'they' ? [{ kind: 'finished' }] : [])
    if (first === 'we') theirs()
    t.strictSame(heard.endings, [{ kind: 'finished' }])
    t.equal(heard.ended, 1)
    t.strictSame(carrier.frames(), [{ type: 'END_OF_DATA', connectId: 1, close: 0 }])
    t.equal(session.connectionCount(), 0)
    t.notOk(send(connection, Buffer.from('late')))
    close(connection, 'late')
    t.strictSame(carrier.frames(), [])
  }
})

t.test('an end stays behind the bytes that wait for credit', async (t) => {
  const { session, carrier, open } = oneSession({ role: 'server' })
  const { connection } = open(1)
  send(connection, Buffer.alloc(64 * KIB))
  send(connection, Buffer.from('last'))
  end(connection)
  t.strictSame(
    carrier.frames().map(({ type }) => type),
    ['DATA', 'BLOCKED'],
  )
  session.receive(carrier, { type: 'WINDOW_UPDATE', connectId: 1, credit: 1 })
  t.match(carrier.frames(), [{ type: 'DATA', data: Buffer.from('last') }, { type: 'END_OF_DATA' }])
})

t.test('a reset says why to a peer that understands it, whoever it comes from', async (t) => {
  const server = oneSession({ role: 'server' })
  close(server.open(1).connection, 'ECONNRESET')
  t.strictSame(server.carrier.frames(), [{ type: 'CLOSE_REQ', connectId: 1, reason: 'ECONNRESET' }])
  const agent = oneSession({ role: 'agent' })
  const { connection, heard } = agent.open(1)
  agent.session.receiveData(agent.carrier, 1, Buffer.alloc(100))
  agent.session.receive(agent.carrier, { type: 'CLOSE_REQ', connectId: 1, reason: 'ECONNRESET' })
  t.strictSame(heard.endings, [{ kind: 'reset', by: 'peer', reason: 'ECONNRESET' }])
  t.equal(agent.budget.usedBytes, 0, 'what it had not taken is let go')
  taken(connection, 100)
  t.strictSame([agent.carrier.frames(), agent.budget.usedBytes], [[], 0])
})

t.test('closes whoever holds most when the stream holds too much', async (t) => {
  const { session, carrier, open } = oneSession({ role: 'server', budget: createBudget(150 * KIB) })
  const [large, small] = [open(1), open(2)]
  session.receiveData(carrier, 1, Buffer.alloc(100 * KIB))
  session.receiveData(carrier, 2, Buffer.alloc(50 * KIB))
  t.strictSame([large.heard.endings, small.heard.endings], [[], []])
  session.receiveData(carrier, 2, Buffer.alloc(1))
  t.match(large.heard.endings, [{ kind: 'reset', by: 'self', reason: 'over-budget' }])
  t.strictSame(small.heard.endings, [])
})

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
  session.tick(5_999, 5_999)
  t.strictSame(carrier.frames(), [])
  session.tick(6_000, 6_000)
  t.match(carrier.frames(), [{ type: 'HEARTBEAT', seq: 2 }])
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
  const grown = (roundTripMs: number): number => {
    const { session, carrier, open } = oneSession({ role: 'agent' })
    session.tick(1_000, 1_000)
    session.heard(1_000 + roundTripMs)
    session.receive(carrier, { type: 'HEARTBEAT_ACK', seq: 1, serverUnixMs: 5 })
    const { connection } = open(1)
    for (let round = 0; round < 12; round++) session.receive(carrier, { type: 'BLOCKED', connectId: 1 })
    return connection.window.size
  }
  t.equal(grown(10), 2 * 2 ** 20)
  t.equal(grown(11), 16 * 2 ** 20)
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
