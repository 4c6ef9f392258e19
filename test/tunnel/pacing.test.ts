import t from 'tap'
import { createPacer, type Pacer } from '../../src/tunnel/pacing.ts'

/** A pacer whose alarms ring on a clock of the test's own, beside a path that brings each ping back after `delayMs`. */
function paced(delayMs: (sentMs: number) => number, role: 'agent' | 'server' = 'agent') {
  let nowMs = 1_000
  let alarmMs: number | undefined
  let pongMs: number | undefined
  let pings = 0
  const pacer: Pacer = createPacer(role, (ms) => {
    if (alarmMs !== undefined) throw new Error('two alarms at once')
    alarmMs = nowMs + ms
  })

  /** One millisecond: the ping's answer, the alarm. */
  function step(): void {
    nowMs += 1
    if (pongMs !== undefined && pongMs <= nowMs) {
      pacer.answered(pongMs)
      pongMs = undefined
    }
    if (alarmMs === undefined || alarmMs > nowMs) return
    alarmMs = undefined
    if (!pacer.look(nowMs)) return
    pings++
    pongMs = nowMs + delayMs(nowMs)
  }

  /** Bulk takes what it may, at most `wanted` a millisecond, and small exchanges go on if so. @returns bytes of bulk sent */
  function run(ms: number, { wanted = 500_000, small = true } = {}): number {
    let sent = 0
    for (let left = ms; left > 0; left--) {
      step()
      if (small) pacer.sentSmall(nowMs)
      for (let now = 0; now < wanted && pacer.open(); now += 50_000) {
        pacer.sentBulk(50_000, nowMs)
        sent += 50_000
      }
    }
    return sent
  }

  return { pacer, run, now: () => nowMs, pings: () => pings, asked: () => alarmMs !== undefined }
}

t.test('measures nothing and holds nobody up while there is only bulk', async (t) => {
  const { run, pings, asked } = paced(() => 50)
  t.equal(run(1_000, { small: false }), 500_000_000)
  t.equal(pings(), 0)
  t.notOk(asked(), 'no timer either')
})

t.test('measures nothing while there are only small exchanges', async (t) => {
  const { run, pings, asked } = paced(() => 50)
  run(1_000, { wanted: 0 })
  t.equal(pings(), 0)
  t.notOk(asked())
})

t.test('lets bulk go as fast as it can while pings come back soon', async (t) => {
  const { run, pings } = paced(() => 0.3)
  t.equal(run(1_000), 500_000_000)
  t.ok(pings() > 150, `${pings()} pings in a second`)
})

t.test('slows bulk down until pings come back soon, and no further', async (t) => {
  let rate = 0 // what the path had to carry in the last 20 ms
  const { run } = paced(() => (rate > 200_000 ? 8 : 0.2))
  for (let count = 0; count < 50; count++) rate = run(20) / 20
  let sum = 0
  for (let count = 0; count < 100; count++) {
    rate = run(20) / 20
    sum += rate
  }
  t.ok(sum / 100 > 120_000 && sum / 100 < 230_000, `${Math.round(sum / 100)} bytes per millisecond, of 200,000 that go`)
})

t.test('gives in to delays that bulk is not to blame for: a quarter of its rate stays', async (t) => {
  const { run } = paced((sentMs) => (sentMs < 1_100 ? 0.2 : 9))
  run(3_000)
  const rate = run(2_000) / 2_000
  t.ok(rate >= 120_000 && rate < 140_000, `${rate} bytes per millisecond, of 500,000`)
})

t.test('does not take two late pings in five for a queue, but three', async (t) => {
  let count = 0
  const chance = paced(() => (++count % 5 < 2 ? 3.5 : 0.2))
  t.equal(chance.run(2_000), 1_000_000_000)
  const queue = paced(() => (++count % 5 < 3 ? 3.5 : 0.2))
  t.ok(queue.run(2_000) < 500_000_000)
})

t.test('a server bears a fifth more delay', async (t) => {
  const delayMs = (): number => 0.56
  const agent = paced((sentMs) => (sentMs < 1_050 ? 0.02 : delayMs()), 'agent')
  const server = paced((sentMs) => (sentMs < 1_050 ? 0.02 : delayMs()), 'server')
  t.ok(agent.run(2_000) < 500_000_000)
  t.equal(server.run(2_000), 1_000_000_000)
})

t.test('decides without an answer when the answer is overdue', async (t) => {
  const { run } = paced((sentMs) => (sentMs < 1_100 ? 0.2 : Number.POSITIVE_INFINITY))
  run(300)
  const rate = run(400) / 400
  t.ok(rate < 200_000, `${rate} bytes per millisecond`)
})

t.test('a long path may vary by a quarter of its round trip', async (t) => {
  const varies = paced((sentMs) => (sentMs % 2 === 0 ? 50 : 61))
  varies.pacer.roundTrip(50, varies.now())
  t.equal(varies.run(3_000), 1_500_000_000)
  const queued = paced((sentMs) => (sentMs < 2_000 ? 50 : 80))
  queued.pacer.roundTrip(50, queued.now())
  queued.run(3_000)
  t.ok(queued.run(1_000) < 300_000_000)
})

t.test(
  'bulk goes at once when the last small exchange is a quarter of a second ago, and all is quiet then',
  async (t) => {
    const { run, pacer, asked, pings } = paced((sentMs) => (sentMs < 1_100 ? 0.2 : 9))
    run(1_000)
    t.ok(run(100) < 30_000_000)
    run(300, { small: false })
    t.ok(pacer.open())
    t.equal(run(100, { small: false }), 50_000_000)
    t.notOk(asked())
    const before = pings()
    run(100, { small: false })
    t.equal(pings(), before)
  },
)

t.test('an answer that was not asked for means nothing', async (t) => {
  const { pacer, run } = paced(() => 0.2)
  pacer.answered(1)
  t.equal(run(100), 50_000_000)
})

t.test('takes one ping in five that is very late for enough', async (t) => {
  let count = 0
  const { run } = paced(() => (++count % 5 === 0 ? 20 : 0.2))
  run(2_000)
  t.ok(run(1_000) < 300_000_000)
})

t.test('leaves a rate to bulk that had only just begun when pings were late', async (t) => {
  const { run, pacer, now } = paced(() => 9)
  pacer.roundTrip(0.2, now())
  pacer.sentSmall(now())
  pacer.sentBulk(1, now())
  run(100, { wanted: 0 })
  const sent = run(100)
  t.ok(sent >= 100 * 1_000, `${sent} bytes in 100 ms`)
})

t.test('takes a path that has become longer for what it is, after two minutes at most', async (t) => {
  const { run } = paced((sentMs) => (sentMs < 2_000 ? 1 : 20))
  run(1_000)
  run(30_000)
  t.ok(run(1_000) < 200_000_000, 'at first it looks like a queue')
  run(100_000)
  t.equal(run(1_000), 500_000_000)
})
