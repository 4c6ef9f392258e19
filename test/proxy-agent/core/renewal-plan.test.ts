import t from 'tap'
import { renewalUnixMs, retryMs } from '../../../src/proxy-agent/core/renewal-plan.ts'

const HOUR = 3_600_000
const SKEW = 300_000

t.test('a certificate is due at two thirds of its life, or a little later', async (t) => {
  const life = { fromUnixMs: -SKEW, toUnixMs: 24 * HOUR }
  t.equal(renewalUnixMs(life, 0), 16 * HOUR)
  const latest = renewalUnixMs(life, 0.999999)
  t.ok(latest > 17 * HOUR && latest < 17.2 * HOUR + 1)
  t.equal(renewalUnixMs({ fromUnixMs: 0, toUnixMs: 30_000 }, 0), 20_000, 'one that begins when it was made')
})

t.test('a failure is tried again soon, then later, and several times before the end', async (t) => {
  t.equal(retryMs(1, 8 * HOUR, 1), 30_000)
  t.equal(retryMs(1, 8 * HOUR, 0), 15_000)
  t.equal(retryMs(3, 8 * HOUR, 1), 120_000)
  t.equal(retryMs(100, 8 * HOUR, 1), 600_000)
  t.equal(retryMs(5, 60_000, 1), 6_000)
  t.equal(retryMs(5, 100, 1), 1_000)
})

t.test(
  'a certificate that is over is asked for seldom: a fleet of them must not take the turns of the others',
  async (t) => {
    for (const left of [0, -HOUR]) t.strictSame([retryMs(1, left, 0), retryMs(5, left, 1)], [300_000, 600_000])
  },
)
