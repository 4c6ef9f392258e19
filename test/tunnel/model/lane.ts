/** A carrier between the two sessions of the model, both ways, and what it notices: credit that is overdrawn. */
import { type Carrier, READ_BYTES } from '../../../src/tunnel/carrier.ts'
import type { FrameSink } from '../../../src/tunnel/framing.ts'
import type { Int64 } from '../../../src/tunnel/packet.ts'
import { INITIAL_WINDOW_BYTES } from '../../../src/tunnel/window.ts'
import { grpcCodec, laneCodec } from './codecs.ts'
import { otherOf, ROLES, type Role } from './side.ts'
import { byteTransport, frameTransport } from './transport.ts'
import { createWay, type Way } from './way.ts'
import type { World } from './world.ts'

export type Lane = {
  readonly index: number
  readonly ways: Readonly<Record<Role, Way>> // by sender
  readonly noticed: Set<Role>
  /** Who has seen both sides end. */
  readonly closed: Set<Role>
  state: 'open' | 'cut'
}

/** What a side does with what arrives on a lane. */
function sinkOf(world: World, role: Role, lane: () => Lane): FrameSink {
  const carrier = (): Carrier => lane().ways[role].carrier
  return {
    packet(packet) {
      const { session, credit } = world.sides[role]
      if (packet.type === 'WINDOW_UPDATE') {
        credit.set(packet.connectId, creditOf(world, role, packet.connectId) + packet.credit)
      }
      session.receive(carrier(), packet)
    },
    data: (connectId, bytes) => world.sides[role].session.receiveData(carrier(), connectId, bytes),
  }
}

const creditOf = (world: World, role: Role, id: Int64): number =>
  world.sides[role].credit.get(id) ?? INITIAL_WINDOW_BYTES

function spendCredit(world: World, role: Role, id: Int64, bytes: number): void {
  const { setup, fail } = world
  if (!setup.extensions.has('flow-control')) return
  const before = creditOf(world, role, id)
  const after = before - bytes
  if (before <= 0) fail(`the ${role} sends on connection ${id} without credit`)
  if (after <= -READ_BYTES) fail(`the ${role} overdraws connection ${id} by ${-after} bytes`)
  world.sides[role].credit.set(id, after)
}

/** Opens the next carrier, at both ends at once. */
export function openLane(world: World): Lane {
  const { setup, lanes } = world
  const index = lanes.length
  const wayFrom = (role: Role): Way =>
    createWay({
      name: `${role}'s carrier ${index}`,
      index,
      transport: (sink) =>
        setup.bytes
          ? byteTransport(index === 0 ? grpcCodec : laneCodec, sink, setup.random)
          : frameTransport(setup.fillBytes, sink, setup.simple ? undefined : setup.random),
      sink: sinkOf(world, otherOf(role), () => lane),
      heard: () =>
        world.sides[otherOf(role)].session.heard(world.nowMs, index === 0 ? undefined : carrierOf(otherOf(role))),
      ended: () => endedAt(world, lane, otherOf(role)),
      writable: (carrier) => world.sides[role].session.writable(carrier),
      alarm(ms) {
        world.nowMs += ms + setup.random.pick([0, 0, 3])
        world.sides[role].session.alarm(world.nowMs)
      },
      sent: (connectId, bytes) => spendCredit(world, role, connectId, bytes),
      read(on) {
        lane.ways[otherOf(role)].flowing = on
      },
      atOnce: setup.simple,
      speed: setup.speed,
    })
  const carrierOf = (role: Role): Carrier => lane.ways[role].carrier
  const lane: Lane = {
    index,
    ways: { server: wayFrom('server'), agent: wayFrom('agent') },
    noticed: new Set(),
    closed: new Set(),
    state: 'open',
  }
  lanes.push(lane)
  for (const role of ROLES) world.sides[role].session.addCarrier(lane.ways[role].carrier)
  return lane
}

/** One side has nothing more to send over the lane. */
export function endLane(world: World, lane: Lane, role: Role): void {
  world.sides[role].session.retire(lane.ways[role].carrier)
  lane.ways[role].finish()
}

/** The peer's end has come: as on both ends of the real lane, ours follows. */
function endedAt(world: World, lane: Lane, role: Role): void {
  world.sides[role].session.ended(lane.ways[role].carrier)
  lane.ways[role].finish()
}

/** Whether this side has sent its end and seen the other's. */
export const mayClose = ({ ways, closed, noticed }: Lane, role: Role): boolean =>
  !closed.has(role) && !noticed.has(role) && ways[role].end() !== 'no' && ways[otherOf(role)].end() === 'arrived'

export function closeLane(world: World, lane: Lane, role: Role): void {
  lane.closed.add(role)
  world.sides[role].session.lost(lane.ways[role].carrier, 'the lane is gone')
}
