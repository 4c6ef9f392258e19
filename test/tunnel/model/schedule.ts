/** One random run: chaos, then calm until nothing is left to do, then the end of everything. */
import { type Extensions, offered } from '../../../src/tunnel/extensions.ts'
import { createRandom, type Random } from '../../platform/random.ts'
import { checkEnd, checkLiveness } from './outcome.ts'
import { choose, perform, settle, windUp } from './rest.ts'
import type { ModelSocket, Plan } from './socket.ts'
import type { Step } from './step.ts'
import { socketsOf } from './tunnel.ts'
import { createWorld, type World } from './world.ts'

const MOST_TUNNELS = 6
const MOST_LANES = 8
export type Kind = 'lanes' | 'ours' | 'some' | 'none'

export function runSchedule(seed: number, kind: Kind): World {
  const random = createRandom(seed)
  const trace: string[] = []
  const world = createWorld({
    extensions: extensionsOf(kind, random),
    random,
    simple: false,
    bytes: random.chance(20),
    fillBytes: random.pick([512, 130, 130]) * 1024,
    budgetBytes: random.chance(75) ? 2 ** 30 : random.pick([300_000, 1_500_000]),
    stockConnectionBytes: random.pick([100_000, 400_000]),
    timeoutMs: random.chance(10) ? 12_000 : 1e9,
    speed: random.pick([1, 0.15]),
  })
  try {
    chaos(world, trace, kind)
    trace.push('calm')
    settle(world, trace)
    checkLiveness(world)
    trace.push('wind up')
    windUp(world, trace)
    checkEnd(world)
  } catch (error) {
    const last = trace.slice(-Number(process.env.CULVERT_MODEL_TRACE ?? 40)).join('\n  ')
    throw new Error(`${kind} seed ${seed}: ${(error as Error).message}\n  ${last}`, { cause: error })
  }
  return world
}

function extensionsOf(kind: Kind, random: Random): Extensions {
  if (kind === 'none') return new Set()
  if (kind === 'some') return new Set([...offered].filter(() => random.chance(60)))
  return offered
}

function chaos(world: World, trace: string[], kind: Kind): void {
  const { random } = world.setup
  const pace = random.pick([1, 1, 6]) // of what goes wrong
  if (kind === 'lanes') world.addLane()
  for (let count = 100 + random.below(700); count > 0; count--) {
    const steps = world.steps()
    addTrouble(world, kind, pace, steps)
    perform(world, trace, choose(random, steps))
  }
}

/** What people, networks and programs do to each other. */
function addTrouble(world: World, kind: Kind, pace: number, into: Step[]): void {
  const { random, speed } = world.setup
  const open = world.lanes.filter(({ state }) => state === 'open')
  const standing = open.filter(({ ways }) => ways.agent.end() === 'no')
  const over = world.lanes[0]?.state !== 'open'
  const add = (name: string, weight: number, run: () => unknown): void => {
    into.push({ name, weight, run })
  }
  if (world.tunnels.length < MOST_TUNNELS && !world.sides.server.over) {
    add('dial', 8, () => world.dial({ client: plan(random), target: plan(random) }))
  }
  for (const tunnel of world.tunnels) {
    if (tunnel.dial === 'pending') add(`cancel ${tunnel.random}`, 0.1 * pace * speed, () => world.cancel(tunnel))
    if (tunnel.asked === 'pending') add(`refuse ${tunnel.random}`, 0.1 * pace, () => world.refuse(tunnel))
    for (const socket of socketsOf(tunnel)) {
      if (!socket.connection || socket.gaveUp) continue
      add(`${socket.name}'s owner has enough`, 0.03 * pace, socket.cutOff)
      if (!socket.ending && !socket.broken) add(`${socket.name} breaks`, 0.06 * pace, socket.break)
      if (socket === tunnel.client && mayLeave(socket)) add(`${socket.name} leaves`, 0.15, socket.leave)
      if (socket.stalled) add(`${socket.name} takes again`, 0.05, () => unstall(socket))
      if (kind !== 'lanes' || socket.ending) continue
      for (const lane of open) add(`${socket.name} moves to ${lane.index}`, 3, () => world.move(socket, lane))
    }
  }
  add('time passes', 1, () => world.tick(random.pick([300, 600, 5_000])))
  if (over) return
  if (!world.drainAsked) add('the agent drains', 0.1, world.drain)
  add('the server goes away', 0.05, world.goAway)
  add('carrier 0 is cut', 0.01 * pace, () => world.cut(world.lanes[0]!))
  if (kind === 'lanes') {
    for (const lane of open.slice(1)) add(`carrier ${lane.index} is cut`, 0.15 * pace, () => world.cut(lane))
    for (const lane of open.slice(1))
      add(`the agent ends carrier ${lane.index}`, 0.3, () => world.endLane(lane, 'agent'))
    if (standing.length < 3 && world.lanes.length < MOST_LANES) add('a lane opens', 1, world.addLane)
  }
}

function plan(random: Random): Plan {
  return {
    totalBytes: random.pick([0, 1, 5_000, 100_000, 300_000, 1_000_000]),
    endless: random.chance(25),
    sink: random.pick(['fast', 'fast', 'fast', 'slow', 'stalled']),
  }
}

/** A server's word, for an owner that has not said its end in another way. */
const mayLeave = ({ ending, sourceEnded }: ModelSocket): boolean => !ending && !sourceEnded

function unstall(socket: ModelSocket): void {
  socket.stalled = false
}
