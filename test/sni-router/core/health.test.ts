import t from 'tap'
import { judged, unknownHealth } from '../../../src/sni-router/core/health.ts'

const rule = { intervalMs: 1, timeoutMs: 1, fall: 3, rise: 2 }
const states = (results: string): string =>
  [...results].reduce(
    ({ health, shown }, result) => {
      const next = judged(health, result === '+' ? 'ok' : 'failed', rule)
      return { health: next, shown: shown + (next.state === 'up' ? 'U' : 'd') }
    },
    { health: unknownHealth, shown: '' },
  ).shown

t.test('is down after so many failures in a row, and up after so many successes', async (t) => {
  t.equal(states('---'), 'UUd')
  t.equal(states('--+--+---'), 'UUUUUUUUd')
  t.equal(states('---+-++'), 'UUddddU')
  t.equal(states('---++---'), 'UUddUUUd', 'counts anew after each change')
})
