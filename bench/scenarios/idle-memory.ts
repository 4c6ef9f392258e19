/** Question: what does an idle tunnel cost in memory, in the server and in the agent, and what do they cost without any? */
import { setTimeout as sleep } from 'node:timers/promises'
import { ANSWER_DEADLINE_MS } from '../load/tunnel-set.ts'
import { residentBytes } from '../process-usage.ts'
import type { Scenario } from './scenario.ts'

const KIB = 1024
const AT_ONCE = 16
/** Short tunnels before the first look: what serving costs once (code, heap, pools) is no idle tunnel's cost. */
const WARM_UP_MS = 500
/** Memory is looked at this long after the last byte: collectors and timers have had a turn. */
const SETTLE_MS = 500

export const idleMemory: Scenario = {
  name: 'idle-memory',
  question: 'idle memory',
  cases: ({ idleTunnels, memoryRounds }) =>
    (['tls', 'unix'] as const).flatMap((kind) =>
      idleTunnels.map((count) => ({
        label: `${count} tunnels, ${kind === 'tls' ? 'TLS' : 'Unix socket'}`,
        series: `tunnels, ${kind === 'tls' ? 'TLS' : 'Unix socket'}`,
        size: count,
        frontend: kind,
        start: 'fresh',
        rounds: memoryRounds,
        metrics: [
          { name: 'server, per tunnel', unit: 'KiB', better: 'less' },
          { name: 'agent, per tunnel', unit: 'KiB', better: 'less' },
          { name: 'server, just started', unit: 'MiB', better: 'less' },
          { name: 'agent, just started', unit: 'MiB', better: 'less' },
        ],
        measure: async ({ frontend, server, agent }, { light }) => {
          const both = async () => [await residentBytes(server), await residentBytes(agent)] as const
          const echo = { frontend, target: light.services.echo, atOnce: AT_ONCE, deadlineMs: ANSWER_DEADLINE_MS }
          const atStart = await both()
          await light.generator.call('dials', { ...echo, warmUpMs: 0, windowMs: WARM_UP_MS })
          await sleep(SETTLE_MS)
          const before = await both()
          const { opened } = await light.generator.call('hold', { ...echo, count, kind: 'idle' })
          if (opened < count) throw new Error(`${opened} of ${count} tunnels opened`)
          await sleep(SETTLE_MS)
          const after = await both()
          await light.generator.call('release', undefined)
          return [
            (after[0] - before[0]) / count / KIB,
            (after[1] - before[1]) / count / KIB,
            atStart[0] / KIB / KIB,
            atStart[1] / KIB / KIB,
          ]
        },
      })),
    ),
}
