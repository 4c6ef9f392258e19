import { Buffer } from 'node:buffer'
import t from 'tap'
import { BULK_BYTES, CALM_BYTES, DRAIN_BYTES_PER_MS } from '../../src/tunnel/bulk.ts'
import { READ_BYTES } from '../../src/tunnel/carrier.ts'
import type { Connection } from '../../src/tunnel/connection.ts'
import { offered, without } from '../../src/tunnel/extensions.ts'
import { LANE_IDLE_MS } from '../../src/tunnel/outlets.ts'
import { taken } from '../../src/tunnel/receiving.ts'
import { send } from '../../src/tunnel/sending.ts'
import { oneSession } from './one-session.ts'
import { type RecordedCarrier, recordedCarrier } from './recorded-carrier.ts'

/** @param lanes how many there are */
function steered(lanes: number, extensions?: typeof offered) {
  const wanted: number[] = []
  const idle: unknown[] = []
  const made = oneSession({
    role: 'agent',
    ...(extensions && { extensions }),
    owner: { carriesMuch: () => wanted.push(1), laneIdle: (lane) => idle.push(lane) },
  })
  const carriers = Array.from({ length: lanes }, (_, index) => recordedCarrier(index + 1))
  for (const lane of carriers) made.session.addCarrier(lane)
  const open = (id: number): Connection => {
    const { connection } = made.open(id)
    made.session.receive(made.carrier, { type: 'WINDOW_UPDATE', connectId: id, credit: 2 ** 30 })
    made.carrier.frames()
    return connection
  }
  return { ...made, open, wanted, idle, lanes: carriers }
}

/** Which carrier what is sent now goes over. */
function pour(connection: Connection, bytes: number): RecordedCarrier {
  for (let left = bytes; left > 0; left -= READ_BYTES) {
    ;(connection.out.carrier as RecordedCarrier).roomBytes = 512 * 1024
    send(connection, Buffer.alloc(Math.min(left, READ_BYTES)))
  }
  return connection.out.carrier as RecordedCarrier
}

t.test(
  'moves a connection to a lane when it has sent more than a burst, and asks for lanes where there are none',
  async (t) => {
    const { open, carrier, lanes, wanted } = steered(1)
    const connection = open(1)
    t.equal(pour(connection, BULK_BYTES), carrier)
    t.strictSame(wanted, [])
    t.equal(pour(connection, 1), lanes[0])
    t.strictSame(wanted, [1])
    t.equal(carrier.frames().at(-1)?.type, 'MOVE', 'behind what went over the stream')
    const none = steered(0)
    const lonely = none.open(1)
    t.equal(pour(lonely, BULK_BYTES + 2 * READ_BYTES), none.carrier)
    t.equal(none.wanted.length, 2, 'again and again')
  },
)

t.test('does not take for a burst what comes slower than the bucket drains', async (t) => {
  const { open, session, carrier } = steered(1)
  const connection = open(1)
  for (let ms = 0; ms < 10_000; ms += 10) {
    session.heard(ms)
    t.equal(pour(connection, Math.floor(DRAIN_BYTES_PER_MS * 10)), carrier)
  }
})

t.test('brings a connection home with its first bytes after it was calm', async (t) => {
  const { open, session, carrier, lanes } = steered(1)
  const connection = open(1)
  pour(connection, BULK_BYTES + READ_BYTES)
  const drainedMs = (connection.burst - CALM_BYTES) / DRAIN_BYTES_PER_MS
  session.heard(drainedMs - 1)
  t.equal(pour(connection, 1), lanes[0], 'not yet')
  session.heard(drainedMs + 2)
  t.equal(pour(connection, 1), carrier)
  t.equal(lanes[0]?.frames().at(-1)?.type, 'MOVE')
  t.equal(pour(connection, BULK_BYTES + 1), lanes[0], 'and it may leave again')
})

t.test('brings a connection home that says nothing any more, at the next look', async (t) => {
  const { open, session, carrier } = steered(1)
  const connection = open(1)
  pour(connection, BULK_BYTES + READ_BYTES)
  session.heard(10_000)
  session.tick(10_000, 10_000)
  t.equal(connection.out.carrier, carrier)
})

t.test('asks for lanes at each look while bulk goes over one, as others may have been lost', async (t) => {
  const { open, session, wanted } = steered(1)
  const sends = open(1)
  pour(sends, BULK_BYTES + READ_BYTES)
  session.heard(9_999)
  pour(sends, BULK_BYTES + READ_BYTES)
  wanted.length = 0
  session.tick(10_000, 10_000)
  t.equal(wanted.length, 1)
  session.heard(20_000)
  session.tick(20_000, 20_000)
  t.equal(wanted.length, 1, 'not for one that is calm')
})

