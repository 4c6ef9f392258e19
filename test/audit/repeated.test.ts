import t from 'tap'
import type { AuditRecord } from '../../src/audit/record.ts'
import { createRepeatedAudit } from '../../src/audit/repeated.ts'
import { manualClock } from '../platform/manual-clock.ts'

function setup() {
  const clock = manualClock()
  const told: AuditRecord[] = []
  return { clock, told, tell: createRepeatedAudit((record) => void told.push(record), clock) }
}
const known = { event: 'violation', cluster: 'eu-1', principal: 'cluster/eu-1/agent/a', reason: 'unexpected' } as const
const stranger = (source: string) => ({ event: 'agent', source, verdict: 'refused', reason: 'slow' }) as const

const networkOf = (count: number): string => `2001:db8:0:${count.toString(16)}::1`

t.test('tells the first, and after a minute how many came meanwhile', async (t) => {
  const { clock, told, tell } = setup()
  for (let count = 0; count < 5; count++) tell(known)
  t.strictSame(told, [known])
  clock.advance(60_000)
  tell(known)
  t.strictSame(told.slice(1), [{ ...known, repeated: 4 }])
})

t.test('another peer, reason or event is told at once', async (t) => {
  const { told, tell } = setup()
  const all = [known, { ...known, reason: 'unknown-dial' }, { ...known, principal: 'other' }, stranger('10.0.0.1')]
  for (const record of [...all, ...all]) tell(record)
  t.strictSame(told, all)
})

t.test('of strangers a hundred lines in ten seconds, and those with a name beside them', async (t) => {
  const { clock, told, tell } = setup()
  for (let count = 0; count < 500; count++) tell(stranger(networkOf(count)))
  t.equal(told.length, 100)
  tell(known)
  t.equal(told.length, 101)
  clock.advance(10_000)
  for (let count = 500; count < 1_000; count++) tell(stranger(networkOf(count)))
  t.equal(told.length, 201)
})

t.test('all addresses of an IPv6 /64 are one stranger, and leave the lines to others', async (t) => {
  const { told, tell } = setup()
  for (let count = 0; count < 500; count++) tell(stranger(`2001:db8::${count}`))
  t.equal(told.length, 1)
  tell(stranger('10.0.0.1'))
  t.equal(told.length, 2)
})

t.test(
  'a stranger who finds no line left is told with the next of its own that does, and how many there were',
  async (t) => {
    const { clock, told, tell } = setup()
    for (let count = 0; count < 100; count++) tell(stranger(networkOf(count)))
    for (let count = 0; count < 3; count++) tell(stranger('10.0.0.1'))
    t.equal(told.length, 100)
    clock.advance(100) // one line is free, and no minute is over
    for (let count = 0; count < 3; count++) tell(stranger('10.0.0.1'))
    t.strictSame(told.slice(100), [{ ...stranger('10.0.0.1'), repeated: 3 }])
  },
)
