import t from 'tap'
import { READ_BYTES } from '../../src/tunnel/carrier.ts'
import {
  arrive,
  createWindow,
  grow,
  INITIAL_WINDOW_BYTES,
  MAX_WINDOW_BYTES,
  shrink,
  take,
  type Window,
  wantedGrowth,
} from '../../src/tunnel/window.ts'

const KIB = 1024

/** The sender says that it ran out, and there is room for what the window wants to grow by. */
function blocked(window: Window, backlog: number, maxBytes: number): number {
  const growth = wantedGrowth(window, backlog, maxBytes)
  return growth > 0 ? grow(window, growth) : 0
}

t.test('starts with 64 KiB', async (t) => {
  t.strictSame(createWindow(), { size: 65_536, allowance: 65_536, owed: 0 })
})

t.test('bears one read more than the credit, and not a byte beyond', async (t) => {
  const window = createWindow()
  t.ok(arrive(window, INITIAL_WINDOW_BYTES + READ_BYTES))
  t.notOk(arrive(window, 1))
})

t.test('grants what was taken at a quarter of the window, all of it at once', async (t) => {
  const window = createWindow()
  arrive(window, 40 * KIB)
  t.equal(take(window, 16 * KIB - 1), 0)
  t.equal(take(window, 1), 16 * KIB)
  t.equal(take(window, 15 * KIB), 0, 'and starts anew')
  t.equal(take(window, 9 * KIB), 24 * KIB)
  t.equal(window.allowance, 64 * KIB)
})

t.test('doubles for a sender that ran out, up to the greatest size', async (t) => {
  const window = createWindow()
  const granted: number[] = []
  for (let round = 0; round < 7; round++) granted.push(blocked(window, 0, MAX_WINDOW_BYTES))
  t.strictSame(
    granted,
    [64, 128, 256, 512, 1_024, 0, 0].map((it) => it * KIB),
  )
  t.equal(window.size, MAX_WINDOW_BYTES)
  t.equal(blocked(window, 0, MAX_WINDOW_BYTES + 1), 1, 'a larger limit lets it grow by what is left')
})

t.test('does not grow for a reader that has left half of it lie', async (t) => {
  const window = createWindow()
  t.equal(blocked(window, 32 * KIB, MAX_WINDOW_BYTES), 0)
  t.equal(window.size, 64 * KIB)
  t.equal(blocked(window, 32 * KIB - 1, MAX_WINDOW_BYTES), 64 * KIB)
})

t.test('grants what is owed together with what it grew', async (t) => {
  const window = createWindow()
  arrive(window, 10 * KIB)
  t.equal(take(window, 10 * KIB), 0)
  t.equal(blocked(window, 0, MAX_WINDOW_BYTES), 74 * KIB)
})

t.test('pays a shrunk window off before it grants again, and never takes credit back', async (t) => {
  const window = createWindow()
  blocked(window, 0, MAX_WINDOW_BYTES)
  blocked(window, 0, MAX_WINDOW_BYTES)
  t.equal(window.allowance, 256 * KIB)
  t.equal(shrink(window), 192 * KIB)
  t.equal(window.size, 64 * KIB)
  arrive(window, 256 * KIB)
  t.equal(take(window, 192 * KIB), 0, 'that much was granted above the first size')
  t.equal(take(window, 16 * KIB - 1), 0)
  t.equal(take(window, 1), 16 * KIB)
  t.equal(take(window, 48 * KIB), 48 * KIB)
  t.equal(window.allowance, 64 * KIB)
})

t.test('never leaves a sender without credit that has nothing under way', async (t) => {
  for (const read of [1, 1_000, 16 * KIB, 65_535, 65_536, READ_BYTES]) {
    const window = createWindow()
    let credit = INITIAL_WINDOW_BYTES
    for (let round = 0; round < 300; round++) {
      if (credit <= 0) t.fail(`no credit after ${round} reads of ${read}`)
      if (round === 100) credit += blocked(window, 0, MAX_WINDOW_BYTES)
      if (round === 200) shrink(window)
      credit -= read
      if (!arrive(window, read)) t.fail('refused')
      credit += take(window, read)
      if (credit !== window.allowance) t.fail('the two ends disagree')
    }
  }
})
