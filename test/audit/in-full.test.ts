import t from 'tap'
import { auditInFull, createInFull } from '../../src/audit/in-full.ts'
import type { AuditRecord } from '../../src/audit/record.ts'
import { createRepeatedAudit } from '../../src/audit/repeated.ts'
import { manualClock } from '../platform/manual-clock.ts'

t.test('each peer has a share, and it comes back', async (t) => {
  const isInFull = createInFull([2, 1_000], [100, 1_000])
  t.strictSame(
    ['a', 'a', 'a', 'b'].map((peer) => isInFull(peer, 0)),
    [true, true, false, true],
  )
  t.notOk(isInFull('a', 499))
  t.ok(isInFull('a', 500))
})

t.test('all together have one', async (t) => {
  const isInFull = createInFull([2, 1_000], [3, 1_000])
  t.equal(Array.from({ length: 10 }, (_, index) => isInFull(`${index}`, 0)).filter(Boolean).length, 3)
})

t.test('whoever has been away for longest is forgotten', async (t) => {
  const isInFull = createInFull([1, 1_000], [100_000, 1_000])
  t.ok(isInFull('first', 0))
  t.notOk(isInFull('first', 0))
  for (let index = 0; index < 10_000; index++) isInFull(`${index}`, 0)
  t.ok(isInFull('first', 0))
  t.notOk(isInFull('9999', 0))
})

t.test('of a client that comes without end, by its name or by its address, so many are told and no more', async (t) => {
  const clock = manualClock()
  const told: AuditRecord[] = []
  const audit = (record: AuditRecord): void => void told.push(record)
  const inFull = auditInFull(audit, createRepeatedAudit(audit, clock), clock)
  const comes = { event: 'frontend', cluster: 'eu-1', principal: 'cluster/eu-1/a', verdict: 'allowed' } as const
  for (let port = 1; port <= 5_000; port++) inFull({ ...comes, source: `10.0.0.1:${port}` })
  t.strictSame(told.at(499), { ...comes, source: '10.0.0.1:500' })
  t.strictSame(told.splice(500), [{ ...comes, source: undefined, reason: 'many' }])
  for (let network = 1; network <= 5_000; network++)
    inFull({ ...comes, source: `[2001:db8:0:${network.toString(16)}::1]:1` })
  t.strictSame(told.splice(500), [], 'wherever it comes from')
  inFull({ ...comes, principal: 'user/b', source: '10.0.0.1:5' })
  t.strictSame(told.splice(500), [{ ...comes, principal: 'user/b', source: '10.0.0.1:5' }])
  const refused = { event: 'frontend', verdict: 'refused', reason: 'it names no cluster' } as const
  for (let port = 1; port <= 5_000; port++) inFull({ ...refused, source: `[2001:db8::${port.toString(16)}]:${port}` })
  t.strictSame(told.splice(1_000), [{ ...refused, source: '2001:db8::1f5' }])
  clock.advance(60_000)
  for (let port = 1; port <= 501; port++) inFull({ ...refused, source: '[2001:db8::1]:5' })
  t.match(told.at(-1), { ...refused, repeated: 4_499 })
})
