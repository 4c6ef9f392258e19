import { Registry } from 'prom-client'
import t from 'tap'
import { labelledGauge, type Tally, tallyCounter, tallyGauge } from '../../src/platform/tallies.ts'
import { expose } from './exposition.ts'

function setup(read: () => Tally[]): Registry {
  const registry = new Registry()
  tallyCounter(registry, 'packets_total', 'Packets.', ['segment'], read)
  return registry
}

t.test('shows the numbers as they are when somebody looks, each time anew', async (t) => {
  const count = { up: 1, down: 5 }
  const registry = setup(() => Object.entries(count).map(([segment, value]) => ({ labels: { segment }, value })))
  t.strictSame((await expose(registry)).series, {
    'packets_total{segment="up"}': 1,
    'packets_total{segment="down"}': 5,
  })
  t.strictSame((await expose(registry)).series, {
    'packets_total{segment="up"}': 1,
    'packets_total{segment="down"}': 5,
  })
  count.up = 10
  t.equal((await expose(registry)).series['packets_total{segment="up"}'], 10)
})

t.test('leaves out what is still zero, but names the family', async (t) => {
  const registry = setup(() => [{ labels: { segment: 'up' }, value: 0 }])
  const { families, series } = await expose(registry)
  t.strictSame([families, series], [{ packets_total: 'counter' }, {}])
})

t.test('a gauge is there from the start, and one with a label has the series that are given', async (t) => {
  const registry = new Registry()
  const now: { open: number; byPort: Record<string, number> } = { open: 0, byPort: { a: 1 } }
  tallyGauge(registry, 'open', 'Open.', () => now.open)
  labelledGauge(registry, 'alarms', 'Alarms.', 'port', () => now.byPort)
  t.strictSame((await expose(registry)).series, { open: 0, 'alarms{port="a"}': 1 })
  now.open = 2
  now.byPort = { b: 0 }
  t.strictSame((await expose(registry)).series, { open: 2, 'alarms{port="b"}': 0 })
})
