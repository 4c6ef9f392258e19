import t from 'tap'
import { createWorkerSet, type Effect } from '../../../src/proxy-server/core/worker-set.ts'

const SECOND = 1_000
const MINUTE = 60 * SECOND

/** Workers that do as they are told; what happens to them otherwise is the test's to say. */
function setup(count: number) {
  const set = createWorkerSet(count)
  const started: number[] = []
  const told: unknown[] = []
  let nowMs = 0
  const perform = (effects: readonly Effect[] = []): void => {
    for (const effect of effects) {
      if (effect.do === 'start') started.push(effect.number)
      told.push(wordsOf(effect))
    }
  }
  perform(set.begin())
  return {
    set,
    started,
    /** What was ordered since the last call. */
    told: (): unknown[] => told.splice(0),
    pass(ms: number, stepMs = 500): void {
      for (let passed = 0; passed < ms; passed += stepMs) {
        nowMs += stepMs
        for (const { number, state, ready } of set.all()) {
          if (state !== 'starting') set.reported(number, { ready, clusters: ready ? 1 : 0 }, nowMs)
        }
        perform(set.tick(nowMs))
      }
    },
    /** Time in which nobody reports. */
    passInSilence(ticks: number): void {
      for (let tick = 0; tick < ticks; tick++) {
        nowMs += 500
        perform(set.tick(nowMs))
      }
    },
    up: (...numbers: number[]): void => numbers.forEach((number) => void perform(set.up(number, nowMs))),
    report: (number: number, ready: boolean, clusters = ready ? 1 : 0): void =>
      set.reported(number, { ready, clusters }, nowMs),
    quiet: (number: number): void => perform(set.quiet(number)),
    ends: (number: number): void => perform(set.ended(number, nowMs, 1)),
    restart(): void {
      perform(set.restart())
    },
    shutDown: (): void => perform(set.shutDown()),
    states: () => set.all().map(({ slot, state }) => `${slot} ${state}`),
    settled: () => set.all().flatMap(({ number, settled }) => (settled ? [number] : [])),
  }
}

function wordsOf(effect: Effect): string {
  if (effect.do === 'start') return `start ${effect.number} in ${effect.slot}`
  if (effect.do === 'tell') return `restart ${effect.restart}`
  if (effect.do === 'give-up') return `give up after ${effect.starts}`
  return effect.do === 'close-frontend' ? 'close frontend' : `${effect.do} ${effect.number}`
}

t.test('starts one worker for each slot', async (t) => {
  const { told, up, states } = setup(2)
  t.strictSame(told(), ['start 1 in 1', 'start 2 in 2'])
  up(1)
  t.strictSame(states(), ['1 up', '2 starting'])
})

t.test('replaces a worker that crashed, at once the first time and later with back-off', async (t) => {
  const { told, up, ends, pass } = setup(2)
  up(1, 2)
  told()
  pass(MINUTE)
  ends(1)
  t.strictSame(told(), ['start 3 in 1'])
  up(3)
  ends(3)
  t.strictSame(told(), [], 'it crashes right away: not at once')
  pass(SECOND)
  t.strictSame(told(), ['start 4 in 1'])
  up(4)
  ends(4)
  pass(SECOND)
  t.strictSame(told(), ['start 5 in 1'])
})

t.test('replaces at once again when the crashed one had stayed', async (t) => {
  const { told, up, ends, pass } = setup(1)
  up(1)
  ends(1)
  up(2)
  ends(2)
  pass(SECOND)
  up(3)
  pass(10 * SECOND)
  told()
  ends(3)
  t.strictSame(told(), ['start 4 in 1'])
})

t.test('never waits for longer than ten seconds with a replacement', async (t) => {
  const { started, told, up, ends, pass } = setup(1)
  for (let crash = 0; crash < 30; crash++) {
    up(started.at(-1)!)
    ends(started.at(-1)!)
    told()
    pass(10 * SECOND)
  }
  t.equal(started.length, 31)
})

t.test('gives up when workers end again and again before they are up, and none is', async (t) => {
  const { started, told, ends, pass } = setup(1)
  for (let start = 1; start <= 5; start++) {
    told()
    ends(started.at(-1)!)
    if (start < 5) pass(10 * SECOND)
  }
  t.strictSame(told(), ['give up after 5'])
})

t.test('goes on trying as long as another worker serves', async (t) => {
  const { started, told, up, ends, pass } = setup(2)
  up(1)
  for (let start = 1; start <= 20; start++) {
    ends(started.at(-1)!)
    pass(10 * SECOND)
  }
  t.notOk(told().some((order) => String(order).startsWith('give up')))
  t.equal(started.length, 22)
})

t.test('does not count starts in vain from before a worker came up', async (t) => {
  const { started, told, up, ends, pass } = setup(1)
  for (let start = 1; start <= 12; start++) {
    if (start % 4 === 0) up(started.at(-1)!)
    ends(started.at(-1)!)
    pass(10 * SECOND)
  }
  t.notOk(told().some((order) => String(order).startsWith('give up')))
})

