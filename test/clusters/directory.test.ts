import t from 'tap'
import { type Cluster, limitsOfWorker, MIN_BUFFERED_BYTES } from '../../src/clusters/cluster.ts'
import { createDirectory } from '../../src/clusters/directory.ts'
import { cluster } from './cluster.ts'

const eu1: Cluster = cluster('eu-1', {
  agents: { subjects: ['CN=a'], names: ['DNS:a'], users: ['u'] },
  frontends: { subjects: ['CN=f'], names: ['DNS:f'], users: ['alice'], serverNames: ['eu-1.hub.example'] },
})
const eu2: Cluster = cluster('eu-2', { frontends: { users: ['alice', 'bob'] } })
const directory = createDirectory([eu1, eu2])

t.test('finds a cluster by each credential, on its own side only', async (t) => {
  t.equal(directory.bySubject('agents', 'CN=a'), 'eu-1')
  t.equal(directory.bySubject('frontends', 'CN=a'), undefined)
  t.equal(directory.bySubject('frontends', 'CN=f'), 'eu-1')
  t.equal(directory.byName('agents', 'DNS:a'), 'eu-1')
  t.equal(directory.byName('frontends', 'DNS:a'), undefined)
  t.equal(directory.byName('frontends', 'DNS:f'), 'eu-1')
  t.equal(directory.byAgentUser('u'), 'eu-1')
  t.equal(directory.byAgentUser('alice'), undefined)
  t.strictSame(directory.byFrontendUser('alice'), ['eu-1', 'eu-2'])
  t.strictSame(directory.byFrontendUser('u'), [])
})

t.test('finds a server name in whatever case, and no part of one', async (t) => {
  t.equal(directory.byServerName('EU-1.hub.Example'), 'eu-1')
  t.equal(directory.byServerName('hub.example'), undefined)
})

t.test('is not led astray by what every object has', async (t) => {
  for (const name of ['constructor', '__proto__', 'toString']) {
    t.equal(directory.get(name), undefined)
    t.equal(directory.byServerName(name), undefined)
    t.strictSame(directory.byFrontendUser(name), [])
  }
})

t.test('gives each worker its share of what protects the machine', async (t) => {
  const limits = { ...eu1.limits, agents: 7, clients: 10, connections: 3, bufferedBytes: 2 * MIN_BUFFERED_BYTES }
  t.strictSame(limitsOfWorker(limits, 1), limits)
  t.match(limitsOfWorker(limits, 4), { agents: 7, clients: 3, connections: 1, bufferedBytes: MIN_BUFFERED_BYTES })
})
