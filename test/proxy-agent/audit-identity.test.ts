import t from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { ownCluster } from '../../src/proxy-agent/audit-identity.ts'

t.test('knows the cluster of the certificate that is in use, and none where it names none', async (t) => {
  const authority = await createAuthority({ trustDomain: 'hub.example' })
  const agent = (cluster: string) => issueLeaf(authority, { identity: { role: 'agent', cluster, name: 'a' } })
  let pem: string | undefined
  const cluster = ownCluster(() => pem)
  t.equal(cluster(), undefined)
  pem = (await agent('eu-1')).certificatePem
  t.strictSame([cluster(), cluster()], ['eu-1', 'eu-1'])
  pem = (await agent('us-1')).certificatePem
  t.equal(cluster(), 'us-1')
  pem = (await issueLeaf(authority, { dnsNames: ['agent.example'] })).certificatePem
  t.equal(cluster(), undefined)
  pem = (await issueLeaf(authority, { identity: { role: 'user', name: 'alice' } })).certificatePem
  t.equal(cluster(), undefined)
})
