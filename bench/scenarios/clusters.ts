/** Question: how soon has one server the agents of many clusters, and what do their heartbeats cost it? */
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { AgentsCommands } from '../load/agents.ts'
import { startRemote } from '../load/control.ts'
import { processorMs, residentBytes } from '../process-usage.ts'
import type { Scenario } from './scenario.ts'

const READY_DEADLINE_MS = 60_000
/** Handshakes at once. A server that has been away meets all of its clusters at once; what it refuses they would ask again. */
const AT_ONCE = 32
const KIB = 1024

export const clusters: Scenario = {
  name: 'clusters',
  question: 'clusters on one server',
  askedByName: true,
  cases: ({ clusters, steadyMs, memoryRounds }) =>
    clusters.map((count) => ({
      label: `${count} with an agent each`,
      series: 'with an agent each',
      size: count,
      frontend: 'tls',
      start: 'fresh',
      rounds: memoryRounds,
      metrics: [
        { name: 'all ready', unit: 's', better: 'less' },
        { name: 'server processor at heartbeats', unit: '% of a core', better: 'less' },
        { name: 'server, per agent', unit: 'KiB', better: 'less' },
      ],
      measure: async ({ server, agentPort, certificates }) => {
        const agents = startRemote<AgentsCommands>(join(import.meta.dirname, '../load/agents.ts'))
        try {
          const before = await residentBytes(server)
          const { ca, agent } = certificates
          const where = { host: '127.0.0.1', port: agentPort, ca, ...agent }
          const job = { ...where, count, atOnce: AT_ONCE, deadlineMs: READY_DEADLINE_MS }
          const { readyMs } = await agents.call('connect', job)
          await sleep(steadyMs / 2) // the first heartbeat of the last agent; what the handshakes left is collected
          const used = await processorMs(server)
          await sleep(steadyMs)
          const percent = (100 * ((await processorMs(server)) - used)) / steadyMs
          const after = await residentBytes(server)
          const { lost } = await agents.call('disconnect', undefined)
          if (lost > 0) throw new Error(`${lost} of ${count} agents were lost`)
          return [readyMs / 1000, percent, (after - before) / count / KIB]
        } finally {
          agents.stop()
        }
      },
    })),
}
