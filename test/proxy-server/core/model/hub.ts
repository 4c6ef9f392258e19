/**
 * The server of the model: agents, each with a world of its own (two sessions, carriers, targets), the real dialing over
 * them, and clients. Its steps are those of all of them; time is one.
 */
import type { AgentStream } from '../../../../src/proxy-server/agent-stream-owner.ts'
import { createDialing, type Dialing } from '../../../../src/proxy-server/dialing.ts'
import { type ManualClock, manualClock } from '../../../platform/manual-clock.ts'
import type { Random } from '../../../platform/random.ts'
import type { Plan } from '../../../tunnel/model/socket.ts'
import type { Step } from '../../../tunnel/model/step.ts'
import type { Tunnel } from '../../../tunnel/model/tunnel.ts'
import { createWorld, type Setup, type World } from '../../../tunnel/model/world.ts'
import { recordedMetrics } from '../../recorded-metrics.ts'
import { createCallEnd, unplanned } from './call-end.ts'
import { type Client, createClient } from './client.ts'

export type HubSetup = {
  readonly random: Random
  readonly agents: readonly Omit<Setup, 'random' | 'simple'>[]
  readonly clients: number
  readonly dialTimeoutMs: number
  readonly maxPendingDials: number
  readonly maxViolations: number
}

export type Hub = {
  readonly setup: HubSetup
  readonly worlds: readonly World[]
  readonly clients: readonly Client[]
  /** How many have been asked for. */
  targets: number
  readonly steps: () => Step[]
  readonly check: () => void
  readonly tick: (ms: number) => void
  /** The one that reached this target. */
  readonly tunnelTo: (target: number) => Tunnel | undefined
  readonly fail: (why: string) => never
}

export function createHub(setup: HubSetup): Hub {
  const { random } = setup
  const clock: ManualClock = manualClock()
  const worlds = setup.agents.map((agent) => createWorld({ ...agent, random, simple: false }))
  const agents = worlds.map(agentOf)

  function fail(why: string): never {
    throw new Error(why)
  }

  /** The agent's session, which tells its world what is dialled. */
  function agentOf(world: World): AgentStream {
    const { session } = world.sides.server
    const spying: typeof session = {
      ...session,
      dial(request, events) {
        const target: Plan = {
          totalBytes: random.pick([0, 1, 5_000, 100_000, 300_000]),
          endless: random.chance(30),
          sink: random.pick(['fast', 'fast', 'slow', 'stalled']),
        }
        const named = {
          random: numberOf(request.address),
          number: request.random,
          plans: { client: unplanned, target },
        }
        const tunnel = world.announce(named)
        const marks = world.dialEvents(tunnel, (connection) =>
          createCallEnd(world, tunnel, connection, events.connected(connection)),
        )
        session.dial(request, {
          connected: marks.connected,
          failed(failure) {
            marks.failed(failure)
            events.failed(failure)
          },
        })
      },
      cancel(number) {
        const tunnel = world.tunnels.find((it) => it.number === number && it.dial === 'pending')
        if (!tunnel) fail(`a dial ${number} is cancelled that is not pending`)
        tunnel.dial = 'cancelled'
        session.cancel(number)
      },
    }
    return { session: spying, pushPolicy() {} } as Partial<AgentStream> as AgentStream
  }

  const dialing: Dialing = createDialing({
    clusters: {
      pick(_cluster: string, _address: string, _lot: number, except?: AgentStream) {
        const there = agents.filter((agent, index) => agent !== except && !worlds[index]!.sides.server.over)
        return there.length === 0 ? undefined : random.pick(there)
      },
    } as Parameters<typeof createDialing>[0]['clusters'],
    clock,
    metrics: recordedMetrics(),
    random: random.fraction,
    dialNumber: () => 1_000_000 + random.below(1_000_000_000),
    timeoutMs: setup.dialTimeoutMs,
    maxPendingPerFrontend: setup.maxPendingDials,
    authorise: () => ({ kind: 'allowed' }),
  })

  const hub: Hub = {
    setup,
    worlds,
    clients: [],
    targets: 0,
    fail,
    tunnelTo: (target) =>
      worlds.flatMap(({ tunnels }) => tunnels).find((it) => it.random === target && it.dial === 'connected'),
    steps: () => [...worlds.flatMap((world) => world.steps()), ...hub.clients.flatMap((client) => client.steps())],
    check() {
      for (const client of hub.clients) client.settleTurn()
      for (const world of worlds) world.check()
      for (const client of hub.clients) client.check()
    },
    tick(ms) {
      clock.advance(ms)
      for (const world of worlds) world.tick(ms)
    },
  }
  const clients = Array.from({ length: setup.clients }, (_, index) => createClient(hub, `call ${index + 1}`, dialing))
  Object.assign(hub, { clients })
  return hub
}

/** The tunnel's number in the model, from the address of its target. */
export const numberOf = (address: string): number => Number(/^10\.0\.0\.(\d+):80$/.exec(address)?.[1])
