/** What proxy-server asks of a Kubernetes API, where a flag wants it: a lease of its own, and whose the tokens of agents are. */

import { type ApiClient, createApiClient } from '../kubernetes/api-client.ts'
import { createKnownTokens } from '../kubernetes/core/known-tokens.ts'
import { labelsAsSelector, parseLabels } from '../kubernetes/core/labels.ts'
import type { Lease } from '../kubernetes/lease.ts'
import { collectLeases } from '../kubernetes/lease-collector.ts'
import { keepLease, type LeaseController } from '../kubernetes/lease-controller.ts'
import { countLeases } from '../kubernetes/lease-counter.ts'
import { leasesIn } from '../kubernetes/leases.ts'
import { openAccess } from '../kubernetes/open-access.ts'
import { createTokenReviewer, type TokenReviewer } from '../kubernetes/token-reviewer.ts'
import { createTokenWatch, REVIEWS_PER_SECOND } from '../kubernetes/token-watch.ts'
import type { Rate } from '../kubernetes/turns.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { readVersion } from '../platform/version.ts'
import type { KubernetesMetrics } from './kubernetes-metrics.ts'
import type { ServerOptions } from './options.ts'

export type ServerKubernetes = Disposable & {
  /** Undefined where agents show no tokens. */
  readonly authenticate: TokenReviewer['review'] | undefined
  /**
   * Keeps a lease and collects those of others, from now on; where a flag wants it.
   *
   * @param holders one lease for each; default the server itself
   */
  readonly announce: (holders?: readonly string[]) => void
  /** Tells of the valid leases of all servers, from now on and whenever they change. Disposing it ends that. */
  readonly follow: (heard: (leases: readonly Lease[]) => void) => Disposable
  /** Gives the leases up, if there are any. Fulfilled when they are gone or cannot be removed. */
  readonly withdraw: () => Promise<void>
}

type Deps = { readonly clock: Clock; readonly log: Log; readonly metrics: KubernetesMetrics }

/**
 * Nothing is asked yet.
 *
 * @throws TunnelError `bad-option` when the kubeconfig cannot be used, or when there is none outside of a pod
 */
export async function openKubernetes(options: ServerOptions, deps: Deps): Promise<ServerKubernetes | undefined> {
  const wantsTokens =
    options.agentNamespace !== '' || (options.tenancy === 'multi' && options.authenticationAudience !== '')
  if (!wantsTokens && !options.enableLeaseController && options.replicaServerName === '') return undefined
  const { clock, log, metrics } = deps
  using opened = new DisposableStack()
  const access = await openAccess(options.kubeconfig)
  const clientOf = (rate: Rate): ApiClient =>
    opened.use(createApiClient({ access, rate, userAgent: `culvert-proxy-server/${readVersion()}`, clock }))
  const api = clientOf({ qps: options.kubeconfigQps, burst: options.kubeconfigBurst })
  const expected = {
    namespace: options.agentNamespace,
    serviceAccount: options.agentServiceAccount,
    audience: options.authenticationAudience,
  }
  const known = createKnownTokens()
  const connectedApi =
    wantsTokens && options.tenancy === 'multi'
      ? clientOf({ qps: REVIEWS_PER_SECOND, burst: REVIEWS_PER_SECOND })
      : undefined
  const { reviewed, reviewedAgain } = metrics
  const watch =
    connectedApi && opened.use(createTokenWatch({ api: connectedApi, expected, known, clock, log, reviewedAgain }))
  const reviewer = wantsTokens
    ? createTokenReviewer({ api, connectedApi, expected, known, watch, clock, log, reviewed })
    : undefined
  const parsed = parseLabels(options.leaseLabel)
  const labels = 'labels' in parsed ? parsed.labels : {} // checked with the other options
  const { random } = Math
  let kept: readonly LeaseController[] = []
  let collector: Disposable | undefined
  const disposables = opened.move()

  return {
    authenticate: reviewer?.review,
    announce(holders = [options.serverId]) {
      if (!options.enableLeaseController) return
      const leases = leasesIn(options.leaseNamespace, api)
      const common = { leases, clock, log, metrics }
      const { replicaServerName: serverName, replicaAddress: address } = options
      const replica = serverName === '' ? undefined : { serverName, address }
      kept = holders.map((holder) =>
        keepLease({ ...common, name: leaseName(holder), holder, labels, replica, random, renewed: metrics.renewed }),
      )
      collector = collectLeases({ ...common, selector: labelsAsSelector(labels), ownNames: holders.map(leaseName) })
      metrics.leaseKept(() => kept.every(({ isHeld }) => isHeld()))
    },
    follow(heard) {
      const counter = countLeases({
        leases: leasesIn(options.leaseNamespace, api),
        selector: labelsAsSelector(labels),
        clock,
        random,
        log,
        metrics,
        heard: () => heard(counter.leases()),
      })
      return counter
    },
    async withdraw() {
      collector?.[Symbol.dispose]()
      await Promise.all(kept.map((lease) => lease.withdraw()))
    },
    [Symbol.dispose]() {
      collector?.[Symbol.dispose]()
      disposables.dispose()
    },
  }
}

const leaseName = (holder: string): string => `konnectivity-proxy-server-${holder}`
