/**
 * The parts of a server that are there only when a flag asks for them: enrolment, the hub's policy, what is asked of
 * Kubernetes, its replicas, and the clusters of --tenancy=multi. Opened before anything listens, and closed together.
 */
import type { Registry } from 'prom-client'
import type { Audit } from '../audit/record.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { TlsMaterial } from '../platform/tls-material.ts'
import { type FileText, type Watch, watchTexts } from '../platform/watched.ts'
import { loadPolicy, MAX_POLICY_BYTES, type Policy } from '../policy/policy.ts'
import type { Budget } from '../tunnel/budget.ts'
import { createAgentRounds } from './agent-rounds.ts'
import type { AgentStream } from './agent-stream-owner.ts'
import type { Clusters } from './core/clusters.ts'
import type { Enrolment } from './enrolment.ts'
import { createEnrolmentMetrics } from './enrolment-metrics.ts'
import { openKubernetes, type ServerKubernetes } from './kubernetes.ts'
import { createKubernetesMetrics } from './kubernetes-metrics.ts'
import type { ServerOptions } from './options.ts'
import { openReplicas, type Replicas } from './replicas.ts'
import type { Tenants } from './tenants.ts'

/** Between two looks at the policy: milliseconds. */
const LOOK_MS = 5_000

export type OptionalParts = Disposable & {
  readonly enrolment: Enrolment | undefined
  readonly kubernetes: ServerKubernetes | undefined
  /** Those that agents are told of. */
  readonly replicas: Replicas | undefined
  /** The clusters of a server of many. */
  readonly tenants: Tenants | undefined
  /** The hub's, of a cluster, as it is now; none: it says nothing. */
  readonly policyOf: (cluster: string) => Policy | undefined
  /** Whether the file of the policy is broken and an older one in force. */
  readonly policyAlarm: () => boolean
}

export type OptionalPartsDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly registry: Registry
  readonly audit: Audit | undefined
  readonly auditOften: Audit | undefined
  readonly processBudget: Budget
  /** Those who are connected: they are told of a policy that changes. */
  readonly clusters: Clusters<AgentStream>
  /** Texts of the clusters, or of the policy, that other processes of this server have in use. */
  readonly inUse: readonly FileText[] | undefined
  /** Of the agent port. */
  readonly material: () => TlsMaterial
}

/** @throws TunnelError `bad-option` with every mistake in the files of one of them, one per line */
export async function openOptionalParts(options: ServerOptions, deps: OptionalPartsDeps): Promise<OptionalParts> {
  const { clock, log, registry, clusters } = deps
  using opened = new DisposableStack()
  const pushPolicies = createAgentRounds({
    agents: clusters.all,
    tell: (agent: AgentStream) => agent.pushPolicy(),
    later: setImmediate,
  })
  const policy = watchPolicy(options, deps, pushPolicies)
  if (policy) opened.use(policy)
  const kubernetes = await openKubernetes(options, { clock, log, metrics: createKubernetesMetrics(registry) })
  if (kubernetes) opened.use(kubernetes)
  const replicas = openReplicas(options, {
    clock,
    log,
    registry,
    kubernetes,
    changed: createAgentRounds({
      agents: clusters.all,
      tell: (agent: AgentStream) => agent.tellReplicas(),
      later: setImmediate,
    }),
  })
  if (replicas) opened.use(replicas)
  const tenants = await openTenantsIfMany(options, deps)
  if (tenants) opened.use(tenants)
  tenants?.onChange(pushPolicies)
  const knows = tenants && ((cluster: string): boolean => tenants.directory().get(cluster) !== undefined)
  const enrolment = await openEnrolmentIfAsked(options, deps, knows)
  if (enrolment) opened.use(enrolment)
  const disposables = opened.move()
  return {
    enrolment,
    kubernetes,
    replicas,
    tenants,
    policyOf: (cluster) => (tenants ? tenants.directory().get(cluster)?.policy : policy?.current()),
    policyAlarm: () => policy?.alarm() !== undefined,
    [Symbol.dispose]: () => disposables.dispose(),
  }
}

async function openEnrolmentIfAsked(
  options: ServerOptions,
  { clock, log, registry, audit, auditOften, material }: OptionalPartsDeps,
  knows: ((cluster: string) => boolean) | undefined,
): Promise<Enrolment | undefined> {
  if (options.enrolmentCaCert === '') return undefined
  const { openEnrolment } = await import('./enrolment.ts')
  const metrics = createEnrolmentMetrics(registry)
  return openEnrolment(options, { clock, log, metrics, audit, auditOften, material, knows })
}

/** @throws TunnelError `bad-option` with every problem of the file, one per line */
function watchPolicy(
  { agentPolicyFile }: ServerOptions,
  { clock, log, inUse }: OptionalPartsDeps,
  changed: () => void,
): Watch<Policy> | undefined {
  if (agentPolicyFile === '') return undefined
  const source = { flag: '--agent-policy-file', path: agentPolicyFile, maxBytes: MAX_POLICY_BYTES }
  const others = inUse && loadPolicy(inUse, 'hub')
  return watchTexts(source, (files) => loadPolicy(files, 'hub'), {
    instead: others?.ok ? others.value : undefined,
    clock,
    intervalMs: LOOK_MS,
    changed({ version }) {
      log.info({ version }, 'policy changed')
      changed()
    },
    broken: (error) => log.error({ reason: error.message }, 'policy is broken, the one before stays in force'),
    mended: () => log.info({}, 'policy is good again'),
  })
}

async function openTenantsIfMany(
  options: ServerOptions,
  { clock, log, registry, processBudget, clusters, inUse }: OptionalPartsDeps,
): Promise<Tenants | undefined> {
  if (options.tenancy === 'single') return undefined
  const { openTenants } = await import('./tenants.ts')
  const connections = (cluster: string): number =>
    clusters.of(cluster).reduce((total, { session }) => total + session.connectionCount(), 0)
  return openTenants(options, { clock, log, registry, processBudget, connections, inUse })
}
