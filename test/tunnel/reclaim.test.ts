/** Windows, connections and bytes that a session takes back unasked. */
import { Buffer } from 'node:buffer'
import t from 'tap'
import { createBudget } from '../../src/tunnel/budget.ts'
import { type Connection, countHeld } from '../../src/tunnel/connection.ts'
import { taken } from '../../src/tunnel/receiving.ts'
import { end, leave, send } from '../../src/tunnel/sending.ts'
import { type OneSession, oneSession, stockSession } from './one-session.ts'

const KIB = 1024
const MINUTE_MS = 60_000
const LOOK_MS = 10_000 // how often idle connections are looked at

/** A server's session in which so many bytes may wait in all. */
const holding = (limitBytes: number): OneSession => oneSession({ role: 'server', budget: createBudget(limitBytes) })

/** Brings bytes for a connection and ends it both ways; nothing of them is taken. */
function finishWith({ session, carrier }: OneSession, connection: Connection, bytes: number): void {
  session.receiveData(carrier, connection.id, Buffer.alloc(bytes))
  end(connection)
  session.receive(carrier, { type: 'END_OF_DATA', connectId: connection.id, close: 0, reason: '' })
}

t.test('counts what waits for the peer, and closes whoever holds most of that', async (t) => {
  const budget = createBudget(150 * KIB)
  const { session, carrier, open } = oneSession({ role: 'server', budget })
  const [large, small, third] = [open(1), open(2), open(3)]
  session.receiveData(carrier, 3, Buffer.alloc(40 * KIB))
  carrier.roomBytes = 0
  send(large.connection, Buffer.alloc(64 * KIB))
  send(small.connection, Buffer.alloc(46 * KIB))
  t.equal(budget.usedBytes, 150 * KIB)
  t.strictSame(
    [large, small, third].map(({ heard }) => heard.endings.length),
    [0, 0, 0],
    'at the limit',
  )
  t.equal(send(small.connection, Buffer.alloc(1)), false)
  t.match(large.heard.endings, [{ kind: 'reset', by: 'self', reason: 'over-budget' }])
  t.equal(budget.usedBytes, 86 * KIB + 1)
  carrier.roomBytes = 40 * KIB
  session.writable(carrier)
  t.equal(budget.usedBytes, 46 * KIB + 1, 'what has left counts no longer')
  session.lost(carrier, 'gone')
  t.equal(budget.usedBytes, 0)
})

