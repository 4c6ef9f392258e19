import t from 'tap'
import { canonicalName, limitsOfWorker, MIN_BUFFERED_BYTES } from '../../src/clusters/cluster.ts'
import { cluster } from './cluster.ts'

t.test('gives each worker its share of what protects the machine', async (t) => {
  const { limits } = cluster('eu-1', {
    limits: { agents: 7, clients: 10, connections: 3, bufferedBytes: 2 * MIN_BUFFERED_BYTES },
  })
  t.strictSame(limitsOfWorker(limits, 1), limits)
  t.match(limitsOfWorker(limits, 4), { agents: 7, clients: 3, connections: 1, bufferedBytes: MIN_BUFFERED_BYTES })
})

t.test('a DNS name is the same in every case, another name is not', async (t) => {
  t.equal(canonicalName('DNS:Agent.Example'), 'DNS:agent.example')
  t.equal(canonicalName('URI:spiffe://hub.example/Agent'), 'URI:spiffe://hub.example/Agent')
})
