/** One end of the model: a real session, and an owner that checks what it is told. */
import { type Budget, createBudget } from '../../../src/tunnel/budget.ts'
import type { Int64 } from '../../../src/tunnel/packet.ts'
import { createSession } from '../../../src/tunnel/session.ts'
import type { Session, SessionEvents } from '../../../src/tunnel/session-owner.ts'
import { addressOf, type Tunnel } from './tunnel.ts'
import type { World } from './world.ts'

export type Role = 'server' | 'agent'

export type Side = {
  readonly role: Role
  readonly session: Session
  readonly budget: Budget
  /** Credit by connection, as counted from outside. */
  readonly credit: Map<Int64, number>
  over: boolean
  /** Pings of a session without heartbeats that were not answered yet; `drained`: sent after the drain. */
  /** The pings that were asked for and are not answered yet. */
  readonly pongs: number[]
}

export const ROLES = ['server', 'agent'] as const
export const otherOf = (role: Role): Role => (role === 'server' ? 'agent' : 'server')

export function createSide(world: World, role: Role): Side {
  const { setup, tunnels, lanes, violations, told, fail } = world
  const budget = createBudget(setup.budgetBytes, createBudget(setup.budgetBytes * 4))
  const side: { current?: Side } = {}
  const tunnelOf = (number: Int64, asked: Tunnel['asked']): Tunnel =>
    tunnels.find((it) => it.number === number && it.asked === asked) ?? fail(`no dial ${number} is ${asked}`)

  const events: SessionEvents = {
    broken() {
      told.broken++
      if (lanes[0]?.state === 'open') world.cut(lanes[0])
    },
    violation: (violation) => violations.set(violation, (violations.get(violation) ?? 0) + 1),
    ping: (number) => side.current?.pongs.push(number),
    roundTrip: (ms) => ms >= 0 || fail(`a round trip of ${ms} ms`),
    beat: ({ seq }) => seq > 0 || fail('a beat without a number'),
    draining: () => told.draining++,
    dial({ random: number, address, protocol }) {
      const tunnel = tunnelOf(number, 'not-yet')
      if (address !== addressOf(tunnel) || protocol !== 'tcp') fail(`dial ${number} asks for ${address}`)
      tunnel.asked = 'pending'
    },
    dialCancelled(number) {
      tunnelOf(number, 'pending').asked = 'cancelled'
    },
    goingAway: () => told.goingAway++,
    laneDead(carrier) {
      const lane = lanes[carrier.index]
      if (lane?.state === 'open') world.cut(lane)
    },
    laneIdle: (carrier) => lanes[carrier.index]?.ways[role].finish(),
    drained() {
      told.drained++
      const { session } = world.sides.agent
      if (told.drained > 1 || session.connectionCount() + session.dialCount() > 0) fail('drained too early or twice')
    },
  }
  const session = createSession(
    {
      role,
      extensions: setup.extensions,
      limits: {
        pendingDials: 1_000,
        connections: 1_000,
        unknownFramesPerMinute: 1_000,
        stock: {
          connectionBytes: setup.stockConnectionBytes,
          streamBytes: setup.budgetBytes,
          slowBytes: 640 * 1024,
          slowMs: 10_000,
        },
      },
      liveness: { intervalMs: 5_000, timeoutMs: setup.timeoutMs },
      budget,
      nowMs: world.nowMs,
      health: () => ({ uptimeMs: world.nowMs }),
    },
    events,
  )
  side.current = { role, session, budget, credit: new Map(), over: false, pongs: [] }
  return side.current
}