t.test('towards a stock peer what waits for it does not keep its stream from being read', async (t) => {
  const { session, carrier, open } = stockSession('server')
  const { connection } = open(1)
  carrier.roomBytes = 0
  for (let each = 0; each < 65; each++) send(connection, Buffer.alloc(1024 * KIB))
  session.receiveData(carrier, 1, Buffer.alloc(1))
  t.ok(carrier.reading)
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

t.test('a finished connection whose bytes nobody takes is given up before a live one that holds less', async (t) => {
  const it = holding(100_000)
  const { session, carrier, budget, open } = it
  const stalled = open(1)
  const live = open(2)
  finishWith(it, stalled.connection, 60_000)
  t.strictSame(stalled.heard.endings, [{ kind: 'finished' }])
  session.receiveData(carrier, 2, Buffer.alloc(50_000))
  t.equal(stalled.heard.givenUp, 1)
  t.strictSame(live.heard.endings, [])
  t.equal(budget.usedBytes, 50_000)
})

t.test('too much waiting closes one whose socket has stalled, not a larger one whose socket takes', async (t) => {
  const { session, carrier, open } = holding(200_000)
  const stalled = open(1)
  const fast = open(2)
  session.receiveData(carrier, 1, Buffer.alloc(60_000))
  session.heard(1_000)
  session.receiveData(carrier, 2, Buffer.alloc(100_000))
  taken(fast.connection, 1_000)
  session.receiveData(carrier, 2, Buffer.alloc(50_000))
  t.match(stalled.heard.endings, [{ kind: 'reset', by: 'self', reason: 'over-budget' }])
  t.strictSame(fast.heard.endings, [])
})

t.test('a finished connection that was taken to the last byte is forgotten', async (t) => {
  const it = holding(100_000)
  const { session, carrier, budget, open } = it
  const done = open(1)
  finishWith(it, done.connection, 60_000)
  taken(done.connection, 60_000)
  t.equal(budget.usedBytes, 0)
  const live = open(2)
  session.receiveData(carrier, 2, Buffer.alloc(60_000))
  session.receiveData(carrier, 2, Buffer.alloc(60_000))
  t.equal(done.heard.givenUp, 0)
  t.match(live.heard.endings, [{ kind: 'reset', by: 'self', reason: 'over-budget' }])
})

/** A server's connection that has left with bytes for which there is no credit, 0 ms ago. */
function leaving() {
  const it = oneSession({ role: 'server' })
  const { connection, heard } = it.open(1)
  send(connection, Buffer.alloc(64 * KIB))
  send(connection, Buffer.from('last'))
  leave(connection)
  it.carrier.frames()
  const look = (nowMs: number): void => {
    it.session.heard(nowMs)
    it.session.tick(nowMs, nowMs)
  }
  return { ...it, connection, heard, look }
}

t.test('server: what a peer takes nothing of for a minute is given up, and not before', async (t) => {
  const { heard, look, carrier } = leaving()
  for (let nowMs = 0; nowMs < MINUTE_MS; nowMs += LOOK_MS) look(nowMs)
  t.strictSame(heard.endings, [])
  look(MINUTE_MS)
  t.strictSame(heard.endings, [{ kind: 'reset', by: 'self', reason: 'peer-takes-nothing' }])
  t.match(carrier.frames(), [{ type: 'CLOSE_REQ', connectId: 1, reason: 'peer-takes-nothing' }])
})

t.test('server: a target that sends on and on takes nothing all the same', async (t) => {
  const { heard, look, session, carrier, connection } = leaving()
  for (let nowMs = 0; nowMs < MINUTE_MS; nowMs += LOOK_MS) {
    look(nowMs)
    session.receiveData(carrier, 1, Buffer.alloc(10))
    taken(connection, 10)
  }
  look(MINUTE_MS)
  t.match(heard.endings, [{ reason: 'peer-takes-nothing' }])
})

t.test('server: a minute counts from the last credit', async (t) => {
  const { heard, look, session, carrier, connection } = leaving()
  connection.held.push(Buffer.alloc(64 * KIB)) // as many reads as were under way
  connection.held.push(Buffer.alloc(64 * KIB))
  countHeld(connection, 128 * KIB)
  look(LOOK_MS)
  session.receive(carrier, { type: 'WINDOW_UPDATE', connectId: 1, credit: 16 * KIB })
  look(MINUTE_MS)
  t.strictSame(heard.endings, [])
  look(MINUTE_MS + LOOK_MS)
  t.equal(heard.endings.length, 1)
})

t.test('server: a minute counts from the moment it left', async (t) => {
  const it = oneSession({ role: 'server' })
  const { connection, heard } = it.open(1)
  send(connection, Buffer.alloc(64 * KIB))
  send(connection, Buffer.from('last'))
  it.session.heard(MINUTE_MS)
  leave(connection)
  it.session.tick(MINUTE_MS, MINUTE_MS)
  it.session.tick(2 * MINUTE_MS - 1, 2 * MINUTE_MS)
  t.strictSame(heard.endings, [])
})

t.test('server: an owner that has not left waits for its peer as long as it likes', async (t) => {
  const { open, session } = oneSession({ role: 'server' })
  const { connection, heard } = open(1)
  send(connection, Buffer.alloc(64 * KIB))
  send(connection, Buffer.from('last'))
  end(connection)
  for (let nowMs = 0; nowMs < 5 * MINUTE_MS; nowMs += LOOK_MS) {
    session.heard(nowMs)
    session.tick(nowMs, nowMs)
  }
  t.strictSame(heard.endings, [])
})

t.test('server: gives up on an agent that never answers CLOSE_REQ, 30 s after the last byte', async (t) => {
  const { session, carrier, open } = stockSession('server')
  const { connection, heard } = open(1)
  end(connection)
  for (let ms = 10_000; ms <= 20_000; ms += 5_000) {
    session.heard(ms)
    session.tick(ms, ms)
  }
  session.receiveData(carrier, 1, Buffer.from('x'))
  for (let ms = 25_000; ms < 50_000; ms += 5_000) {
    session.heard(ms)
    session.tick(ms, ms)
  }
  t.strictSame(heard.endings, [])
  session.heard(60_000)
  session.tick(60_000, 60_000)
  t.strictSame(heard.endings, [{ kind: 'reset', by: 'tunnel', reason: 'close-unanswered' }])
})
