/** Towards stock peers: back-pressure on the whole stream. */
import { Buffer } from 'node:buffer'
import t from 'tap'
import { createBudget } from '../../src/tunnel/budget.ts'
import { close } from '../../src/tunnel/ending.ts'
import { noExtensions } from '../../src/tunnel/extensions.ts'
import { taken } from '../../src/tunnel/receiving.ts'
import { oneSession, stockSession } from './one-session.ts'

/** Limits small enough to reach: bytes that may wait for one socket, and for all of them. */
function withStockLimits(connectionBytes: number, streamBytes: number) {
  const limits = { stock: { connectionBytes, streamBytes, slowBytes: 640 * 1024, slowMs: 10_000 } }
  return stockSession('server', { limits, budget: createBudget(streamBytes) })
}

t.test('stops reading the carrier while a socket is over its limit, until half of that is left', async (t) => {
  const { session, carrier, open } = withStockLimits(1_000, 10_000)
  const { connection } = open(1)
  session.receiveData(carrier, 1, Buffer.alloc(1_000))
  t.ok(carrier.reading, 'at the limit')
  session.receiveData(carrier, 1, Buffer.alloc(1))
  t.notOk(carrier.reading, 'one byte over it')
  taken(connection, 500)
  t.notOk(carrier.reading, 'more than half is left')
  taken(connection, 1)
  t.ok(carrier.reading)
})

t.test('closes a socket that took too little in 10 s, alone, and reads on', async (t) => {
  const { session, carrier, open } = withStockLimits(1_000_000, 64 * 2 ** 20)
  const [stalled, slow, fine] = [open(1), open(2), open(3)]
  for (const id of [1, 2]) session.receiveData(carrier, id, Buffer.alloc(2_000_000))
  session.receiveData(carrier, 3, Buffer.alloc(1_000))
  session.tick(9_999, 9_999)
  taken(slow.connection, 640 * 1024)
  t.strictSame(stalled.heard.endings, [], 'not yet')
  session.heard(10_000)
  session.tick(10_000, 10_000)
  t.strictSame(stalled.heard.endings, [{ kind: 'reset', by: 'self', reason: 'slow-consumer' }])
  t.strictSame([slow.heard.endings, fine.heard.endings], [[], []])
  t.notOk(carrier.reading, 'the slow one is still over its limit')
  session.heard(20_000)
  session.tick(20_000, 20_000)
  t.match(slow.heard.endings, [{ reason: 'slow-consumer' }], 'each ten seconds count anew')
  t.ok(carrier.reading)
})

t.test('reads on when the connection that filled the budget was closed for it', async (t) => {
  const { session, carrier, open } = withStockLimits(4_000, 10_000)
  const opened = [open(1), open(2), open(3)]
  for (const id of [1, 2]) session.receiveData(carrier, id, Buffer.alloc(3_500))
  session.receiveData(carrier, 3, Buffer.alloc(3_600))
  t.match(opened[2]?.heard.endings, [{ kind: 'reset', reason: 'over-budget' }], 'whoever holds most pays')
  t.ok(carrier.reading, 'the others hold less than the limit, and take nothing that would tell')
})

t.test('counts what finished connections have not written out yet, and reads on when they have', async (t) => {
  const stock = { connectionBytes: 8_000, streamBytes: 10_000, slowBytes: 640 * 1024, slowMs: 10_000 }
  const { session, carrier, open, budget } = oneSession({ role: 'server', extensions: noExtensions, limits: { stock } })
  const [first, second] = [open(1), open(2)]
  open(3)
  for (const id of [1, 2]) {
    session.receiveData(carrier, id, Buffer.alloc(6_000))
    session.receive(carrier, { type: 'CLOSE_RSP', connectId: id, error: '' })
  }
  session.receiveData(carrier, 3, Buffer.alloc(1))
  t.notOk(carrier.reading)
  taken(first.connection, 6_000)
  t.ok(carrier.reading, 'no frame came, and nobody else took anything')
  session.receiveData(carrier, 3, Buffer.alloc(5_000))
  session.receiveData(carrier, 3, Buffer.alloc(1))
  t.notOk(carrier.reading)
  close(second.connection, 'socket-closed')
  t.ok(carrier.reading, 'a finished connection whose socket broke waits for nobody')
  t.equal(budget.usedBytes, 5_002)
})
