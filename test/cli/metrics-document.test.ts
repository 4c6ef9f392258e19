/** docs/metrics.md lists what the programs show, and nothing else; and their names are such as Prometheus asks for. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Registry } from 'prom-client'
import t from 'tap'
import { createAuditMetrics } from '../../src/audit/open-audit.ts'
import { createRevocationMetrics } from '../../src/pki/revocation-metrics.ts'
import { createLeaseMetrics } from '../../src/proxy-agent/kubernetes-metrics.ts'
import { createAgentMetrics } from '../../src/proxy-agent/metrics.ts'
import { createRenewalMetrics } from '../../src/proxy-agent/renewal-metrics.ts'
import { createClusterMetrics, createFleetMetrics } from '../../src/proxy-server/cluster-metrics.ts'
import { createClusters } from '../../src/proxy-server/core/clusters.ts'
import { createEnrolmentMetrics } from '../../src/proxy-server/enrolment-metrics.ts'
import { createKubernetesMetrics } from '../../src/proxy-server/kubernetes-metrics.ts'
import { createServerMetrics } from '../../src/proxy-server/prometheus.ts'
import { createReplicaMetrics } from '../../src/proxy-server/replicas.ts'
import { countWorkers } from '../../src/proxy-server/team-metrics.ts'

import { createTenantMetrics } from '../../src/proxy-server/tenant-metrics.ts'

import { createRouterMetrics } from '../../src/sni-router/metrics.ts'

type Family = { readonly name: string; readonly type: string; readonly labels: readonly string[] }
type Shown = Family & { readonly help: string }

const document = readFileSync(join(import.meta.dirname, '../../docs/metrics.md'), 'utf8')
const LIBRARY = /^(process|nodejs)_/
const TYPES = /(^|_)(gauge|counter|histogram|summary)(_|$)/
const SCALED = /(^|_)(ms|milliseconds|microseconds|minutes|hours|kb|kib|mb|mib|kilobytes|megabytes|percent)(_|$)/

const quietAudit = { state: () => ({ written: 0, lost: 0, alarm: undefined }) }

function serverRegistry(): Registry {
  const none = (): number => 0
  const { registry } = createServerMetrics({
    ...{ agents: none, connections: none, dials: none, bufferedBytes: none },
    backends: () => ({}),
    certificateSeconds: () => ({}),
    tlsAlarms: () => ({ frontend: false, agent: false }),
    policyAlarm: () => false,
  })
  createKubernetesMetrics(registry).leaseKept(() => true)
  countWorkers(registry, () => [])
  createAuditMetrics(registry, 'culvert_server_', quietAudit)
  createClusterMetrics(registry, createClusters(['default']), () => false)
  createFleetMetrics(registry, { standings: () => new Map() })
  createTenantMetrics(registry, { tenants: () => [], connections: none, broken: () => false })
  createEnrolmentMetrics(registry)
  createReplicaMetrics(registry, { known: none, isBroken: () => false, isMismatch: () => false })
  createRevocationMetrics(registry, 'culvert_server_', [])
  return registry
}

function agentRegistry(): Registry {
  const none = (): number => 0
  const { registry } = createAgentMetrics({
    ...{ servers: none, knownServers: none, connections: none, bufferedBytes: none },
    certificateSeconds: () => ({}),
    tlsAlarm: () => false,
    policyAlarm: () => false,
  })
  createLeaseMetrics(registry).counting(() => true)
  createAuditMetrics(registry, 'culvert_agent_', quietAudit)
  createRenewalMetrics(registry)
  createRevocationMetrics(registry, 'culvert_agent_', [])
  return registry
}

function routerRegistry(): Registry {
  const state = { clients: () => 0, tallies: () => new Map(), backends: () => [], configAlarm: () => false }
  const { registry } = createRouterMetrics(state)
  createAuditMetrics(registry, 'culvert_router_', quietAudit)
  return registry
}

/** prom-client types neither the names of labels nor the type of a family that has no series. */
const familiesOf = (registry: Registry): Shown[] =>
  (registry.getMetricsAsArray() as unknown as (Shown & { readonly labelNames: readonly string[] })[])
    .map(({ name, type, help, labelNames }) => ({ name, type, help, labels: [...labelNames] }))
    .filter(({ name }) => !LIBRARY.test(name))

function documented(program: string): Family[] {
  const [, section = ''] = new RegExp(`^## ${program}$([\\s\\S]*?)^(?:## |All )`, 'm').exec(document) ?? []
  const rows = section.matchAll(/^\| `(\w+)` \| (\w+) \| (.*?) ?\| \S.* \|$/gm)
  return [...rows].map(([, name = '', type = '', labels = '']) => ({
    name,
    type,
    labels: [...labels.matchAll(/`(\w+)`/g)].map(([, label = '']) => label),
  }))
}

const byName = (one: Family, other: Family): number => (one.name < other.name ? -1 : 1)
const programs = {
  'proxy-server': familiesOf(serverRegistry()),
  'proxy-agent': familiesOf(agentRegistry()),
  'sni-router': familiesOf(routerRegistry()),
}

for (const [program, families] of Object.entries(programs)) {
  t.test(`${program}: the document has every metric with its type and labels, and no other`, async (t) => {
    const shown = families.map(({ name, type, labels }) => ({ name, type, labels }))
    t.strictSame(documented(program).sort(byName), shown.sort(byName))
  })

  t.test(`${program}: what is ours is named as Prometheus asks`, async (t) => {
    const ours = families.filter(({ name }) => name.startsWith('culvert_'))
    t.ok(ours.length > 0)
    for (const { name, type, labels, help } of ours) {
      t.match(name, /^culvert_(server|agent|router)(_[a-z]+)+$/)
      t.equal(name.endsWith('_total'), type === 'counter', `${name}: a counter ends with _total, nothing else does`)
      t.notMatch(name, /_(count|sum|bucket|info)$/, `${name}: that end means something else`)
      t.notMatch(name, TYPES, `${name}: a name does not say its type`)
      t.notMatch(name, SCALED, `${name}: base units`)
      if (type === 'histogram') t.match(name, /_(seconds|bytes)$/, `${name}: has a unit`)
      for (const label of labels) t.match(label, /^(?!le$|quantile$)[a-z]+(_[a-z]+)*$/, `${name}: ${label}`)
      t.match(help, /^[A-Z1].*\.$/, `${name}: a help that is a sentence`)
    }
  })
}

t.test('every name in an alert of the document is one that is shown', async (t) => {
  const alerts = [...document.matchAll(/^```promql$([\s\S]*?)^```$/gm)].map(([, text = '']) => text).join('\n')
  const names = alerts.match(/\b(konnectivity_network_proxy|culvert)_\w+/g) ?? []
  t.ok(names.length > 20)
  const shown = new Map(Object.values(programs).flatMap((families) => families.map((family) => [family.name, family])))
  for (const name of names) {
    const family = shown.get(name) ?? shown.get(name.replace(/_(bucket|count|sum)$/, ''))
    t.ok(family && (family.name === name) === (family.type !== 'histogram'), name)
  }
  for (const [, name = '', label = ''] of alerts.matchAll(/(\w+)\{(\w+)!?="/g)) {
    t.ok(shown.get(name)?.labels.includes(label), `${name} has the label ${label}`)
  }
})
