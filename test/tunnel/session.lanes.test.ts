/** Several carriers: moves, what is announced on one and comes over another, and the loss of a carrier. */
import { Buffer } from 'node:buffer'
import t from 'tap'
import { end, send } from '../../src/tunnel/sending.ts'
import { allWithLanes, oneSession } from './one-session.ts'
import { recordedCarrier } from './recorded-carrier.ts'

function withLane(role: 'server' | 'agent') {
  const made = oneSession({ role, extensions: allWithLanes })
  const lane = recordedCarrier(1)
  made.session.addCarrier(lane)
  return { ...made, lane }
}

t.test('says MOVE behind the data on the old carrier, and sends on over the new one', async (t) => {
  const { session, carrier, lane, open } = withLane('server')
  const { connection } = open(1)
  send(connection, Buffer.from('before'))
  t.ok(session.move(connection, lane))
  send(connection, Buffer.from('after'))
  end(connection)
  t.match(carrier.frames(), [
    { type: 'DATA', data: Buffer.from('before') },
    { type: 'MOVE', connectId: 1, carrier: 1 },
  ])
  t.match(lane.frames(), [{ type: 'DATA', data: Buffer.from('after') }, { type: 'END_OF_DATA' }])
})

t.test('keeps what comes over the new carrier until the MOVE arrives on the old one', async (t) => {
  const { session, carrier, lane, open } = withLane('server')
  const { heard } = open(1)
  session.receiveData(lane, 1, Buffer.from('after'))
  session.receive(lane, { type: 'END_OF_DATA', connectId: 1, close: 0 })
  t.strictSame([heard.bytes, heard.ended], [0, 0])
  session.receiveData(carrier, 1, Buffer.from('bef'))
  t.strictSame([heard.bytes, heard.ended], [3, 0])
  session.receive(carrier, { type: 'MOVE', connectId: 1, carrier: 1 })
  t.strictSame([heard.bytes, heard.ended], [8, 1])
})

t.test('closes alone a peer that sends too many frames ahead of its MOVE', async (t) => {
  const { session, carrier, lane, open } = withLane('server')
  const [other, { heard }] = [open(1), open(2)]
  for (let count = 1; count <= 16_384; count++) session.receive(lane, { type: 'END_OF_DATA', connectId: 2, close: 0 })
  t.strictSame([heard.ended, heard.endings], [0, []])
  session.receive(lane, { type: 'END_OF_DATA', connectId: 2, close: 0 })
  t.strictSame(heard.endings, [{ kind: 'reset', by: 'self', reason: 'flow-control-violation' }])
  t.strictSame(carrier.frames(), [{ type: 'CLOSE_REQ', connectId: 2, reason: 'flow-control-violation' }])
  t.strictSame(other.heard.endings, [])
})

t.test('does not move at the agent before the server is known to know the connection', async (t) => {
  const { session, carrier, lane, open } = withLane('agent')
  const { connection } = open(1)
  t.notOk(session.move(connection, lane))
  session.receive(carrier, { type: 'BLOCKED', connectId: connection.id })
  t.ok(session.move(connection, lane))
  t.notOk(session.move(connection, lane), 'it is there already')
})

t.test('breaks the connections of a lost lane, tells the peer why, and leaves the others alone', async (t) => {
  const { session, carrier, lane, open } = withLane('server')
  const [stays, moved, dialled] = [open(1), open(2), open(3, lane)]
  session.move(moved.connection, lane)
  carrier.frames()
  session.lost(lane, 'ECONNRESET')
  t.strictSame(stays.heard.endings, [])
  const lost = [{ kind: 'reset', by: 'tunnel', reason: 'carrier-lost' }]
  t.strictSame(moved.heard.endings, lost)
  t.strictSame(dialled.heard.endings, lost)
  t.strictSame(carrier.frames(), [
    { type: 'CLOSE_REQ', connectId: 2, reason: 'carrier-lost' },
    { type: 'CLOSE_REQ', connectId: 3, reason: 'carrier-lost' },
  ])
  t.equal(session.connectionCount(), 1)
})

t.test(
  'breaks a connection that was announced to come over the lost lane, even when that MOVE still waits',
  async (t) => {
    const { session, carrier, lane, open } = withLane('server')
    const second = recordedCarrier(2)
    session.addCarrier(second)
    const { heard } = open(1)
    session.receive(second, { type: 'MOVE', connectId: 1, carrier: 1 }) // its turn comes after MOVE 2 on carrier 0
    session.lost(lane, 'ECONNRESET')
    session.receive(carrier, { type: 'MOVE', connectId: 1, carrier: 2 })
    t.match(heard.endings, [{ kind: 'reset', reason: 'carrier-lost' }])
  },
)

t.test('breaks a connection of which something came over the lost lane ahead of its MOVE', async (t) => {
  const { session, lane, open } = withLane('server')
  const { heard } = open(1)
  session.receiveData(lane, 1, Buffer.from('early'))
  session.lost(lane, 'ECONNRESET')
  t.match(heard.endings, [{ kind: 'reset', by: 'tunnel', reason: 'carrier-lost' }])
})

t.test('breaks a connection that moves to a carrier which is not there', async (t) => {
  const { session, carrier, open } = withLane('agent')
  const { heard } = open(1)
  session.receive(carrier, { type: 'MOVE', connectId: 1, carrier: 9 })
  t.strictSame(heard.endings, [{ kind: 'reset', by: 'self', reason: 'carrier-lost' }])
  t.match(carrier.frames(), [{ type: 'CLOSE_RSP', connectId: 1, error: 'carrier-lost' }])
})

t.test('gives those who wait for a lost lane their turn on the carrier that they moved to', async (t) => {
  const { session, carrier, lane, open } = withLane('server')
  const { connection, heard } = open(1)
  session.move(connection, lane)
  lane.roomBytes = 1_000
  t.notOk(send(connection, Buffer.alloc(2_000)), 'half of it waits for room on the lane')
  session.move(connection, carrier)
  session.lost(lane, 'ECONNRESET')
  carrier.frames()
  session.writable(carrier)
  t.match(carrier.frames(), [{ type: 'DATA', data: Buffer.alloc(1_000) }])
  t.equal(heard.resumed, 1)
})

t.test('fails the dials of a lost lane and cancels them at the agent', async (t) => {
  const { session, lane } = withLane('server')
  const failures: unknown[] = []
  const dialEvents = { connected: () => t.fail('connected'), failed: (failure: unknown) => failures.push(failure) }
  session.dial({ random: 1, protocol: 'tcp', address: 'a:1' }, dialEvents as never, lane)
  session.lost(lane, 'ECONNRESET')
  t.strictSame(failures, [{ kind: 'lost', reason: 'ECONNRESET' }])
  const agent = withLane('agent')
  agent.session.receive(agent.lane, { type: 'DIAL_REQ', protocol: 'tcp', address: 'a:1', random: 5 })
  agent.session.lost(agent.lane, 'ECONNRESET')
  t.strictSame(agent.told.slice(-1), [['dialCancelled', 5]])
  t.equal(agent.session.dialCount(), 0)
})

t.test('ends the session with the first carrier, whatever the lanes do', async (t) => {
  const { session, carrier, lane, open, budget } = withLane('server')
  const { heard, connection } = open(1)
  session.move(connection, lane)
  session.lost(carrier, 'gone')
  t.strictSame(heard.endings, [{ kind: 'reset', by: 'tunnel', reason: 'gone' }])
  session.receiveData(lane, 1, Buffer.from('late'))
  session.lost(lane, 'too')
  t.strictSame([session.connectionCount(), heard.bytes, budget.usedBytes], [0, 0, 0])
})
