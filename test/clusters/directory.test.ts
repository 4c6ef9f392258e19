import t from 'tap'
import type { Cluster } from '../../src/clusters/cluster.ts'
import { createDirectory } from '../../src/clusters/directory.ts'
import { cluster } from './cluster.ts'

const eu1: Cluster = cluster('eu-1', {
  agents: { subjects: ['CN=a'], names: ['DNS:a'], users: ['u'] },
  frontends: { subjects: ['CN=f'], names: ['DNS:f'], users: ['alice'], serverNames: ['eu-1.hub.example'] },
})
const eu2: Cluster = cluster('eu-2', { frontends: { users: ['alice', 'bob'], addresses: ['192.0.2.0/24'] } })
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

t.test('finds who alone comes from an address', async (t) => {
  t.equal(directory.byAddress('192.0.2.7'), 'eu-2')
  t.equal(directory.byAddress('192.0.3.7'), undefined)
})

t.test('is not led astray by what every object has', async (t) => {
  for (const name of ['constructor', '__proto__', 'toString']) {
    t.equal(directory.get(name), undefined)
    t.equal(directory.byServerName(name), undefined)
    t.strictSame(directory.byFrontendUser(name), [])
  }
})
