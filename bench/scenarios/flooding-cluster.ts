/** Question: what does a small exchange of one cluster notice of a neighbour that floods the server, among 99 idle ones? */
import { join } from 'node:path'
import type { AgentsCommands } from '../load/agents.ts'
import { startRemote } from '../load/control.ts'
import { ANSWER_DEADLINE_MS } from '../load/tunnel-set.ts'
import { FLOOD_ADDRESS } from '../peers/tenants.ts'
import type { Scenario } from './scenario.ts'

const READY_DEADLINE_MS = 60_000
const FLOOD_AT_ONCE = 64
/** What a kube-apiserver has for a dial. */
const PATIENCE_MS = 30_000
const FLOODS = [
  {
    does: 'dials',
    label: 'beside 99 idle clusters and one that floods',
    series: 'beside a cluster that floods',
  },
  {
    does: 'handshakes',
    label: 'beside 99 idle clusters and one that shakes hands and hangs up',
    series: 'beside a cluster that shakes hands and hangs up',
  },
] as const
/** Longer than other windows: p99 needs many round trips. */
const WINDOWS = 10

export const floodingCluster: Scenario = {
  name: 'flooding-cluster',
  question: '128-byte round trip of one cluster',
  lineup: 'tenants',
  askedByName: true,
  cases: ({ warmUpMs, windowMs, rounds }) =>
    FLOODS.map(({ does, label, series }) => ({
      label,
      series,
      size: 1,
      frontend: 'tls',
      start: 'shared',
      rounds,
      metrics: [
        { name: 'p50', unit: 'µs', better: 'less' },
        { name: 'p99', unit: 'µs', better: 'less' },
        { name: 'p99 : alone', unit: 'times', better: 'less' },
        { name: `${does} of the flood`, unit: '/s', better: 'less' },
      ],
      measure: async ({ frontend, agentPort, certificates, neighbours }, { light, heavy }) => {
        if (!neighbours || frontend.kind !== 'tls') throw new Error('this peer has one cluster')
        const agents = startRemote<AgentsCommands>(join(import.meta.dirname, '../load/agents.ts'))
        try {
          const own = [neighbours.flood.agent, ...neighbours.idle]
          const where = { host: '127.0.0.1', port: agentPort, ca: certificates.ca, ...certificates.agent, own }
          await agents.call('connect', { ...where, count: own.length, atOnce: 16, deadlineMs: READY_DEADLINE_MS })
          const measureMs = WINDOWS * windowMs
          const times = { warmUpMs, windowMs: measureMs, deadlineMs: ANSWER_DEADLINE_MS }
          const job = { frontend, target: light.services.echo, atOnce: 1, ...times }
          const alone = await light.generator.call('roundTrips', job)
          await heavy.generator.call('flood', {
            does,
            frontend: { ...frontend, ...neighbours.flood.client, localAddress: FLOOD_ADDRESS },
            target: heavy.services.echo,
            atOnce: FLOOD_AT_ONCE,
            deadlineMs: PATIENCE_MS,
          })
          const beside = light.generator.call('roundTrips', { ...job, warmUpMs: 2 * warmUpMs })
          await Promise.allSettled([beside])
          const { perSecond } = await heavy.generator.call('endFlood', undefined) // also when the exchanges fail: it must not run on
          const { p50Us, p99Us } = await beside
          const { lost } = await agents.call('disconnect', undefined)
          if (lost > 0) throw new Error(`${lost} of ${own.length} agents were lost`)
          return [p50Us, p99Us, p99Us / alone.p99Us, perSecond]
        } finally {
          agents.stop()
        }
      },
    })),
}
