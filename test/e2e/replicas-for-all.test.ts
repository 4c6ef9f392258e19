/**
 * Three replicas of one cluster-aware proxy-server for ten clusters behind one address, with the same addresses in each of them:
 * two have a real kube-apiserver. Agents hold each replica, and clients come to any.
 */
import t from 'tap'
import { auditLines } from '../integration/audit-log.ts'
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

t.test('all ten clients reach the pods of their own cluster by whichever replica they come to', async (t) => {
  for (let round = 0; round < REPLICAS; round++) {
    const answers = await Promise.all(members.map((member) => askPlace(hub, member, member)))
    for (const [index, { id, place }] of members.entries()) {
      t.strictSame(answers[index], { status: 200, text: place }, id)
    }
  }
  for (const { audit } of replicas) {
    const dials = auditLines(audit).filter(({ event }) => event === 'dial')
    t.ok(dials.length > 0, `${dials.length} dials`)
    for (const { cluster, principal } of dials) t.equal(principal, `cluster/${cluster}/apiserver`)
  }
})

t.test('the credentials of a cluster open nothing under the name of another one, at any replica', async (t) => {
  const refused = async (): Promise<number> => {
    const metrics = await Promise.all(replicas.map((replica) => replica.metrics()))
    return metrics.reduce((sum, one) => sum + figureIn(one, UNMAPPED), 0)
  }
  const before = await refused()
  for (const [index, member] of members.entries()) {
    const { serverName } = members[(index + 1) % CLUSTERS] as Member
    t.equal((await askPlace(hub, member, member, { serverName })).status, 403)
  }
  t.equal((await refused()) - before, CLUSTERS)
})
