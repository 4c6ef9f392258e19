/**
 * A frame besides data may be the one too many for a peer that does not read: it ends the session, and with it the connection
 * that is just sending. What that held is given back once.
 */
import { Buffer } from 'node:buffer'
import t from 'tap'
import { createBudget, spendWithin } from '../../src/tunnel/budget.ts'
import { BULK_BYTES } from '../../src/tunnel/bulk.ts'
import type { Carrier } from '../../src/tunnel/carrier.ts'
import { READ_BYTES } from '../../src/tunnel/carrier.ts'
import { send } from '../../src/tunnel/sending.ts'
import { MAX_EXCESS_BYTES } from '../../src/tunnel/session.ts'
import { oneSession } from './one-session.ts'
import { type RecordedCarrier, recordedCarrier } from './recorded-carrier.ts'

/** A bulk connection on the first of two lanes. */
function bulkOnLane() {
  const process = createBudget(256 * 2 ** 20)
  const made: ReturnType<typeof oneSession> = oneSession({
    role: 'agent',
    budget: createBudget(64 * 2 ** 20, process),
    owner: { broken: () => made.session.lost(made.carrier, 'the peer does not read') },
  })
  const lanes = [recordedCarrier(1), recordedCarrier(2)] as const
  for (const lane of lanes) made.session.addCarrier(lane)
  const { connection } = made.open(1)
  made.session.receive(made.carrier, { type: 'WINDOW_UPDATE', connectId: 1, credit: 2 ** 30 })
  const pour = (bytes: number): void => {
    for (let left = bytes; left > 0; left -= READ_BYTES) send(connection, Buffer.alloc(Math.min(left, READ_BYTES)))
  }
  /** Its next frame besides data is too many. */
  const limit = (carrier: RecordedCarrier): void => {
    ;(carrier as { ordered: Carrier['ordered'] }).ordered = () => {
      spendWithin(made.session.excess, MAX_EXCESS_BYTES + 1)
      spendWithin(made.session.excess, -MAX_EXCESS_BYTES - 1)
    }
  }
  return { ...made, connection, lanes, process, pour, limit }
}

t.test('when it is the MOVE to the first lane', async (t) => {
  const { carrier, connection, lanes, process, pour, limit } = bulkOnLane()
  pour(BULK_BYTES - READ_BYTES)
  for (const lane of [carrier, ...lanes]) lane.roomBytes = 0
  limit(carrier)
  t.notOk(send(connection, Buffer.alloc(READ_BYTES)))
  t.notOk(send(connection, Buffer.alloc(READ_BYTES)))
  t.ok(connection.over)
  t.equal(process.usedBytes, 0)
})

t.test('when it is the MOVE from a full lane to another', async (t) => {
  const { connection, lanes, process, pour, limit } = bulkOnLane()
  pour(BULK_BYTES + 1)
  lanes[0].roomBytes = 0
  lanes[1].roomBytes = READ_BYTES
  limit(lanes[0])
  t.notOk(send(connection, Buffer.alloc(READ_BYTES)))
  t.ok(connection.over)
  t.equal(connection.out.carrier, lanes[0], 'it goes nowhere any more')
  t.equal(process.usedBytes, 0)
})

t.test('when what it holds goes over another lane', async (t) => {
  const { session, connection, lanes, process, pour, limit } = bulkOnLane()
  pour(BULK_BYTES + 1)
  for (const lane of lanes) lane.roomBytes = 0
  send(connection, Buffer.alloc(READ_BYTES))
  t.equal(connection.heldBytes, READ_BYTES)
  limit(lanes[0])
  lanes[1].roomBytes = 2 * READ_BYTES
  session.writable(lanes[1])
  t.ok(connection.over)
  t.equal(process.usedBytes, 0)
})

t.test('when the session says two things at once, the second is not said', async (t) => {
  const { session, carrier, limit, connection } = bulkOnLane()
  limit(carrier)
  const frame = carrier as { control: Carrier['control'] }
  let said = 0
  frame.control = () => {
    said++
    session.lost(carrier, 'the peer does not read')
  }
  session.drain()
  t.equal(said, 1)
  t.ok(connection.over)
})
