/**
 * Three replicas of one cluster-aware proxy-server for ten clusters behind one address, with the same addresses in each of them:
 * two have a real kube-apiserver. Agents hold each replica, and clients come to any.
 */
import t from 'tap'
import { auditHas, auditLines, hasAll } from '../integration/audit-log.ts'
import { figureIn } from '../integration/figures.ts'
import { askPlace } from './cells.ts'
import { proveOwnPods } from './kubernetes.ts'
import { type Member, startSharedHub } from './shared-hub.ts'

const CLUSTERS = 10
const REPLICAS = 3
const UNMAPPED = 'culvert_server_unmapped_peers_total{port="frontend"}'

const ids = Array.from({ length: CLUSTERS }, (_, index) => `eu-${index + 1}`)
const hub = await startSharedHub(t, ids, { replicas: REPLICAS })
const { members, replicas } = hub
await proveOwnPods(t, hub, [members[0] as Member, members[1] as Member])

t.test('all ten clients reach the pods of their own cluster through the front door, and at each replica', async (t) => {
  const reached = async (more: { readonly port?: number }): Promise<void> => {
    const answers = await Promise.all(members.map((member) => askPlace(hub, member, member, more)))
    for (const [index, { id, place }] of members.entries()) {
      t.strictSame(answers[index], { status: 200, text: place }, id)
    }
  }
  for (let round = 0; round < REPLICAS; round++) await reached({})
  for (const { port, audit } of replicas) {
    const before = auditLines(audit)
    await reached({ port })
    for (const { id } of members) {
      const dial = { event: 'dial', cluster: id, principal: `cluster/${id}/apiserver`, verdict: 'allowed' }
      await auditHas(audit, dial, before.filter(hasAll(dial)).length + 1)
    }
    for (const { event, cluster, principal } of auditLines(audit)) {
      if (event === 'dial') t.equal(principal, `cluster/${cluster}/apiserver`)
    }
  }
})

t.test('the credentials of a cluster open nothing under the name of another one, at any replica', async (t) => {
  for (const { port, metrics, audit } of replicas) {
    const before = figureIn(await metrics(), UNMAPPED)
    const answers = await Promise.all(
      members.map((member, index) => {
        const { serverName } = members[(index + 1) % CLUSTERS] as Member
        return askPlace(hub, member, member, { serverName, port })
      }),
    )
    for (const [index, { status }] of answers.entries()) t.equal(status, 403, `${members[index]?.id} at ${port}`)
    t.equal(figureIn(await metrics(), UNMAPPED) - before, CLUSTERS, `counted at ${port}`)
    const reason = /another cluster than the server name/
    await auditHas(audit, { event: 'frontend', verdict: 'refused', reason })
  }
})
