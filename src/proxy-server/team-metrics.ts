/** The metrics of a server with workers: its own few, those of the workers that run, and what the ones before them have counted. */
import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client'
import type { Refusal } from '../platform/endpoints.ts'
import { mergeFigures } from './merged-figures.ts'
import type { ServerMetrics } from './metrics.ts'
import { cutOffCounter, probeCounter } from './prometheus.ts'
import { FIGURES_PATH, type Figures } from './worker-messages.ts'
import type { Member, WorkerTeam } from './worker-team.ts'

/** Longest wait for a worker; of one that does not answer the last known figures count: milliseconds. */
const FIGURES_TIMEOUT_MS = 2_000

export type TeamMetrics = {
  /** Of the process that the workers belong to. */
  readonly registry: Registry
  readonly badProbe: (why: Refusal) => void
  readonly cutOff: ServerMetrics['cutOff']
  readonly workerCrashed: () => void
}

type Members = () => readonly Pick<Member, 'state'>[]

/** @param members asked for each time */
export function createTeamMetrics(members: Members): TeamMetrics {
  const registry = new Registry()
  collectDefaultMetrics({ register: registry })
  return {
    registry,
    badProbe: probeCounter(registry),
    cutOff: cutOffCounter(registry),
    workerCrashed: countWorkers(registry, members),
  }
}

/** @returns counts one that crashed */
export function countWorkers(registry: Registry, members: Members): () => void {
  const registers = [registry]
  new Gauge({
    name: 'culvert_server_workers',
    help: 'Worker processes, by state.',
    labelNames: ['state'],
    registers,
    collect() {
      for (const state of ['starting', 'up', 'leaving', 'dismissed'] as const) {
        this.set({ state }, members().filter((member) => member.state === state).length)
      }
    },
  })
  const crashes = new Counter({
    name: 'culvert_server_worker_crashes_total',
    help: 'Worker processes that ended unasked.',
    registers,
  })
  return () => crashes.inc()
}

/** Of all of them together, in Prometheus' form. */
export function metricsOfTeam(own: Registry, team: () => Pick<WorkerTeam, 'members' | 'lastingFigures'>) {
  return {
    contentType: own.contentType,
    async metrics(): Promise<string> {
      const { members, lastingFigures } = team()
      await Promise.all(members().map(refresh))
      const ownFigures: Figures = await own.getMetricsAsJSON()
      const before = await lastingFigures()
      // Who has ended meanwhile counts among those before.
      return mergeFigures([ownFigures, ...members().map(({ figures }) => figures), before]).metrics()
    },
  }
}

async function refresh(member: Member): Promise<void> {
  if (member.final) return
  const answer = await member.ask({ path: FIGURES_PATH, search: '' }, FIGURES_TIMEOUT_MS)
  if (answer?.status === 200 && !member.final) member.figures = JSON.parse(String(answer.body)) as Figures
}