t.test('kills a worker that reports nothing for a minute', async (t) => {
  const { told, up, report, passInSilence } = setup(2)
  up(1, 2)
  told()
  passInSilence(100)
  report(1, true)
  passInSilence(19)
  t.strictSame(told(), [])
  passInSilence(1)
  t.strictSame(told(), ['kill 2'])
  passInSilence(50)
  t.strictSame(told(), [], 'once')
})

t.test('a restart replaces one slot after the other, the new worker first', async (t) => {
  const { told, up, report, quiet, ends, restart, states } = setup(2)
  up(1, 2)
  report(1, true)
  report(2, true)
  told()
  restart()
  t.strictSame(told(), ['start 3 in 1'])
  up(3)
  t.strictSame(told(), ['drain 1'])
  t.strictSame(states(), ['1 leaving', '2 up', '1 up'])
  quiet(1)
  t.strictSame(told(), ['dismiss 1'])
  ends(1)
  t.strictSame(told(), [], 'worker 3 has no agent yet')
})

t.test('a restart goes on when the new worker has an agent, and tells when it is done', async (t) => {
  const { told, up, report, quiet, ends, restart, pass } = setup(2)
  up(1, 2)
  report(1, true)
  report(2, true)
  restart()
  up(3)
  quiet(1)
  ends(1)
  told()
  pass(SECOND)
  t.strictSame(told(), [])
  report(3, true)
  pass(SECOND)
  t.strictSame(told(), ['start 4 in 2'])
  up(4)
  ends(2)
  report(4, true)
  told()
  pass(SECOND)
  t.strictSame(told(), ['restart done'])
})

t.test('a restart waits 30 s at most for the first agent of a new worker', async (t) => {
  const { told, up, report, ends, restart, pass } = setup(2)
  up(1, 2)
  report(1, true)
  restart()
  up(3)
  ends(1)
  told()
  pass(29 * SECOND)
  t.strictSame(told(), [])
  pass(2 * SECOND)
  t.strictSame(told(), ['start 4 in 2'])
})

t.test('a restart does not wait for agents where there were none', async (t) => {
  const { told, up, ends, restart } = setup(2)
  up(1, 2)
  restart()
  up(3)
  told()
  ends(1)
  t.strictSame(told(), ['start 4 in 2'])
})

t.test('a restart whose new worker cannot start leaves the workers as they are', async (t) => {
  const { told, up, ends, restart, states } = setup(2)
  up(1, 2)
  restart()
  told()
  ends(3)
  t.strictSame(told(), ['restart failed'])
  t.strictSame(states(), ['1 up', '2 up'])
  restart()
  t.strictSame(told(), ['start 4 in 1'], 'and can be tried again')
})

t.test('a worker that crashes while its successor starts is not replaced twice', async (t) => {
  const { told, up, ends, restart, pass, states } = setup(2)
  up(1, 2)
  restart()
  told()
  ends(1)
  t.strictSame(told(), [], 'its successor is on the way')
  up(3)
  pass(SECOND)
  t.strictSame(told(), ['start 4 in 2'])
  t.strictSame(states(), ['2 up', '1 up', '2 starting'])
})

t.test('a second restart is refused while one is under way', async (t) => {
  const { set, up, restart } = setup(2)
  up(1, 2)
  restart()
  t.equal(set.restart(), undefined)
})

t.test('a shutdown drains those that are up, kills those that start, and replaces nobody', async (t) => {
  const { told, up, ends, shutDown, pass } = setup(3)
  up(1, 2)
  told()
  shutDown()
  t.strictSame(told(), ['drain 1', 'drain 2', 'kill 3'])
  ends(3)
  ends(2)
  pass(MINUTE)
  t.strictSame(told(), [])
})

t.test('closes the frontend when the last worker is quiet, before that one is dismissed', async (t) => {
  const { told, up, quiet, shutDown } = setup(2)
  up(1, 2)
  shutDown()
  told()
  quiet(2)
  t.strictSame(told(), ['dismiss 2'])
  quiet(1)
  t.strictSame(told(), ['close frontend', 'dismiss 1'])
})

t.test('a worker that is quiet in a restart does not close the frontend', async (t) => {
  const { told, up, quiet, restart } = setup(1)
  up(1)
  restart()
  up(2)
  told()
  quiet(1)
  t.strictSame(told(), ['dismiss 1'])
})

t.test('a worker is settled when it holds as many clusters as the others', async (t) => {
  const { up, report, settled } = setup(2)
  up(1, 2)
  report(1, true, 3)
  t.strictSame(settled(), [1])
  report(2, true, 2)
  t.strictSame(settled(), [1])
  report(2, true, 3)
  t.strictSame(settled(), [1, 2])
  report(1, true, 4)
  t.strictSame(settled(), [1, 2], 'and stays so when somebody comes to another one first')
  report(2, false)
  t.strictSame(settled(), [1])
})

t.test('a worker that an agent does not find is settled all the same after 30 s', async (t) => {
  const { set, up, settled } = setup(2)
  up(1, 2)
  const reportAll = (nowMs: number): void => {
    set.reported(1, { ready: true, clusters: 2 }, nowMs)
    set.reported(2, { ready: true, clusters: 1 }, nowMs)
  }
  reportAll(0)
  reportAll(29_999)
  t.strictSame(settled(), [1])
  reportAll(30_000)
  t.strictSame(settled(), [1, 2])
})
