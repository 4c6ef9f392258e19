/**
 * When a server is ready, for `/readyz`. With `--tenancy=single` it is as konnectivity's, while it has an agent. With `--tenancy=multi` no
 * cluster takes it from the others by being away: docs/adr/0038.
 */
import type { Clock } from '../platform/clock.ts'
import type { Check, Readiness } from '../platform/health.ts'
import type { Shutdown } from '../platform/shutdown.ts'
import { createAgentsSettled } from './core/agents-settled.ts'
import type { FleetFact } from './core/fleet-feed.ts'
import type { ServerOptions } from './options.ts'
import type { Member } from './worker-team.ts'

export type ReadinessDeps = {
  readonly clock: Pick<Clock, 'now'>
  readonly shutdown: Pick<Shutdown, 'drain'>
  /** In konnectivity's meaning. */
  readonly hasAgent: () => boolean
  /** Of a server with workers. */
  readonly workers?: () => readonly Pick<Member, 'state'>[]
}

export type ServerReadiness = Readiness & {
  /** Agents can come from now on. */
  readonly begin: () => void
  /** One more worker is up. */
  readonly workerUp: () => void
  /** Is told all that happens to agents. */
  readonly take: (fact: FleetFact) => void
}

const isGivenClients: Readonly<Record<Member['state'], boolean>> = {
  starting: false,
  up: true,
  leaving: true, // with the agents that it has
  dismissed: false,
}

export function createReadiness({ tenancy }: Pick<ServerOptions, 'tenancy'>, deps: ReadinessDeps): ServerReadiness {
  const { clock, shutdown, hasAgent, workers } = deps
  const settled = createAgentsSettled(clock)
  const upCount = (): number => workers?.().filter(({ state }) => isGivenClients[state]).length ?? 0
  const workerIsUp = (): boolean => !workers || upCount() > 0
  const agentConnected: Check = {
    name: 'agent-connected',
    problem: () => (hasAgent() ? undefined : 'no connection to any proxy agent'),
  }
  const workerUp: Check = { name: 'worker-up', problem: () => (workerIsUp() ? undefined : 'no worker is up') }
  const ofMany: Check[] = [{ name: 'agents-settled', problem: settled.problem }, ...(workers ? [workerUp] : [])]

  return {
    whenNot: 'server',
    checks: [
      ...(tenancy === 'multi' ? ofMany : [agentConnected]),
      { name: 'not-shutting-down', problem: () => (shutdown.drain.aborted ? 'shutting down' : undefined) },
    ],
    begin: settled.begin,
    workerUp() {
      if (upCount() === 1) settled.begin() // there was none before to whom agents could come
    },
    take(fact) {
      if (fact.is === 'joined') settled.arrived()
      if (fact.is === 'server-gone' && !workerIsUp()) settled.begin() // its agents come back as to one that has just started
    },
  }
}
