import t, { type Test } from 'tap'
import { collectLeases } from '../../src/kubernetes/lease-collector.ts'
import { leasesIn } from '../../src/kubernetes/leases.ts'
import { eventually } from '../integration/deadline.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'
import { apiStandIn, clientOf, leaseList, status, storedLease } from './api-stand-in.ts'

const ALL = '/apis/coordination.k8s.io/v1/namespaces/ns/leases'

async function setup(t: Test) {
  const api = await apiStandIn(t)
  const clock = manualClock()
  clock.advance(100_000)
  const log = recordedLog()
  const counted: string[] = []
  const collector = collectLeases({
    leases: leasesIn('ns', clientOf(t, api.access, clock)),
    selector: 'k8s-app=konnectivity-server',
    ownNames: ['own'],
    clock,
    log,
    metrics: {
      listed: (_ms, code, reason) => counted.push(`list ${code} ${reason}`),
      deleted: (_ms, code, reason) => counted.push(`delete ${code} ${reason}`),
      culled: () => counted.push('culled'),
    },
  })
  const expired = (name: string, version = '7') => storedLease(name, version, 0)
  const alive = (name: string) => storedLease(name, '7', clock.unixMs())
  /** So many rounds are over, and the next one is planned. */
  const rested = (rounds: number) =>
    eventually(
      `${rounds} rounds`,
      () => clock.asked.filter((ms) => ms === 15_000).length,
      (found) => found === rounds,
    )
  return { ...api, clock, log, counted, collector, expired, alive, rested }
}

t.test('deletes at once what has expired, by the version that it saw, and leaves the rest and its own', async (t) => {
  const { next, expired, alive, rested, counted, count } = await setup(t)
  const listing = await next()
  t.match(listing, { method: 'GET', path: ALL, query: { labelSelector: 'k8s-app=konnectivity-server' } })
  listing.answer(200, leaseList('1', alive('a'), expired('b', '8'), expired('own'), { metadata: { name: 'odd' } }))
  const removal = await next()
  t.match(removal, {
    method: 'DELETE',
    path: `${ALL}/b`,
    body: { kind: 'DeleteOptions', preconditions: { resourceVersion: '8' } },
  })
  removal.answer(200, {})
  await rested(1)
  t.equal(count(), 2)
  t.strictSame(counted, ['list 200 ', 'delete 200 ', 'culled'])
})

t.test('is content when another server was first, or the lease was renewed', async (t) => {
  const { next, expired, rested, counted, log } = await setup(t)
  ;(await next()).answer(200, leaseList('1', expired('a'), expired('b')))
  ;(await next()).answer(404, status(404, 'NotFound'))
  ;(await next()).answer(409, status(409, 'Conflict'))
  await rested(1)
  t.strictSame(counted, ['list 200 ', 'delete 404 NotFound', 'delete 409 Conflict'])
  t.strictSame(log.messages('warn'), [])
})

t.test('looks again every 15 s, also after failures, of which it tells once', async (t) => {
  const { next, expired, rested, counted, log, clock, close } = await setup(t)
  ;(await next()).answer(403, status(403, 'Forbidden', 'may not list'))
  await rested(1)
  clock.advance(15_000)
  ;(await next()).answer(200, leaseList('1', expired('a')))
  ;(await next()).answer(403, status(403, 'Forbidden', 'may not delete'))
  await rested(2)
  t.match(log.lines, [{ level: 'warn', fields: { reason: /may not list/ } }])
  t.equal(log.lines.length, 1)
  clock.advance(15_000)
  ;(await next()).answer(200, leaseList('1'))
  await rested(3)
  t.strictSame(log.messages('info').at(-1), 'expired leases are collected again')
  close()
  clock.advance(15_000)
  await eventually(
    'it failed',
    () => log.messages('warn').length,
    (lines) => lines === 2,
  )
  t.strictSame(counted, ['list 403 Forbidden', 'list 200 ', 'delete 403 Forbidden', 'list 200 '], 'no answer, no count')
})

t.test('looks no more when it has ended', async (t) => {
  const { next, rested, collector, clock, count } = await setup(t)
  ;(await next()).answer(200, leaseList('1'))
  await rested(1)
  collector[Symbol.dispose]()
  clock.advance(60_000)
  t.equal(clock.waiting(), 0)
  t.equal(count(), 1)
})

t.test('looks no more when it ends in the middle of a round', async (t) => {
  const { next, collector, clock, counted } = await setup(t)
  const listing = await next()
  collector[Symbol.dispose]()
  listing.answer(200, leaseList('1'))
  await eventually(
    'the answer',
    () => counted.length,
    (found) => found === 1,
  )
  await new Promise((resolve) => setImmediate(resolve))
  t.equal(clock.waiting(), 0)
})
