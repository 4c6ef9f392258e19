/** Those who were silent while others made a crowd were paused with them: they must not stay so for long. */
import { Buffer } from 'node:buffer'
import t from 'tap'
import { createBudget, spend } from '../../src/tunnel/budget.ts'
import { READ_BYTES } from '../../src/tunnel/carrier.ts'
import { send } from '../../src/tunnel/sending.ts'
import { hearing, oneSession } from './one-session.ts'

const WRITE_BYTES = 512 * 1024
const SILENT = 2_000
const BULK = 16

t.test('of two thousand who are silent, the last may read again within a few writes', async (t) => {
  const process = createBudget(256 * 2 ** 20)
  spend(process, 130 * 2 ** 20) // for readers of other streams, who stall
  const budget = createBudget(64 * 2 ** 20, process)
  const { session, carrier, open } = oneSession({ role: 'agent', budget })
  const openOne = (id: number) => {
    const owner = { reading: true }
    const events = {
      ...hearing().events,
      resume: () => {
        owner.reading = true
      },
      pause: () => {
        owner.reading = false
      },
    }
    const { connection } = open(id, events)
    session.receive(carrier, { type: 'WINDOW_UPDATE', connectId: id, credit: 2 ** 30 })
    return { owner, connection }
  }
  const bulk = Array.from({ length: BULK }, (_, index) => openOne(index + 1))
  const silent = Array.from({ length: SILENT }, (_, index) => openOne(BULK + index + 1))
  let writes = 0
  let pausedAt: number | undefined
  let waited: number | undefined
  while (waited === undefined && writes < 10_000) {
    for (const { owner, connection } of bulk) {
      if (owner.reading) owner.reading = send(connection, Buffer.alloc(READ_BYTES))
    }
    if (silent.some(({ owner }) => !owner.reading)) pausedAt ??= writes
    carrier.roomBytes = WRITE_BYTES
    carrier.frames()
    writes++
    session.writable(carrier)
    if (pausedAt !== undefined && silent.every(({ owner }) => owner.reading)) waited = writes - pausedAt
  }
  t.ok(pausedAt !== undefined, 'the bulk was a crowd')
  t.ok(waited !== undefined && waited <= 50, `after ${waited} writes`)
})
