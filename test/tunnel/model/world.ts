/**
 * Two sessions, server and agent, joined by carriers in memory, with the sockets at both ends. The world lists what may
 * happen next; a schedule chooses. After each step it checks what must always hold.
 */
import { createBudget } from '../../../src/tunnel/budget.ts'
import { type Carrier, READ_BYTES } from '../../../src/tunnel/carrier.ts'
import type { Connection } from '../../../src/tunnel/connection.ts'
import type { Extensions } from '../../../src/tunnel/extensions.ts'
import type { MessageSink } from '../../../src/tunnel/grpc-messages.ts'
import type { Int64 } from '../../../src/tunnel/packet.ts'
import { createSession, type Session, type SessionEvents, type Violation } from '../../../src/tunnel/session.ts'
import { INITIAL_WINDOW_BYTES } from '../../../src/tunnel/window.ts'
import type { Random } from './random.ts'
import { backlogOf, createSocket, type ModelSocket, type Plan } from './socket.ts'
import type { Step } from './step.ts'
import { byteTransport, frameTransport } from './transport.ts'
import { socketsOf, type Tunnel, wrongEnding } from './tunnel.ts'
import { createWay, type Way } from './way.ts'

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

export type Role = 'server' | 'agent'

type Side = {
  readonly role: Role
  readonly session: Session
  readonly budget: ReturnType<typeof createBudget>
  /** Credit by connection, as counted from outside. */
  readonly credit: Map<Int64, number>
  over: boolean
  pongs: { drained: boolean }[]
}

type Lane = {
  readonly index: number
  readonly ways: Readonly<Record<Role, Way>> // by sender
  readonly noticed: Set<Role>
  state: 'open' | 'cut'
}

export type World = {
  readonly setup: Setup
  readonly sides: Readonly<Record<Role, Side>>
  readonly tunnels: Tunnel[]
  readonly lanes: Lane[]
  readonly violations: Map<Violation, number>
  readonly told: { drained: number; draining: number; goingAway: number; broken: number; laneLost: boolean }
  drainAsked: boolean
  /** What may happen next without anybody's fault. */
  readonly steps: () => Step[]
  readonly check: () => void
  readonly dial: (plans: Tunnel['plans'], lane?: Lane) => Tunnel
  readonly cancel: (tunnel: Tunnel) => void
  readonly accept: (tunnel: Tunnel) => void
  readonly refuse: (tunnel: Tunnel) => void
  readonly move: (socket: ModelSocket, lane: Lane) => boolean
  readonly addLane: () => Lane
  readonly cut: (lane: Lane) => void
  readonly notice: (lane: Lane, role: Role) => void
  readonly drain: () => void
  readonly goAway: () => void
  readonly tick: (ms: number) => void
  readonly fail: (why: string) => never
}

const ROLES = ['server', 'agent'] as const
const otherOf = (role: Role): Role => (role === 'server' ? 'agent' : 'server')

