import t from 'tap'
import { forcedBy } from '../../src/tunnel/forced.ts'

t.test('knows the reasons for which this end breaks a connection', async (t) => {
  for (const reason of ['slow-consumer', 'over-budget', 'flow-control-violation'] as const) {
    t.equal(forcedBy({ kind: 'reset', by: 'self', reason }), reason)
  }
})

t.test('counts nothing as forced that ended by itself, by others or for another reason', async (t) => {
  t.equal(forcedBy({ kind: 'finished' }), undefined)
  t.equal(forcedBy({ kind: 'reset', by: 'peer', reason: 'over-budget' }), undefined)
  t.equal(forcedBy({ kind: 'reset', by: 'tunnel', reason: 'over-budget' }), undefined)
  t.equal(forcedBy({ kind: 'reset', by: 'self', reason: 'client-lost' }), undefined)
})
