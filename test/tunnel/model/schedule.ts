/** One random run: chaos, then calm until nothing is left to do, then the end of everything. */
import { type Extension, type Extensions, offered } from '../../../src/tunnel/extensions.ts'
import { createRandom, type Random } from './random.ts'
import type { ModelSocket, Plan } from './socket.ts'
import type { Step } from './step.ts'
import { socketsOf, type Tunnel } from './tunnel.ts'
import { createWorld, type World } from './world.ts'

const MOST_TUNNELS = 6
const MOST_LANES = 8
/** Far more than a run ever needs: one that does not come to rest is stuck in a loop. */
const MOST_CALM_STEPS = 200_000

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
  return new Set<Extension>(kind === 'lanes' ? [...offered, 'lanes'] : offered)
}

function perform(world: World, trace: string[], step: Step): void {
  trace.push(step.name)
  step.run()
  world.check()
}

function choose(random: Random, steps: readonly Step[]): Step {
  let sum = 0
  for (const { weight } of steps) sum += weight
  let left = random.fraction() * sum
  for (const step of steps) {
    left -= step.weight
    if (left < 0) return step
  }
  return steps.at(-1)!
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
  const { random, extensions, speed } = world.setup
  const open = world.lanes.filter(({ state }) => state === 'open')
  const over = world.lanes[0]?.state !== 'open'
  const add = (name: string, weight: number, run: () => unknown): void => {
    into.push({ name, weight, run })
  }
  if (world.tunnels.length < MOST_TUNNELS && !world.sides.server.over) {
    const lane = random.chance(30) ? random.pick(open) : undefined
    add(`dial over ${lane?.index ?? 0}`, 8, () => world.dial({ client: plan(random), target: plan(random) }, lane))
  }
  for (const tunnel of world.tunnels) {
    if (tunnel.dial === 'pending') add(`cancel ${tunnel.random}`, 0.1 * pace * speed, () => world.cancel(tunnel))
    if (tunnel.asked === 'pending') add(`refuse ${tunnel.random}`, 0.1 * pace, () => world.refuse(tunnel))
    for (const socket of socketsOf(tunnel)) {
      if (!socket.connection || socket.gaveUp) continue
      add(`${socket.name} breaks off`, 0.03 * pace, socket.breakOff)
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
  if (extensions.has('lanes')) {
    for (const lane of open.slice(1)) add(`carrier ${lane.index} is cut`, 0.15 * pace, () => world.cut(lane))
    if (open.length < 3 && world.lanes.length < MOST_LANES) add('a lane opens', 1, world.addLane)
  }
}

function plan(random: Random): Plan {
  return {
    totalBytes: random.pick([0, 1, 5_000, 100_000, 300_000, 1_000_000]),
    endless: random.chance(25),
    sink: random.pick(['fast', 'fast', 'fast', 'slow', 'stalled']),
  }
}

function unstall(socket: ModelSocket): void {
  socket.stalled = false
}

/** Until nothing is left to do. Without credit, time is what parts a stalled socket from the others. */
export function settle(world: World, trace: string[]): void {
  rest(world, trace)
  if (world.setup.extensions.has('flow-control')) return
  let before = ''
  while (someoneWaits(world) && before !== progress(world)) {
    before = progress(world)
    for (let round = 0; round < 4; round++) {
      perform(world, trace, { name: 'time passes', weight: 0, run: () => world.tick(10_500) })
      rest(world, trace)
    }
  }
}

function rest(world: World, trace: string[]): void {
  for (let count = 0; count < MOST_CALM_STEPS; count++) {
    const steps = world.steps()
    if (steps.length === 0) return
    perform(world, trace, choose(world.setup.random, steps))
  }
  world.fail('the run does not come to rest')
}

const someoneWaits = (world: World): boolean =>
  world.tunnels.some((tunnel) => socketsOf(tunnel).some(({ ending }) => !ending))

const progress = (world: World): string =>
  JSON.stringify(
    world.tunnels.map((tunnel) => socketsOf(tunnel).map(({ received, taken, ending }) => [received, taken, ending])),
  )

/** A socket that takes nothing holds up nobody else. */
function checkLiveness(world: World): void {
  for (const tunnel of world.tunnels) {
    if (tunnel.dial === 'pending' || tunnel.asked === 'pending') world.fail(`dial ${tunnel.random} has no answer`)
    const { client, target } = tunnel
    if (!client || !target || client.ending || target.ending) continue
    for (const [from, to] of [
      [client, target],
      [target, client],
    ] as const) {
      if (to.stalled) continue
      if (from.sent < from.plan.totalBytes)
        world.fail(`${from.name} was stopped at ${from.sent} of ${from.plan.totalBytes}`)
      if (to.received < from.sent) world.fail(`${to.name} received ${to.received} of ${from.sent}`)
      if (from.sourceEnded && !to.sinkEnded) world.fail(`${to.name} did not hear the end`)
    }
  }
}

function windUp(world: World, trace: string[]): void {
  for (const tunnel of world.tunnels) {
    for (const socket of socketsOf(tunnel)) {
      socket.windingUp = true
      socket.stalled = false
    }
  }
  settle(world, trace)
}

export function checkEnd(world: World): void {
  const { tunnels, sides, told, violations, fail } = world
  for (const tunnel of tunnels) checkTunnelEnd(world, tunnel)
  for (const { session, role } of [sides.server, sides.agent]) {
    if (session.connectionCount() + session.dialCount() > 0) fail(`the ${role}'s tables are not empty`)
  }
  const lost = world.lanes[0]?.state === 'cut'
  if (world.drainAsked && !lost && told.drained !== 1) fail('the drain did not end')
  const cancelled = tunnels.some(({ dial }) => dial === 'cancelled')
  for (const violation of violations.keys()) {
    const explained =
      (violation === 'unknown-dial' && (cancelled || told.laneLost)) ||
      (violation === 'unknown-connection' && told.laneLost)
    if (!explained) fail(`the violation ${violation} was counted among honest ends`)
  }
  if (lost) return
  world.cut(world.lanes[0]!)
  for (const { role, budget } of [sides.server, sides.agent]) {
    const process = budget.parent
    world.notice(world.lanes[0]!, role)
    if (process && process.usedBytes !== 0) fail(`${process.usedBytes} bytes are left in the budget of the ${role}`)
  }
}

function checkTunnelEnd(world: World, tunnel: Tunnel): void {
  const { fail, sides, told, setup } = world
  const name = `tunnel ${tunnel.random}`
  if (tunnel.dial === 'pending' || tunnel.asked === 'pending') fail(`${name}'s dial has no answer`)
  if (tunnel.dial === 'connected' && !tunnel.target) fail(`${name} connected to nothing`)
  const lost = told.laneLost || sides.server.over || sides.agent.over
  for (const socket of socketsOf(tunnel)) {
    const { ending } = socket
    if (!ending) return fail(`${socket.name} is not over`)
    if (ending.kind === 'finished') continue
    const other = socket === tunnel.client ? tunnel.target : tunnel.client
    const explained =
      ending.by === 'peer'
        ? other === undefined || other.ending?.kind === 'reset'
        : ending.by === 'self'
          ? socket.closedByOwner ||
            (ending.reason === 'carrier-lost' && told.laneLost) ||
            (ending.reason === 'over-budget' && setup.budgetBytes < 2 ** 30) ||
            (ending.reason === 'slow-consumer' && !setup.extensions.has('flow-control'))
          : lost || (ending.reason === 'close-unanswered' && !setup.extensions.has('half-close'))
    if (!explained) fail(`${socket.name} was reset by ${ending.by}: ${ending.reason}`)
  }
}
