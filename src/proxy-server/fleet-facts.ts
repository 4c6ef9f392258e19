/** What a server tells of its agents, for the states of their clusters: who came, went, drains or is silent, and who was refused. */
import type { Clock } from '../platform/clock.ts'
import type { AgentStream } from './agent-stream-owner.ts'
import type { FleetFact, StreamName } from './core/fleet-feed.ts'

/** Between two looks at how long agents have been silent: milliseconds. */
const LOOK_MS = 1_000
/** An agent that was not heard for this part of the time after which it is dead is late. */
const LATE_PART = 3 / 4

/** Of the words with which an agent was refused, which may quote it: characters. */
const MAX_REASON_CHARS = 512

export type FleetFacts = Disposable & {
  readonly joined: (agent: AgentStream) => void
  readonly draining: (agent: AgentStream) => void
  readonly left: (agent: AgentStream, reason: string) => void
  /** The clusters that the server is for. */
  readonly known: (clusters: readonly string[]) => void
  readonly refused: (source: string | undefined, agent: string | undefined, why: string, reason: string) => void
}

export type FleetFactsDeps = {
  readonly serverId: string
  readonly heartbeatTimeoutMs: number
  readonly clock: Clock
  readonly tell: (fact: FleetFact) => void
}

type Watched = { readonly stream: StreamName; late: boolean }

export function createFleetFacts({ serverId, heartbeatTimeoutMs, clock, tell }: FleetFactsDeps): FleetFacts {
  const agents = new Map<AgentStream, Watched>()
  let last = 0
  let timer = clock.after(LOOK_MS, look)

  function look(): void {
    timer = clock.after(LOOK_MS, look)
    const lateSince = clock.now() - heartbeatTimeoutMs * LATE_PART
    for (const [{ record }, watched] of agents) {
      const late = record.heardMs < lateSince
      if (late === watched.late) continue
      watched.late = late
      tell({ is: late ? 'late' : 'heard', stream: watched.stream })
    }
  }

  return {
    joined(agent) {
      const stream = { server: serverId, number: ++last }
      agents.set(agent, { stream, late: false })
      tell({ is: 'joined', stream, cluster: agent.cluster, agent: agent.agentId })
    },
    draining(agent) {
      const watched = agents.get(agent)
      if (watched) tell({ is: 'draining', stream: watched.stream })
    },
    left(agent, reason) {
      const watched = agents.get(agent)
      if (watched && agents.delete(agent)) tell({ is: 'left', stream: watched.stream, reason })
    },
    known: (clusters) => tell({ is: 'known', clusters }),
    refused: (source = '', agent, why, reason) =>
      tell({ is: 'refused', source, agent, why, reason: reason.slice(0, MAX_REASON_CHARS) }),
    [Symbol.dispose]: () => timer[Symbol.dispose](),
  }
}
