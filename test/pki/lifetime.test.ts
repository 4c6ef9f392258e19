import t from 'tap'
import { DAY_MS, LONGEST_LIFETIME_MS, parseLifetime } from '../../src/pki/lifetime.ts'

t.test("reads days, Go's durations, and days followed by one", async (t) => {
  t.equal(parseLifetime('365d'), 365 * DAY_MS)
  t.equal(parseLifetime('24h'), DAY_MS)
  t.equal(parseLifetime('1h30m'), 5_400_000)
  t.equal(parseLifetime('1d12h'), 1.5 * DAY_MS)
  t.equal(parseLifetime('01d'), DAY_MS)
})

t.test('takes one second to a hundred years', async (t) => {
  t.equal(parseLifetime('1s'), 1_000)
  t.equal(parseLifetime('999ms'), undefined)
  t.equal(parseLifetime('36500d'), LONGEST_LIFETIME_MS)
  t.equal(parseLifetime('36500d1s'), undefined)
  t.equal(parseLifetime('0d'), undefined)
  t.equal(parseLifetime('0'), undefined)
})

t.test('refuses what could mean something else', async (t) => {
  for (const text of [
    '',
    '365',
    '1',
    'd',
    '-1d',
    '+1d',
    '1d-2h',
    '1d+2h',
    '1d5',
    '1.5d',
    '12h1d',
    '1y',
    '1d 2h',
    '1dd',
    '1D',
    '1d\n',
  ]) {
    t.equal(parseLifetime(text), undefined, JSON.stringify(text))
  }
})
