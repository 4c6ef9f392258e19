import t from 'tap'
import { createQuiet } from '../../src/proxy-agent/quiet.ts'
import { manualClock } from '../platform/manual-clock.ts'

function setup() {
  const clock = manualClock()
  const world = { idle: true, quiet: 0 }
  const quiet = createQuiet(2_000, clock, () => world.idle)
  const wait = (): void => quiet.when(() => void world.quiet++)
  return { clock, world, quiet, wait }
}

t.test('is quiet at once when nobody has asked, or not for a while', async (t) => {
  const { clock, world, quiet, wait } = setup()
  wait()
  t.equal(world.quiet, 1)
  quiet.asked()
  clock.advance(2_000)
  wait()
  t.equal(world.quiet, 2)
  t.equal(clock.waiting(), 0)
})

t.test('waits after each time that somebody asks, and says so once', async (t) => {
  const { clock, world, quiet, wait } = setup()
  quiet.asked()
  wait()
  clock.advance(1_999)
  quiet.asked()
  clock.advance(1)
  t.equal(world.quiet, 0, 'somebody asked again')
  clock.advance(1_998)
  t.equal(world.quiet, 0)
  clock.advance(1)
  t.equal(world.quiet, 1)
  clock.advance(60_000)
  t.equal(world.quiet, 1)
})

t.test('waits while something is open, whoever asks', async (t) => {
  const { clock, world, quiet, wait } = setup()
  quiet.asked()
  world.idle = false
  wait()
  for (let count = 0; count < 100; count++) clock.advance(100)
  t.equal(world.quiet, 0)
  world.idle = true
  clock.advance(100)
  t.equal(world.quiet, 1)
})

t.test('says nothing any more once it is disposed of', async (t) => {
  const { clock, world, quiet, wait } = setup()
  quiet.asked()
  wait()
  quiet[Symbol.dispose]()
  t.equal(clock.waiting(), 0)
  clock.advance(60_000)
  t.equal(world.quiet, 0)
})
