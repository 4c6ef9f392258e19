/**
 * A proxy-server for each of ten clusters behind one address, with the same addresses in each of them: two have a real
 * kube-apiserver. Everybody reaches its own, and nobody another's, whatever name it asks for.
 */
import t from 'tap'
import { auditHas, auditLines } from '../integration/audit-log.ts'
import { figureIn } from '../integration/figures.ts'
import { askPlace } from './cells.ts'
import { proveOwnPods } from './kubernetes.ts'
import { type Owner, startOwnServers } from './own-servers.ts'

const CLUSTERS = 10
/** Others are connections without a handshake: the router looks whether its backends are there. */
const NOT_ISSUED = /not issued by the CA of this server/
const OF_ANOTHER = /is not one of this server/

const hub = await startOwnServers(
  t,
  Array.from({ length: CLUSTERS }, (_, index) => `eu-${index + 1}`),
)
const { owners } = hub

await proveOwnPods(t, hub, [owners[0] as Owner, owners[1] as Owner])

t.test('all ten clients reach the pods of their own cluster, each through its own server', async (t) => {
  const answers = await Promise.all(owners.map((owner) => askPlace(hub, owner, owner)))
  for (const [index, { id, place, tenancy, audit }] of owners.entries()) {
    t.strictSame(answers[index], { status: 200, text: place }, id)
    const cluster = tenancy === 'single' ? 'default' : id
    await auditHas(audit, { event: 'dial', cluster, verdict: 'allowed', principal: `cluster/${id}/apiserver` })
    const others = auditLines(audit).filter(
      ({ event, principal }) => event === 'dial' && !principal?.includes(`/${id}/`),
    )
    t.strictSame(others, [], `nobody else has come to ${id}`)
  }
})

t.test('the credentials of a cluster open nothing at the server of another one: counted and audited', async (t) => {
  const refusals = (): Promise<number[]> => Promise.all(owners.map(refusalsOf))
  const before = await refusals()
  for (const [index, { id, ca, apiserver }] of owners.entries()) {
    // One that has another CA, and one that has the same if there is any.
    for (const other of [1, 2].map((distance) => owners[(index + distance) % CLUSTERS] as Owner)) {
      const { status, text } = await askPlace(hub, other, { ...other, apiserver })
      t.equal(status, 403, `${id} at ${other.id}`)
      const why = ca === other.ca ? `the cluster ${id} is not one of this server` : 'it was not issued by the CA'
      t.ok(text.includes(why), text)
    }
  }
  const after = await refusals()
  for (const [index, { id, audit, tenancy }] of owners.entries()) {
    t.equal(after[index]! - before[index]!, 2, `counted by the server of ${id}`)
    const wanted = tenancy === 'multi' ? [NOT_ISSUED, OF_ANOTHER] : [NOT_ISSUED] // strangers share a line for each reason
    for (const reason of wanted) await auditHas(audit, { event: 'frontend', verdict: 'refused', reason })
    const told = auditLines(audit).filter(({ event, verdict }) => event === 'frontend' && verdict === 'refused')
    t.equal(
      told.some(({ reason }) => OF_ANOTHER.test(`${reason}`)),
      tenancy === 'multi',
    )
  }
})

/** Clients whose certificate is not accepted, or of no cluster of this server, if it knows of clusters. */
async function refusalsOf({ metrics, tenancy }: Owner): Promise<number> {
  const all = await metrics()
  return ['forbidden_clients', ...(tenancy === 'multi' ? ['unmapped_peers'] : [])]
    .map((name) => figureIn(all, `culvert_server_${name}_total{port="frontend"}`))
    .reduce((sum, figure) => sum + figure)
}