t.test('asks for lanes at each look while the peer sends bulk, whatever its window', async (t) => {
  const { open, session, carrier, wanted } = steered(0)
  const connection = open(1)
  const arrive = (bytes: number): void => {
    for (let left = bytes; left > 0; left -= 32 * 1024) {
      session.receiveData(carrier, 1, Buffer.alloc(Math.min(left, 32 * 1024)))
      taken(connection, Math.min(left, 32 * 1024))
    }
  }
  const bulk = Math.ceil(DRAIN_BYTES_PER_MS * 10_000)
  for (const [bytes, asked] of [
    [bulk, 1],
    [bulk - 1, 0],
    [0, 0],
    [bulk, 1],
  ] as const) {
    arrive(bytes)
    const nowMs = connection.link.nowMs + 10_000
    session.heard(nowMs)
    session.tick(nowMs, nowMs)
    t.equal(wanted.splice(0).length, asked, `${bytes} bytes since the look before`)
  }
})

t.test('spreads connections over the lanes, by how many each has', async (t) => {
  const { open, lanes } = steered(3)
  const connections = [1, 2, 3, 4, 5, 6].map(open)
  for (const connection of connections) pour(connection, BULK_BYTES + 1)
  t.strictSame(
    lanes.map((lane) => connections.filter(({ out }) => out.carrier === lane).length),
    [2, 2, 2],
  )
})

/** A connection on the first of three lanes, which is full; the others have that much room. */
function onFullLane(...roomBytes: number[]) {
  const made = steered(3)
  const connection = made.open(1)
  pour(connection, BULK_BYTES + 1)
  for (const lane of made.lanes) lane.frames()
  for (const [index, bytes] of [0, ...roomBytes].entries()) made.lanes[index]!.roomBytes = bytes
  return { ...made, connection }
}

t.test('goes on over the lane with the most room when its own is full, with MOVE in between', async (t) => {
  const { connection, lanes } = onFullLane(READ_BYTES, 2 * READ_BYTES)
  t.ok(send(connection, Buffer.alloc(READ_BYTES)), 'and reads on')
  t.match(lanes[0]?.frames(), [{ type: 'MOVE', carrier: 3 }])
  t.match(lanes[2]?.frames(), [{ type: 'DATA' }])
  t.equal(connection.out.carrier, lanes[2])
})

t.test('deals one read to two lanes, in order, and the rest waits', async (t) => {
  const { connection, lanes } = onFullLane(READ_BYTES, 0)
  lanes[0]!.roomBytes = 1
  t.notOk(send(connection, Buffer.from([1, ...new Uint8Array(READ_BYTES - 1).fill(2)])))
  t.match(lanes[0]?.frames(), [
    { type: 'DATA', data: Buffer.of(1) },
    { type: 'MOVE', carrier: 2 },
  ])
  t.match(lanes[1]?.frames(), [{ type: 'DATA', data: Buffer.alloc(READ_BYTES - 1, 2) }])
})

t.test('deals nothing to a second lane when the first has used up the credit', async (t) => {
  const { connection, lanes, carrier } = onFullLane(2 * READ_BYTES, 0)
  lanes[0]!.roomBytes = connection.credit = 1
  carrier.frames()
  t.notOk(send(connection, Buffer.alloc(READ_BYTES)))
  t.match(lanes[0]?.frames(), [{ type: 'DATA', data: Buffer.alloc(1) }])
  t.strictSame(lanes[1]?.frames(), [])
  t.match(carrier.frames(), [{ type: 'BLOCKED', connectId: connection.id }])
})

t.test('reads on for as long as one lane has room for a read', async (t) => {
  const { connection, lanes } = onFullLane(READ_BYTES, 0)
  lanes[0]!.roomBytes = READ_BYTES
  t.ok(send(connection, Buffer.alloc(READ_BYTES)))
  t.match(lanes[0]?.frames(), [{ type: 'DATA' }, { type: 'MOVE', carrier: 2 }])
  t.notOk(send(connection, Buffer.alloc(READ_BYTES)))
  t.match(lanes[1]?.frames(), [{ type: 'DATA' }])
})

t.test('uses a lane that it is on for a moment, as far as the end of idle lanes is concerned', async (t) => {
  const { connection, lanes, session, idle } = onFullLane(READ_BYTES, 0)
  for (let ms = 10_000; ms <= 2 * LANE_IDLE_MS; ms += 10_000) {
    session.heard(ms)
    for (const lane of lanes) session.heard(ms, lane)
    for (const lane of [lanes[1]!, lanes[0]!]) {
      for (const each of lanes) each.roomBytes = each === lane ? READ_BYTES : 0
      send(connection, Buffer.alloc(READ_BYTES))
    }
    session.tick(ms, ms)
  }
  t.strictSame(idle, [lanes[2]], 'not those on which it is now and then')
})

