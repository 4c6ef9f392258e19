/** Several carriers: moves, what is announced on one and comes over another, and the loss of a carrier. */
import { Buffer } from 'node:buffer'
import t from 'tap'
import { type Budget, createBudget } from '../../src/tunnel/budget.ts'
import { EARLY_FRAME_BYTES } from '../../src/tunnel/early-frames.ts'
import { end, send } from '../../src/tunnel/sending.ts'
import type { SessionEvents } from '../../src/tunnel/session-owner.ts'
import { hearing, moveTo, oneSession } from './one-session.ts'
import { recordedCarrier } from './recorded-carrier.ts'

function withLane(role: 'server' | 'agent', owner: Partial<SessionEvents> = {}, budget?: Budget) {
  const made = oneSession({ role, owner, ...(budget && { budget }) })
  const lane = recordedCarrier(1)
  made.session.addCarrier(lane)
  made.session.heard(0, lane) // the server's sign that the agent has it
  lane.frames()
  return { ...made, lane }
}

t.test('says MOVE behind the data on the old carrier, and sends on over the new one', async (t) => {
  const { carrier, lane, open } = withLane('server')
  const { connection } = open(1)
  send(connection, Buffer.from('before'))
  t.ok(moveTo(connection, lane))
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
  session.receive(lane, { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' })
  t.strictSame([heard.bytes, heard.ended], [0, 0])
  session.receiveData(carrier, 1, Buffer.from('bef'))
  t.strictSame([heard.bytes, heard.ended], [3, 0])
  session.receive(carrier, { type: 'MOVE', connectId: 1, carrier: 1 })
  t.strictSame([heard.bytes, heard.ended], [8, 1])
})

t.test('closes alone a peer that sends too many frames ahead of its MOVE', async (t) => {
  const { session, carrier, lane, open } = withLane('server')
  const [other, { heard }] = [open(1), open(2)]
  for (let count = 1; count <= 65_536; count++)
    session.receive(lane, { type: 'END_OF_DATA', connectId: 2, close: 0, reason: '' })
  t.strictSame([heard.ended, heard.endings], [0, []])
  session.receive(lane, { type: 'END_OF_DATA', connectId: 2, close: 0, reason: '' })
  t.strictSame(heard.endings, [{ kind: 'reset', by: 'self', reason: 'flow-control-violation' }])
  t.strictSame(carrier.frames(), [{ type: 'CLOSE_REQ', connectId: 2, reason: 'flow-control-violation' }])
  t.strictSame(other.heard.endings, [])
})

t.test('does not move at the agent before the server is known to know the connection', async (t) => {
  const { session, carrier, lane, open } = withLane('agent')
  const { connection } = open(1)
  t.notOk(moveTo(connection, lane))
  session.receive(carrier, { type: 'BLOCKED', connectId: connection.id })
  t.ok(moveTo(connection, lane))
  t.notOk(moveTo(connection, lane), 'it is there already')
})

t.test('breaks the connections of a lost lane, tells the peer why, and leaves the others alone', async (t) => {
  const { session, carrier, lane, open } = withLane('server')
  const [stays, moved, comes] = [open(1), open(2), open(3)]
  moveTo(moved.connection, lane)
  session.receive(carrier, { type: 'MOVE', connectId: 3, carrier: 1 })
  carrier.frames()
  session.lost(lane, 'ECONNRESET')
  t.strictSame(stays.heard.endings, [])
  const lost = [{ kind: 'reset', by: 'tunnel', reason: 'carrier-lost' }]
  t.strictSame(moved.heard.endings, lost)
  t.strictSame(comes.heard.endings, lost)
  t.strictSame(carrier.frames(), [
    { type: 'CLOSE_REQ', connectId: 2, reason: 'carrier-lost' },
    { type: 'CLOSE_REQ', connectId: 3, reason: 'carrier-lost' },
  ])
  t.equal(session.connectionCount(), 1)
})

t.test('leaves it to the peer to notice that an end was lost with a lane', async (t) => {
  const { session, carrier, lane, open } = withLane('server')
  const { connection, heard } = open(1)
  moveTo(connection, lane)
  end(connection)
  session.lost(lane, 'ECONNRESET')
  t.strictSame(heard.endings, [], 'it may have arrived')
  session.receive(carrier, { type: 'CLOSE_RSP', connectId: 1, error: 'carrier-lost' })
  t.strictSame(heard.endings, [{ kind: 'reset', by: 'peer', reason: 'carrier-lost' }])
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
  moveTo(connection, lane)
  lane.roomBytes = 1_000
  t.notOk(send(connection, Buffer.alloc(2_000)), 'half of it waits for room on the lane')
  moveTo(connection, carrier)
  session.lost(lane, 'ECONNRESET')
  carrier.frames()
  session.writable(carrier)
  t.match(carrier.frames(), [{ type: 'DATA', data: Buffer.alloc(1_000) }])
  t.equal(heard.resumed, 1)
})

t.test('ends the session with the first carrier, whatever the lanes do', async (t) => {
  const { session, carrier, lane, open, budget } = withLane('server')
  const { heard, connection } = open(1)
  moveTo(connection, lane)
  session.lost(carrier, 'gone')
  t.strictSame(heard.endings, [{ kind: 'reset', by: 'tunnel', reason: 'gone' }])
  session.receiveData(lane, 1, Buffer.from('late'))
  session.lost(lane, 'too')
  t.strictSame([session.connectionCount(), heard.bytes, budget.usedBytes], [0, 0, 0])
})

t.test(
  'the agent greets a lane at once, and the server does not send on one before it has heard from it',
  async (t) => {
    const agent = oneSession({ role: 'agent' })
    const lane = recordedCarrier(1)
    agent.session.addCarrier(lane)
    t.strictSame(lane.frames(), [{ type: 'PING', nonce: 0 }])
    const server = oneSession({ role: 'server' })
    const { connection } = server.open(1)
    server.session.addCarrier(lane)
    t.strictSame(lane.frames(), [])
    t.notOk(moveTo(connection, lane))
    server.session.heard(0, lane)
    server.session.receive(lane, { type: 'PING', nonce: 0 })
    t.strictSame(lane.frames(), [{ type: 'PONG', nonce: 0 }], 'where it was asked')
    t.ok(moveTo(connection, lane))
  },
)

t.test('finds a silent lane dead, whatever the stream says, and a silent stream, whatever the lane says', async (t) => {
  const dead: unknown[] = []
  const { session, lane, told } = withLane('agent', { laneDead: (carrier) => dead.push(carrier) })
  for (let ms = 500; ms <= 12_500; ms += 500) {
    session.heard(ms)
    session.tick(ms, ms)
    t.strictSame(dead, ms < 12_500 ? [] : [lane], `${ms}`)
  }
  t.strictSame(lane.frames().length, 3, 'it was pinged every five seconds')
  session.lost(lane, 'dead')
  const other = withLane('agent')
  for (let ms = 500; ms <= 12_500; ms += 500) {
    other.session.heard(ms, other.lane)
    other.session.tick(ms, ms)
  }
  t.strictSame(other.told.at(-1), ['broken', 'heartbeat-timeout'])
  t.notOk(told.some(([event]) => event === 'broken'))
})

t.test('a server does not ping a lane, and finds it dead as well', async (t) => {
  const dead: unknown[] = []
  const { session, lane } = withLane('server', { laneDead: (carrier) => dead.push(carrier) })
  for (let ms = 500; ms <= 12_500; ms += 500) {
    session.heard(ms)
    session.tick(ms, ms)
  }
  t.strictSame(lane.frames(), [])
  t.strictSame(dead[0], lane)
})

t.test('gives a lane up that nothing has used for ten minutes, and not before', async (t) => {
  const idle: unknown[] = []
  const { session, lane, open, carrier } = withLane('agent', { laneIdle: (carrier) => idle.push(carrier) })
  const { connection } = open(1)
  session.receive(carrier, { type: 'BLOCKED', connectId: 1 })
  const minutes = (from: number, to: number): void => {
    for (let ms = from * 60_000; ms <= to * 60_000; ms += 5_000) {
      session.heard(ms)
      session.heard(ms, lane)
      session.tick(ms, ms)
    }
  }
  minutes(0, 9)
  moveTo(connection, lane)
  minutes(9, 12)
  t.ok(moveTo(connection, carrier))
  minutes(12, 21)
  t.strictSame(idle, [])
  minutes(21, 23)
  t.strictSame(idle, [lane])
  t.notOk(moveTo(connection, lane), 'nothing more goes over it')
})

t.test('breaks nothing when a lane is ended in order, and says MOVE behind the last data', async (t) => {
  const { session, carrier, lane, open } = withLane('server')
  const { connection, heard } = open(1)
  moveTo(connection, lane)
  send(connection, Buffer.from('over the lane'))
  session.receive(carrier, { type: 'MOVE', connectId: 1, carrier: 1 })
  session.receive(lane, { type: 'MOVE', connectId: 1, carrier: 0 })
  session.ended(lane)
  session.lost(lane, 'closed')
  t.match(lane.frames(), [{ type: 'DATA' }, { type: 'MOVE', connectId: 1, carrier: 0 }])
  t.strictSame(heard.endings, [])
  send(connection, Buffer.from('over the stream'))
  t.match(carrier.frames().at(-1), { type: 'DATA' })
})

t.test('breaks a connection whose data is not complete when its lane ends', async (t) => {
  const { session, carrier, lane, open } = withLane('server')
  const [comes, waits, good] = [open(1), open(2), open(3)]
  session.receive(carrier, { type: 'MOVE', connectId: 1, carrier: 1 })
  session.receiveData(lane, 2, Buffer.from('its MOVE is still to come, and so is more'))
  session.receiveData(lane, 3, Buffer.from('its MOVE is still to come'))
  session.receive(lane, { type: 'MOVE', connectId: 3, carrier: 0 })
  session.ended(lane)
  t.strictSame([comes.heard.endings.length, waits.heard.endings.length, good.heard.endings.length], [1, 1, 0])
  session.lost(lane, 'closed')
  session.heard(10_000)
  session.tick(10_000, 10_000) // now and then it looks what can be forgotten
  session.receive(carrier, { type: 'MOVE', connectId: 3, carrier: 1 })
  t.strictSame([good.heard.bytes, good.heard.endings], [25, []])
  session.heard(20_000)
  session.tick(20_000, 20_000)
  session.receive(carrier, { type: 'MOVE', connectId: 3, carrier: 1 })
  t.match(good.heard.endings, [{ kind: 'reset', reason: 'carrier-lost' }], 'a carrier that is no more')
})

t.test('breaks a connection that comes back to a lane that has ended', async (t) => {
  const { session, carrier, lane, open } = withLane('server')
  const { heard } = open(1)
  session.receive(lane, { type: 'MOVE', connectId: 1, carrier: 0 })
  session.ended(lane)
  session.receive(carrier, { type: 'MOVE', connectId: 1, carrier: 1 })
  t.strictSame(heard.endings, [], 'that was in order')
  session.receive(carrier, { type: 'MOVE', connectId: 1, carrier: 1 })
  t.match(heard.endings, [{ kind: 'reset', reason: 'carrier-lost' }])
})

t.test('counts what waits for its MOVE against the budget, as its own and not as the read it came in', async (t) => {
  const { session, carrier, lane, open, budget } = withLane('server')
  open(1)
  const texts: string[] = []
  open(2, { ...hearing().events, data: (bytes) => texts.push(Buffer.from(bytes).toString()) })
  const read = Buffer.alloc(16_384, 'early')
  session.receiveData(lane, 2, read.subarray(0, 5))
  read.fill(0)
  t.equal(budget.usedBytes, 5 + EARLY_FRAME_BYTES, 'a frame of a few bytes takes more than those')
  session.receive(carrier, { type: 'MOVE', connectId: 2, carrier: 1 })
  t.strictSame([texts, budget.usedBytes], [['early'], 5], 'now it waits for the socket')
  session.receiveData(lane, 1, Buffer.alloc(1_000))
  t.equal(budget.usedBytes, 1_005 + EARLY_FRAME_BYTES)
  session.lost(carrier, 'gone')
  t.equal(budget.usedBytes, 0)
})

t.test('closes who holds most when too much waits for a MOVE', async (t) => {
  const { session, lane, open } = withLane('server', {}, createBudget(100_000 + 2 * EARLY_FRAME_BYTES))
  const [least, most] = [open(1), open(2)]
  session.receiveData(lane, 1, Buffer.alloc(40_000))
  session.receiveData(lane, 2, Buffer.alloc(59_999))
  t.strictSame([least.heard.endings, most.heard.endings], [[], []])
  session.receiveData(lane, 1, Buffer.alloc(2))
  t.strictSame(least.heard.endings, [])
  t.match(most.heard.endings, [{ kind: 'reset', reason: 'over-budget' }])
})

t.test('tells its owner that lanes would help when a peer sends much, and not when it sends little', async (t) => {
  let wanted = 0
  const { session, carrier, open } = withLane('agent', { carriesMuch: () => wanted++ })
  const { connection } = open(1)
  for (const size of [128, 256, 512]) {
    t.equal(wanted, 0)
    session.receive(carrier, { type: 'BLOCKED', connectId: 1 })
    t.equal(connection.window.size, size * 1024)
  }
  t.equal(wanted, 1)
})
