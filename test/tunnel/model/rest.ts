/** Calm: what is under way goes on until nothing is left to do. */
import type { Random } from '../../platform/random.ts'
import type { Step } from './step.ts'
import { socketsOf } from './tunnel.ts'
import type { World } from './world.ts'

/** Far more than a run ever needs: one that does not come to rest is stuck in a loop. */
const MOST_CALM_STEPS = 200_000

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

/** Everybody says their last, and takes what is left. */
export function windUp(world: World, trace: string[]): void {
  for (const tunnel of world.tunnels) {
    for (const socket of socketsOf(tunnel)) {
      socket.windingUp = true
      socket.stalled = false
    }
  }
  settle(world, trace)
}

export function perform(world: World, trace: string[], step: Step): void {
  trace.push(step.name)
  step.run()
  world.check()
}

/** One of the steps, the heavy ones more often. */
export function choose(random: Random, steps: readonly Step[]): Step {
  let sum = 0
  for (const { weight } of steps) sum += weight
  let left = random.fraction() * sum
  for (const step of steps) {
    left -= step.weight
    if (left < 0) return step
  }
  return steps.at(-1)!
}