export function createWorld(setup: Setup): World {
  const { extensions, random } = setup
  const flowControl = extensions.has('flow-control')
  const halfClose = extensions.has('half-close')
  const tunnels: Tunnel[] = []
  const lanes: Lane[] = []
  const violations = new Map<Violation, number>()
  const told = { drained: 0, draining: 0, goingAway: 0, broken: 0, laneLost: false }
  let nowMs = 1_000

  function fail(why: string): never {
    throw new Error(why)
  }

  const find = (number: Int64): Tunnel => tunnels.find((it) => it.random === number) ?? fail(`nobody dialled ${number}`)

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
    if (other?.connection && !other.ending) other.breakOff()
  }

  function createSide(role: Role): Side {
    const budget = createBudget(setup.budgetBytes, createBudget(setup.budgetBytes * 4))
    const side: { current?: Side } = {}
    const events: SessionEvents = {
      broken() {
        told.broken++
        if (lanes[0]?.state === 'open') world.cut(lanes[0])
      },
      violation: (violation) => violations.set(violation, (violations.get(violation) ?? 0) + 1),
      ping: () => side.current?.pongs.push({ drained: world.drainAsked && role === 'agent' }),
      roundTrip: (ms) => ms >= 0 || fail(`a round trip of ${ms} ms`),
      beat: ({ seq }) => seq > 0 || fail('a beat without a number'),
      draining: () => told.draining++,
      dial({ random: number, address, protocol }) {
        const tunnel = find(number)
        if (tunnel.asked !== 'not-yet') fail(`dial ${number} was asked twice`)
        if (address !== `10.0.0.${number}:80` || protocol !== 'tcp') fail(`dial ${number} asks for ${address}`)
        tunnel.asked = 'pending'
      },
      dialCancelled(number) {
        const tunnel = find(number)
        if (tunnel.asked !== 'pending') fail(`dial ${number} was cancelled when it was ${tunnel.asked}`)
        tunnel.asked = 'cancelled'
      },
      goingAway: () => told.goingAway++,
      drained() {
        told.drained++
        const { session } = world.sides.agent
        if (told.drained > 1 || session.connectionCount() + session.dialCount() > 0) fail('drained too early or twice')
      },
    }
    const session = createSession(
      {
        role,
        extensions,
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
        nowMs,
        health: () => ({ uptimeMs: nowMs }),
      },
      events,
    )
    side.current = { role, session, budget, credit: new Map(), over: false, pongs: [] }
    return side.current
  }

  /** What a side does with what arrives on a lane. */
  function sinkOf(role: Role, lane: () => Lane): MessageSink {
    const carrier = (): Carrier => lane().ways[role].carrier
    return {
      packet(packet) {
        const { session, credit } = world.sides[role]
        if (packet.type === 'WINDOW_UPDATE') {
          credit.set(packet.connectId, creditOf(role, packet.connectId) + packet.credit)
        }
        session.receive(carrier(), packet)
      },
      data: (connectId, bytes) => world.sides[role].session.receiveData(carrier(), connectId, bytes),
    }
  }

  const creditOf = (role: Role, id: Int64): number => world.sides[role].credit.get(id) ?? INITIAL_WINDOW_BYTES

  function spendCredit(role: Role, id: Int64, bytes: number): void {
    if (!flowControl) return
    const before = creditOf(role, id)
    const after = before - bytes
    if (before <= 0) fail(`the ${role} sends on connection ${id} without credit`)
    if (after <= -READ_BYTES) fail(`the ${role} overdraws connection ${id} by ${-after} bytes`)
    world.sides[role].credit.set(id, after)
  }

  function openLane(index: number): Lane {
    const wayFrom = (role: Role): Way =>
      createWay({
        name: `${role}'s carrier ${index}`,
        index,
        transport: (sink) =>
          setup.bytes
            ? byteTransport(sink, random)
            : frameTransport(setup.fillBytes, sink, setup.simple ? undefined : random),
        sink: sinkOf(otherOf(role), () => lane),
        heard: () => world.sides[otherOf(role)].session.heard(nowMs),
        writable: (carrier) => world.sides[role].session.writable(carrier),
        sent: (connectId, bytes) => spendCredit(role, connectId, bytes),
        read(on) {
          lane.ways[otherOf(role)].flowing = on
        },
        atOnce: setup.simple,
        speed: setup.speed,
      })
    const lane: Lane = {
      index,
      ways: { server: wayFrom('server'), agent: wayFrom('agent') },
      noticed: new Set(),
      state: 'open',
    }
    lanes.push(lane)
    for (const role of ROLES) world.sides[role].session.addCarrier(lane.ways[role].carrier)
    return lane
  }

  function checkSide(role: Role): void {
    const { session, budget, over } = world.sides[role]
    let open = 0
    let waiting = 0
    for (const tunnel of tunnels) {
      const socket = role === 'server' ? tunnel.client : tunnel.target
      if (!socket) continue
      if (!socket.ending) open++
      waiting += backlogOf(socket)
    }
    if (session.connectionCount() !== open)
      fail(`the ${role} counts ${session.connectionCount()} of ${open} connections`)
    const dials = tunnels.filter((it) => (role === 'server' ? it.dial : it.asked) === 'pending').length
    if (session.dialCount() !== dials) fail(`the ${role} counts ${session.dialCount()} of ${dials} dials`)
    const used = over ? 0 : waiting
    if (!over && budget.usedBytes !== used) fail(`the ${role} counts ${budget.usedBytes} of ${used} bytes waiting`)
    if (over && budget.parent) fail(`the ${role}'s budget outlives its session`)
  }

  /** What a sender may have under way is spoken for to the byte: still to send, waiting here, or owed to the sender. */
  function checkWindow(name: string, { window, backlog, early, receiving, over }: Connection): void {
    if (over || receiving === 'ended') return
    const earlyBytes = early.reduce((sum, frame) => sum + (frame.kind === 'data' ? frame.bytes.length : 0), 0)
    const known = window.allowance + window.owed + backlog + earlyBytes
    if (known !== window.size) fail(`the window of ${name} has ${window.size} bytes, of which ${known} are known`)
  }

  const world: World = {
    setup,
    sides: undefined as never,
    tunnels,
    lanes,
    violations,
    told,
    drainAsked: false,
    fail,
    steps() {
      const steps: Step[] = []
      for (const lane of lanes) {
        for (const role of ROLES) {
          const way = lane.ways[role]
          way.steps(steps)
          if (lane.state === 'cut' && !lane.noticed.has(role)) {
            steps.push({
              name: `the ${role} notices the loss of carrier ${lane.index}`,
              weight: 3,
              run: () => world.notice(lane, role),
            })
          }
        }
      }
      for (const role of ROLES) {
        const { pongs, session, over } = world.sides[role]
        if (pongs.length > 0 && !over && lanes[0]?.state === 'open') {
          steps.push({
            name: `the ${role} is ponged`,
            weight: 2,
            run() {
              const pong = pongs.shift()
              session.heard(nowMs)
              if (pong?.drained) session.drainSeen()
            },
          })
        }
      }
      for (const tunnel of tunnels) {
        for (const socket of socketsOf(tunnel)) socket.steps(steps)
        if (tunnel.asked === 'pending') {
          steps.push({ name: `the agent accepts ${tunnel.random}`, weight: 3, run: () => world.accept(tunnel) })
        }
      }
      return steps
    },
    check() {
      for (const role of ROLES) checkSide(role)
      for (const tunnel of tunnels) {
        const { client, target } = tunnel
        if ((client?.received ?? 0) > (target?.sent ?? 0) || (target?.received ?? 0) > (client?.sent ?? 0)) {
          fail(`more bytes arrived on ${tunnel.random} than were sent`)
        }
        const wrong = wrongEnding(tunnel, halfClose)
        if (wrong !== undefined) fail(wrong)
        for (const { ending, name, connection } of socketsOf(tunnel)) {
          if (flowControl && connection) checkWindow(name, connection)
          if (ending?.kind === 'reset' && ending.reason === 'flow-control-violation')
            fail(`${name} broke the rules of credit`)
        }
      }
    },
    dial(plans, lane) {
      const tunnel: Tunnel = {
        random: tunnels.length + 1,
        plans,
        dial: 'pending',
        asked: 'not-yet',
        client: undefined,
        target: undefined,
      }
      tunnels.push(tunnel)
      world.sides.server.session.dial(
        { random: tunnel.random, protocol: 'tcp', address: `10.0.0.${tunnel.random}:80` },
        {
          connected(connection) {
            if (tunnel.dial !== 'pending') fail(`dial ${tunnel.random} connected when it was ${tunnel.dial}`)
            tunnel.dial = 'connected'
            tunnel.client = socketFor(tunnel, 'server')
            tunnel.client.connection = connection
            return tunnel.client.events
          },
          failed() {
            if (tunnel.dial !== 'pending') fail(`dial ${tunnel.random} failed when it was ${tunnel.dial}`)
            tunnel.dial = 'failed'
          },
        },
        lane?.ways.server.carrier,
      )
      return tunnel
    },
    cancel(tunnel) {
      tunnel.dial = 'cancelled'
      world.sides.server.session.cancel(tunnel.random)
    },
    accept(tunnel) {
      const socket = socketFor(tunnel, 'agent')
      socket.connection = world.sides.agent.session.accept(tunnel.random, socket.events)
      if (!socket.connection) fail(`the agent may not accept dial ${tunnel.random}`)
      tunnel.target = socket
      tunnel.asked = 'accepted'
    },
    refuse(tunnel) {
      tunnel.asked = 'refused'
      world.sides.agent.session.refuse(tunnel.random, 'dial tcp 10.0.0.1:80: connect: connection refused')
    },
    move(socket, lane) {
      const role = socket.name.startsWith('client') ? 'server' : 'agent'
      return world.sides[role].session.move(socket.connection!, lane.ways[role].carrier)
    },
    addLane: () => openLane(lanes.length),
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
      nowMs += ms
      for (const role of ROLES) {
        const { session } = world.sides[role]
        session.tick(nowMs, nowMs + 1_700_000_000_000)
      }
    },
  }
  Object.assign(world, { sides: { server: createSide('server'), agent: createSide('agent') } })
  openLane(0)
  return world
}

export type { Lane, Plan }
