import { Registry } from 'prom-client'
import t from 'tap'
import { type Tally, tallyCounter } from '../../src/platform/tallies.ts'
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