t.test('moves for no less room than a read takes', async (t) => {
  const { connection, lanes } = onFullLane(READ_BYTES - 1, READ_BYTES - 1)
  t.notOk(send(connection, Buffer.alloc(READ_BYTES)))
  t.equal(connection.out.carrier, lanes[0])
  t.equal(connection.heldBytes, READ_BYTES)
})

t.test('waits for whichever lane has room first', async (t) => {
  const { connection, lanes, session } = onFullLane(0, 0)
  t.notOk(send(connection, Buffer.alloc(READ_BYTES)))
  t.ok(
    lanes.every(({ woken }) => woken),
    'each is asked to say so',
  )
  session.writable(lanes[1]!)
  t.strictSame(lanes[1]?.frames(), [], 'it had none after all')
  lanes[1]!.roomBytes = 2 * READ_BYTES
  session.writable(lanes[1]!)
  t.match(lanes[1]?.frames(), [{ type: 'DATA' }])
  t.strictSame([connection.heldBytes, connection.paused], [0, false])
})

t.test('leaves a small exchange on the stream, however full that is', async (t) => {
  const { open, carrier, lanes } = steered(2)
  const connection = open(1)
  carrier.roomBytes = 0
  t.notOk(send(connection, Buffer.alloc(100)))
  t.equal(connection.out.carrier, carrier)
  t.strictSame(
    lanes.map((lane) => lane.frames().filter(({ type }) => type === 'DATA')),
    [[], []],
  )
})

t.test('takes a lane again that a connection has left by its end', async (t) => {
  const { open, session, carrier, lanes } = steered(2)
  const [first, second, third] = [open(1), open(2), open(3)]
  t.equal(pour(first!, BULK_BYTES + 1), lanes[0])
  t.equal(pour(second!, BULK_BYTES + 1), lanes[1])
  session.receive(carrier, { type: 'CLOSE_REQ', connectId: 2, reason: 'x' })
  t.equal(pour(third!, BULK_BYTES + 1), lanes[1])
})

t.test('leaves all as it is where lanes were not agreed on', async (t) => {
  const { open, carrier, wanted } = steered(1, without(offered, 'lanes'))
  t.equal(pour(open(1), 10 * BULK_BYTES), carrier)
  t.strictSame(wanted, [])
})

t.test('leaves on the stream who has a number that no frame of a lane can say', async (t) => {
  const { session, carrier, open } = oneSession({ role: 'server' })
  const lane = recordedCarrier(1)
  session.addCarrier(lane)
  session.heard(0, lane)
  for (const [id, expected] of [
    [2 ** 32 - 1, lane],
    [2 ** 32, carrier],
  ] as const) {
    const { connection } = open(id)
    session.receive(carrier, { type: 'WINDOW_UPDATE', connectId: id, credit: 2 ** 30 })
    t.equal(pour(connection, 2 * BULK_BYTES), expected, `${id}`)
  }
})

t.test('a lane that comes later serves those who wait for room on another', async (t) => {
  const { open, session, lanes } = steered(1)
  const connection = open(1)
  pour(connection, BULK_BYTES + 1)
  lanes[0]!.roomBytes = 0
  send(connection, Buffer.alloc(READ_BYTES))
  t.ok(connection.heldBytes > 0)
  const later = recordedCarrier(2)
  session.addCarrier(later)
  session.heard(1, later)
  t.ok(later.woken, 'its room is asked for')
  session.writable(later)
  t.equal(connection.heldBytes, 0)
  t.equal(connection.out.carrier, later)
})

/** A connection that waits for room on the only lane. */
function waiting() {
  const made = steered(1)
  const connection = made.open(1)
  pour(connection, BULK_BYTES + 1)
  const [lane] = made.lanes as [RecordedCarrier]
  lane.roomBytes = 0
  send(connection, Buffer.alloc(READ_BYTES))
  return { ...made, connection, lane }
}

t.test('when bulk may go on, those who wait on lanes go on', async (t) => {
  const { session, connection, lane } = waiting()
  t.equal(connection.heldBytes, READ_BYTES)
  lane.roomBytes = 2 * READ_BYTES
  session.alarm(1)
  t.equal(connection.heldBytes, 0)
})

t.test('when the last lane is gone, nobody waits for its room any more', async (t) => {
  const { session, connection, lane } = waiting()
  t.ok(connection.queuedOn)
  session.lost(lane, 'the lane is gone')
  t.ok(connection.over)
  t.equal(connection.queuedOn, undefined)
})
