/** What one end receives, against the credit that it has granted. */
import { Buffer } from 'node:buffer'
import t from 'tap'
import { createBudget } from '../../src/tunnel/budget.ts'
import { taken } from '../../src/tunnel/receiving.ts'
import { oneSession } from './one-session.ts'

const KIB = 1024

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
