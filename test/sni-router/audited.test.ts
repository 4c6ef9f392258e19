import t from 'tap'
import type { AuditRecord } from '../../src/audit/record.ts'
import { auditClients } from '../../src/sni-router/audited.ts'
import { manualClock } from '../platform/manual-clock.ts'

function setup() {
  const clock = manualClock()
  const told: AuditRecord[] = []
  return { clock, told, clients: auditClients((record) => void told.push(record), clock) }
}
const source = { ip: '::ffff:10.0.0.1', port: 5 }

t.test('a client that is joined has a line, and another one at its end', async (t) => {
  const { clock, told, clients } = setup()
  const ended = clients.joined({ source, asked: 'a.example', route: 'a', backend: '10.0.0.9:443' })
  clock.advance(1_500)
  ended('half-closed')
  const about = { source: '10.0.0.1:5', destination: 'a.example', rule: 'a', address: '10.0.0.9:443' }
  t.strictSame(told, [
    { event: 'client', ...about, verdict: 'allowed', outcome: 'connected' },
    { event: 'end', ...about, outcome: 'reset', reason: 'half-closed', durationMs: 1_500 },
  ])
  clients.joined({ source: { ip: '2001:db8::1', port: 5 }, asked: undefined, route: 'a', backend: 'b' })('finished')
  t.match(told.slice(2), [{ source: '[2001:db8::1]:5' }, { outcome: 'finished' }])
})

t.test(
  'of more from one source than can be told one by one it is told how many there are, beside the others',
  async (t) => {
    const { clock, told, clients } = setup()
    const join = (ip: string) =>
      clients.joined({ source: { ip, port: 5 }, asked: 'a.example', route: 'a', backend: 'b' })
    for (let count = 0; count < 10_000; count++) join('10.0.0.1')('finished')
    t.equal(told.filter(({ event }) => event === 'end').length, 500)
    t.strictSame(told.slice(1_000), [
      { event: 'client', source: '10.0.0.1', rule: 'a', verdict: 'allowed', reason: 'many' },
    ])
    join('10.0.0.2')('finished')
    t.match(told.slice(1_001), [{ source: '10.0.0.2:5' }, { event: 'end' }])
    clock.advance(60_000)
    for (let count = 0; count < 501; count++) join('10.0.0.1')
    t.match(told.at(-1), { reason: 'many', repeated: 9_499 })
  },
)

t.test('many sources together have a share as well', async (t) => {
  const { told, clients } = setup()
  for (let count = 0; count < 5_000; count++) {
    clients.joined({
      source: { ip: `2001:db8:0:${count.toString(16)}::1`, port: 5 },
      asked: '',
      route: 'a',
      backend: 'b',
    })
  }
  t.equal(told.filter(({ outcome }) => outcome === 'connected').length, 2_000)
})

t.test('one that is turned away has a line, as often as once a minute; one that leaves was not refused', async (t) => {
  const { told, clients } = setup()
  for (let count = 0; count < 3; count++) clients.refused('no-route', { ...source, port: count }, 'b.example')
  clients.refused('left', source, undefined)
  t.strictSame(told, [
    { event: 'client', source: '10.0.0.1', destination: 'b.example', verdict: 'refused', reason: 'no-route' },
    { event: 'client', source: '10.0.0.1', destination: undefined, outcome: 'failed', reason: 'left' },
  ])
})
