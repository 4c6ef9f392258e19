/**
 * Every order in which the actions of a small story and the arrivals of frames can happen. Stateless: each order is played
 * from the start, in a world where frames arrive one by one.
 */

import type { Random } from '../../platform/random.ts'
import { checkEnd } from './outcome.ts'
import { windUp } from './rest.ts'
import type { Step } from './step.ts'
import { createWorld, type Setup, type World } from './world.ts'

/** What one party does, in order; an action that cannot happen yet waits, one that no longer can is left out. */
export type Action = {
  readonly name: string
  readonly when?: (world: World) => 'now' | 'later' | 'never'
  readonly run: (world: World) => void
}

export type Story = {
  readonly extensions: Setup['extensions']
  /** Happens before anything is left to chance. */
  readonly start: (world: World) => void
  readonly parties: readonly (readonly Action[])[]
}

/** Nothing is random here: sockets read 16 bytes at once and take all they have. */
const fixed: Random = {
  fraction: () => 0,
  below: () => 0,
  chance: (percent) => percent >= 40,
  pick: (from) => from[0]!,
}

/** More orders than this are not a small story. */
const MOST_ORDERS = 50_000

/** @returns how many orders there were */
export function tellEveryOrder(story: Story): number {
  const path: number[] = []
  for (let orders = 1; orders <= MOST_ORDERS; orders++) {
    const widths: number[] = []
    play(story, path, widths)
    let last = widths.length - 1
    while (last >= 0 && (path[last] ?? 0) + 1 >= widths[last]!) last--
    if (last < 0) return orders
    path.length = last + 1
    for (let index = 0; index <= last; index++) path[index] ??= 0
    path[last]!++
  }
  throw new Error('this story is not small')
}

function play(story: Story, path: readonly number[], widths: number[]): void {
  const trace: string[] = []
  const world = createWorld({
    extensions: story.extensions,
    random: fixed,
    simple: true,
    bytes: false,
    fillBytes: 512 * 1024,
    budgetBytes: 2 ** 30,
    stockConnectionBytes: 2 ** 20,
    timeoutMs: 12_000,
    speed: 1,
  })
  try {
    story.start(world)
    calmDown(world)
    const parties = story.parties.map((actions) => [...actions])
    for (;;) {
      const steps = choices(world, parties)
      if (steps.length === 0) break
      const step = steps[path[widths.length] ?? 0]!
      widths.push(steps.length)
      trace.push(step.name)
      step.run()
      world.check()
      eagerly(world)
    }
    windUp(world, trace)
    checkEnd(world)
  } catch (error) {
    throw new Error(`${(error as Error).message}\n  ${trace.join('\n  ')}`, { cause: error })
  }
}

/** What matters in which order: the actions, and arrivals. Sockets and turns follow at once. */
const isChoice = ({ name }: Step): boolean => /arrives|notices|ponged|carrier \d+ ends|closes carrier/.test(name)

function choices(world: World, parties: Action[][]): Step[] {
  const steps = world.steps().filter(isChoice)
  for (const actions of parties) {
    while (actions[0]?.when?.(world) === 'never') actions.shift()
    const action = actions[0]
    if (!action || action.when?.(world) === 'later') continue
    steps.push({
      name: action.name,
      weight: 1,
      run() {
        actions.shift()
        action.run(world)
      },
    })
  }
  return steps
}

function eagerly(world: World): void {
  for (let steps = world.steps(); ; steps = world.steps()) {
    const step = steps.find((it) => /turn ends|takes|reads$/.test(it.name))
    if (!step) return
    step.run()
    world.check()
  }
}

function calmDown(world: World): void {
  for (let steps = world.steps(); steps.length > 0; steps = world.steps()) {
    steps[0]!.run()
    world.check()
  }
}
