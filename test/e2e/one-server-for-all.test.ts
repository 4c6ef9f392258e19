/**
 * One cluster-aware proxy-server for ten clusters behind one address, with the same addresses in each of them: two have a real
 * kube-apiserver. Everybody reaches its own, and nobody another's, whatever name it asks for.
 */
import t from 'tap'
import { auditHas } from '../integration/audit-log.ts'
import { figureIn } from '../integration/figures.ts'
import { agentAudit, askPlace } from './cells.ts'
import { proveOwnPods } from './kubernetes.ts'
import { type Member, startSharedHub } from './shared-hub.ts'

const CLUSTERS = 10
const ids = Array.from({ length: CLUSTERS }, (_, index) => `eu-${index + 1}`)

const hub = await startSharedHub(t, ids)
const [first, second] = hub.members as [Member, Member]
await proveOwnPods(t, hub, [first, second])

t.test('all ten clients reach the pods of their own cluster', async (t) => {
  const places = await Promise.all(hub.members.map((member) => askPlace(hub, member, member)))
  for (const [index, member] of hub.members.entries()) {
    const { id, place } = member
    t.strictSame(places[index], { status: 200, text: place }, id)
    await auditHas(hub.audit, { event: 'dial', cluster: id, verdict: 'allowed', principal: `cluster/${id}/apiserver` })
    await auditHas(agentAudit(member), { event: 'dial' }) // by who has opened it
  }
})

t.test('the credentials of a cluster open nothing under the name of another one: counted and audited', async (t) => {
  const unmapped = 'culvert_server_unmapped_peers_total{port="frontend"}'
  const before = figureIn(await hub.metrics(), unmapped)
  const answers = await Promise.all(
    hub.members.map((member, index) => {
      const { serverName } = hub.members[(index + 1) % CLUSTERS] as Member
      return askPlace(hub, member, member, { serverName })
    }),
  )
  for (const { status, text } of answers) {
    t.equal(status, 403)
    t.match(text, /is of another cluster than the server name that was asked for/)
  }
  t.equal(figureIn(await hub.metrics(), unmapped) - before, CLUSTERS)
  const reason = /another cluster than the server name/
  const refused = await auditHas(hub.audit, { event: 'frontend', verdict: 'refused', reason }, CLUSTERS)
  t.equal(refused.length, CLUSTERS)
})
