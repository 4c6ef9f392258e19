/**
 * Two sessions, server and agent, joined by carriers in memory, with the sockets at both ends. The world lists what may
 * happen next; a schedule chooses. After each step it checks what must always hold.
 */
import type { Connection } from '../../../src/tunnel/connection.ts'
import type { DialEvents } from '../../../src/tunnel/dials.ts'
import type { Extensions } from '../../../src/tunnel/extensions.ts'
import type { Violation } from '../../../src/tunnel/violations.ts'
import type { Random } from '../../platform/random.ts'
import { moveTo } from '../one-session.ts'
import { checkWorld } from './checks.ts'
import { endLane, type Lane, openLane } from './lane.ts'
import { createSide, otherOf, ROLES, type Role, type Side } from './side.ts'
import { createSocket, type ModelSocket } from './socket.ts'
import type { Step } from './step.ts'
import { stepsOf } from './steps.ts'
import { addressOf, type Tunnel } from './tunnel.ts'

export type Setup = {
  readonly extensions: Extensions
  readonly random: Random
  /** Frames arrive one by one and writes end at once: for exhaustive interleavings. */
  readonly simple: boolean
  /** Real bytes through the real codec and outbox. */
  readonly bytes: boolean
  /** Room of a carrier: bytes. */
  readonly fillBytes: number
  readonly budgetBytes: number
  /** Without credit: bytes that may wait for one socket. */
  readonly stockConnectionBytes: number
  readonly timeoutMs: number
  /** How fast the network is, beside the sockets: 1 keeps up. */
  readonly speed: number
}

export type World = {
  readonly setup: Setup
  readonly sides: Readonly<Record<Role, Side>>
  readonly tunnels: Tunnel[]
  readonly lanes: Lane[]
  readonly violations: Map<Violation, number>
  readonly told: { drained: number; draining: number; goingAway: number; broken: number; laneLost: boolean }
  drainAsked: boolean
  nowMs: number
  /** What may happen next without anybody's fault. */
  readonly steps: () => Step[]
  readonly check: () => void
  readonly dial: (plans: Tunnel['plans']) => Tunnel
  /** A dial that is about to go out. */
  readonly announce: (tunnel: Pick<Tunnel, 'random' | 'number' | 'plans'>) => Tunnel
  /** What the one who dialled hears. @param join makes the end at the server */
  readonly dialEvents: (tunnel: Tunnel, join: (connection: Connection) => ModelSocket) => DialEvents
  readonly cancel: (tunnel: Tunnel) => void
  readonly accept: (tunnel: Tunnel) => void
  readonly refuse: (tunnel: Tunnel) => void
  readonly move: (socket: ModelSocket, lane: Lane) => boolean
  readonly addLane: () => Lane
  /** The side has nothing more to send over the lane. */
  readonly endLane: (lane: Lane, role: Role) => void
  readonly cut: (lane: Lane) => void
  readonly notice: (lane: Lane, role: Role) => void
  readonly drain: () => void
  readonly goAway: () => void
  readonly tick: (ms: number) => void
  readonly fail: (why: string) => never
}

export function createWorld(setup: Setup): World {
  const { random } = setup
  const tunnels: Tunnel[] = []
  const lanes: Lane[] = []
  const violations = new Map<Violation, number>()
  const told = { drained: 0, draining: 0, goingAway: 0, broken: 0, laneLost: false }

  function fail(why: string): never {
    throw new Error(why)
  }

  function socketFor(tunnel: Tunnel, role: Role): ModelSocket {
    const [gives, takes] = role === 'server' ? [0, 1] : [1, 0]
    return createSocket({
      name: `${role === 'server' ? 'client' : 'target'} ${tunnel.random}`,
      gives: tunnel.random * 2 + gives,
      takes: tunnel.random * 2 + takes,
      plan: role === 'server' ? tunnel.plans.client : tunnel.plans.target,
      random,
      fail,
      over: () => pullDown(role),
    })
  }

  /** Now and then an owner lets go of another connection when one ends, in the middle of what the session does. */
  function pullDown(role: Role): void {
    if (setup.simple || !random.chance(5)) return
    const sockets = tunnels.map((it) => (role === 'server' ? it.client : it.target))
    const other = random.pick(sockets)
    if (other?.connection && !other.ending) other.cutOff()
  }

  const world: World = {
    setup,
    sides: undefined as never,
    tunnels,
    lanes,
    violations,
    told,
    drainAsked: false,
    nowMs: 1_000,
    fail,
    steps: () => stepsOf(world),
    check: () => checkWorld(world),
    announce(named) {
      const tunnel: Tunnel = { ...named, dial: 'pending', asked: 'not-yet', client: undefined, target: undefined }
      tunnels.push(tunnel)
      return tunnel
    },
    dialEvents: (tunnel, join) => ({
      connected(connection) {
        if (tunnel.dial !== 'pending') fail(`dial ${tunnel.random} connected when it was ${tunnel.dial}`)
        tunnel.dial = 'connected'
        tunnel.client = join(connection)
        return tunnel.client.events
      },
      failed() {
        if (tunnel.dial !== 'pending') fail(`dial ${tunnel.random} failed when it was ${tunnel.dial}`)
        tunnel.dial = 'failed'
      },
    }),
    dial(plans) {
      const random = tunnels.length + 1
      const tunnel = world.announce({ random, number: random, plans })
      world.sides.server.session.dial(
        { random, protocol: 'tcp', address: addressOf(tunnel) },
        world.dialEvents(tunnel, (connection) => {
          const socket = socketFor(tunnel, 'server')
          socket.connection = connection
          return socket
        }),
      )
      return tunnel
    },
    cancel(tunnel) {
      tunnel.dial = 'cancelled'
      world.sides.server.session.cancel(tunnel.number)
    },
    accept(tunnel) {
      const socket = socketFor(tunnel, 'agent')
      socket.connection = world.sides.agent.session.accept(tunnel.number, socket.events)
      if (!socket.connection) fail(`the agent may not accept dial ${tunnel.random}`)
      tunnel.target = socket
      tunnel.asked = 'accepted'
    },
    refuse(tunnel) {
      tunnel.asked = 'refused'
      world.sides.agent.session.refuse(tunnel.number, 'dial tcp 10.0.0.1:80: connect: connection refused')
    },
    move(socket, lane) {
      const role = socket.name.startsWith('client') ? 'server' : 'agent'
      return moveTo(socket.connection!, lane.ways[role].carrier)
    },
    addLane: () => openLane(world),
    endLane: (lane, role) => endLane(world, lane, role),
    cut(lane) {
      lane.state = 'cut'
      if (lane.index > 0) told.laneLost = true
      for (const role of ROLES) lane.ways[role].cut()
    },
    notice(lane, role) {
      lane.noticed.add(role)
      lane.ways[otherOf(role)].deaf()
      const side = world.sides[role]
      if (lane.index === 0) side.over = true
      side.session.lost(lane.ways[role].carrier, 'the carrier is gone')
    },
    drain() {
      world.drainAsked = true
      world.sides.agent.session.drain()
    },
    goAway: () => world.sides.server.session.goAway('shutdown', 25_000, 500),
    tick(ms) {
      world.nowMs += ms
      for (const role of ROLES) {
        const { session } = world.sides[role]
        session.tick(world.nowMs, world.nowMs + 1_700_000_000_000)
      }
    },
  }
  Object.assign(world, { sides: { server: createSide(world, 'server'), agent: createSide(world, 'agent') } })
  openLane(world)
  return world
}
