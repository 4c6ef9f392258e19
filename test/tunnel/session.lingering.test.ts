/** Connections that have finished while their sockets still have bytes to take: they count, and can be given up. */
import t from 'tap'
import { createBudget } from '../../src/tunnel/budget.ts'
import type { Carrier } from '../../src/tunnel/carrier.ts'
import type { Connection } from '../../src/tunnel/connection.ts'
import { offered } from '../../src/tunnel/extensions.ts'
import { taken } from '../../src/tunnel/receiving.ts'
import { end } from '../../src/tunnel/sending.ts'
import { createSession } from '../../src/tunnel/session.ts'
import { hearing, roomyLimits } from './one-session.ts'

const carrier: Carrier = {
  index: 0,
  control: () => {},
  ordered: () => {},
  data: () => {},
  room: () => 512 * 1024,
  wake: () => {},
  read: () => {},
}

/** A server's session with two connections; `lost` bytes may wait in all. */
function setup(limitBytes: number) {
  const budget = createBudget(limitBytes)
  const violations: string[] = []
  const session = createSession(
    {
      role: 'server',
      extensions: offered,
      limits: roomyLimits,
      liveness: { intervalMs: Number.POSITIVE_INFINITY, timeoutMs: 1_000 },
      budget,
      nowMs: 0,
    },
    { broken: () => {}, violation: (violation) => violations.push(violation), ping: () => {}, roundTrip: () => {} },
  )
  session.addCarrier(carrier)
  const open = (id: number) => {
    const heard = hearing()
    let connection: Connection | undefined
    const connected = (opened: Connection) => {
      connection = opened
      return heard.events
    }
    session.dial({ random: id, protocol: 'tcp', address: 'a:1' }, { connected, failed: () => {} })
    session.receive(carrier, { type: 'DIAL_RSP', error: '', connectId: id, random: id })
    return { heard, connection: connection! }
  }
  return { session, budget, open, violations }
}

/** Brings bytes for a connection and ends it both ways; nothing of them is taken. */
function finishWith(session: ReturnType<typeof createSession>, connection: Connection, bytes: number): void {
  session.receiveData(carrier, connection.id, Buffer.alloc(bytes))
  end(connection)
  session.receive(carrier, { type: 'END_OF_DATA', connectId: connection.id, close: 0 })
}

t.test('a finished connection whose bytes nobody takes is given up before a live one that holds less', async (t) => {
  const { session, budget, open } = setup(100_000)
  const stalled = open(1)
  const live = open(2)
  finishWith(session, stalled.connection, 60_000)
  t.strictSame(stalled.heard.endings, [{ kind: 'finished' }])
  session.receiveData(carrier, 2, Buffer.alloc(50_000))
  t.equal(stalled.heard.givenUp, 1)
  t.strictSame(live.heard.endings, [])
  t.equal(budget.usedBytes, 50_000)
})

t.test('too much waiting closes one whose socket has stalled, not a larger one whose socket takes', async (t) => {
  const { session, open } = setup(200_000)
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
  const { session, budget, open } = setup(100_000)
  const done = open(1)
  finishWith(session, done.connection, 60_000)
  taken(done.connection, 60_000)
  t.equal(budget.usedBytes, 0)
  const live = open(2)
  session.receiveData(carrier, 2, Buffer.alloc(60_000))
  session.receiveData(carrier, 2, Buffer.alloc(60_000))
  t.equal(done.heard.givenUp, 0)
  t.match(live.heard.endings, [{ kind: 'reset', by: 'self', reason: 'over-budget' }])
})

t.test('a packet for no connection that comes in pieces is one violation', async (t) => {
  const { session, violations } = setup(100_000)
  session.receiveData(carrier, 7, Buffer.alloc(10))
  for (let piece = 0; piece < 5; piece++) session.receiveData(carrier, 7, Buffer.alloc(10), false)
  t.strictSame(violations, ['unknown-connection'])
})
