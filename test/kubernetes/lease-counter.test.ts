import t, { type Test } from 'tap'
import { countLeases } from '../../src/kubernetes/lease-counter.ts'
import { leasesIn } from '../../src/kubernetes/leases.ts'
import { eventually } from '../integration/deadline.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'
import { type Asked, apiStandIn, clientOf, leaseList, status, storedLease } from './api-stand-in.ts'

async function setup(t: Test) {
  const api = await apiStandIn(t)
  const clock = manualClock()
  const log = recordedLog()
  const counted: string[] = []
  const counter = countLeases({
    leases: leasesIn('ns', clientOf(t, api.access, clock)),
    selector: 'a in (b),!c',
    clock,
    random: () => 0.5,
    log,
    metrics: {
      listed: (_ms, code, reason) => counted.push(`list ${code} ${reason}`),
      watched: (_ms, code, reason) => counted.push(`watch ${code} ${reason}`),
    },
  })
  t.teardown(() => counter[Symbol.dispose]())
  const lease = (name: string, version = '7', durationSeconds = 30) =>
    storedLease(name, version, clock.unixMs(), durationSeconds)
  const nextList = async (): Promise<Asked> => {
    const asked = await api.next()
    t.equal(asked.query.watch, undefined, 'it lists')
    t.equal(asked.query.labelSelector, 'a in (b),!c')
    return asked
  }
  let watches = 0
  /** The watch, open; and what it says. */
  const nextWatch = async (from: string) => {
    const asked = await api.next()
    t.match(asked.query, { watch: 'true', resourceVersion: from, labelSelector: 'a in (b),!c', timeoutSeconds: '225' })
    asked.response.writeHead(200).flushHeaders()
    watches++
    await eventually(
      'the watch is timed',
      () => clock.asked.filter((ms) => ms === 235_000).length,
      (n) => n === watches,
    )
    return {
      response: asked.response,
      say: (type: string, object: object) => asked.response.write(`${JSON.stringify({ type, object })}\n`),
    }
  }
  const countIs = (wanted: number) => eventually(`it counts ${wanted}`, counter.count, (found) => found === wanted)
  /** It waits for that long before it asks again: milliseconds. */
  const pauses = (ms: number) =>
    eventually(
      `a pause of ${ms}`,
      () => clock.asked.some((asked) => Math.round(asked) === ms),
      (found) => found,
    )
  return { ...api, clock, log, counted, counter, lease, nextList, nextWatch, countIs, pauses }
}

t.test('counts 1 until the API server has answered, then what it lists and what changes', async (t) => {
  const { counter, counted, lease, nextList, nextWatch, countIs } = await setup(t)
  const listing = await nextList()
  t.equal(counter.count(), 1)
  t.notOk(counter.isCurrent())
  listing.answer(200, leaseList('40', lease('a'), lease('b')))
  const { say } = await nextWatch('40')
  t.equal(counter.count(), 2)
  t.ok(counter.isCurrent())
  say('ADDED', lease('c', '41'))
  await countIs(3)
  say('MODIFIED', lease('a', '42'))
  say('DELETED', lease('b', '43'))
  await countIs(2)
  say('DELETED', lease('a', '44'))
  say('DELETED', lease('c', '45'))
  await countIs(1)
  t.strictSame(counted, ['list 200 ', 'watch 200 '])
})

t.test('goes on from where a watch ended, bookmarks included', async (t) => {
  const { clock, lease, nextList, nextWatch, countIs } = await setup(t)
  ;(await nextList()).answer(200, leaseList('40', lease('a')))
  const first = await nextWatch('40')
  first.say('ADDED', lease('b', '44'))
  await countIs(2)
  clock.advance(2_000)
  first.response.end(
    `${JSON.stringify({ type: 'BOOKMARK', object: { metadata: { name: '', resourceVersion: '50' } } })}\n`,
  )
  await nextWatch('50')
})

t.test('asks again when a lease should have expired, and believes the answer', async (t) => {
  const { clock, counter, lease, nextList, nextWatch, countIs } = await setup(t)
  const a = lease('a')
  ;(await nextList()).answer(200, leaseList('40', a, lease('b', '7', 300)))
  const { say } = await nextWatch('40')
  clock.advance(20_000)
  say('ADDED', lease('c', '41', 300))
  await countIs(3)
  clock.advance(9_999)
  clock.advance(1)
  const listing = await nextList()
  t.equal(counter.count(), 3, 'time alone changes nothing')
  listing.answer(200, leaseList('60', a, lease('b', '41', 300), lease('c', '41', 300)))
  await countIs(2)
  await nextWatch('60')
})

t.test('does not ask again for a lease that was renewed in time', async (t) => {
  const { clock, lease, nextList, nextWatch, countIs, count } = await setup(t)
  ;(await nextList()).answer(200, leaseList('40', lease('a')))
  const { say } = await nextWatch('40')
  for (let round = 0; round < 5; round++) {
    clock.advance(15_000)
    say('MODIFIED', lease('a', String(41 + round)))
    say('ADDED', lease(`marker-${round}`, '1', 3_600))
    await countIs(2 + round)
  }
  t.equal(count(), 2)
})

t.test('keeps the last count while the API server is away, and tells of it once', async (t) => {
  const { clock, counter, log, lease, nextList, nextWatch, countIs, pauses } = await setup(t)
  ;(await nextList()).answer(200, leaseList('40', lease('a'), lease('b'), lease('c')))
  const { response } = await nextWatch('40')
  response.destroy()
  await pauses(550)
  t.notOk(counter.isCurrent())
  clock.advance(60_000)
  for (const pauseMs of [825, 1_238, 1_856]) {
    ;(await nextList()).answer(500, {})
    await pauses(pauseMs)
    t.equal(counter.count(), 3, 'long after they have expired')
    clock.advance(30_000)
  }
  ;(await nextList()).answer(200, leaseList('90', lease('a'), lease('b')))
  await countIs(2)
  t.ok(counter.isCurrent())
  t.strictSame(log.messages('info'), [
    'leases are counted',
    'leases cannot be counted, the last count stays',
    'leases are counted',
  ])
})

t.test('lists again when the API server no longer knows from where to go on', async (t) => {
  const { clock, counted, lease, nextList, nextWatch, pauses } = await setup(t)
  ;(await nextList()).answer(200, leaseList('40', lease('a')))
  const { say } = await nextWatch('40')
  say('ERROR', status(410, 'Expired', 'too old resource version'))
  await pauses(550)
  clock.advance(550)
  ;(await nextList()).answer(200, leaseList('80', lease('a')))
  await nextWatch('80')
  t.match(counted, ['list 200 ', 'watch 200 ', 'watch 410 Expired'])
})

t.test('waits longer and longer where it may list but not watch', async (t) => {
  const { clock, log, lease, nextList, next, pauses, counter } = await setup(t)
  for (const pauseMs of [550, 825, 1_238, 1_856]) {
    ;(await nextList()).answer(200, leaseList('40', lease('a'), lease('b')))
    ;(await next()).answer(403, status(403, 'Forbidden', 'may not watch'))
    await pauses(pauseMs)
    t.equal(counter.count(), 2, 'which is better than nothing')
    clock.advance(2_000)
  }
  t.match(log.lines[1], { level: 'warn', fields: { reason: /may not watch/ } })
})

t.test('starts again from the shortest pause after a watch that ended well', async (t) => {
  const { clock, nextList, nextWatch, lease, pauses, log } = await setup(t)
  for (const pauseMs of [550, 825]) {
    ;(await nextList()).answer(500, {})
    await pauses(pauseMs)
    clock.advance(1_000)
  }
  const a = lease('a')
  ;(await nextList()).answer(200, leaseList('40', a))
  await nextWatch('40')
  clock.advance(30_000)
  ;(await nextList()).answer(500, {})
  await eventually(
    'the second pause of 550',
    () => clock.asked.filter((ms) => ms === 550).length,
    (found) => found === 2,
  )
  t.equal(log.messages('warn').length, 2)
})

t.test('does not ask without a pause where every watch ends at once', async (t) => {
  const { nextList, nextWatch, pauses, lease, count } = await setup(t)
  ;(await nextList()).answer(200, leaseList('40', lease('a')))
  ;(await nextWatch('40')).response.end()
  await pauses(550)
  t.equal(count(), 2)
})

t.test('does not list without a pause where leases arrive expired', async (t) => {
  const { clock, nextList, nextWatch, lease } = await setup(t)
  const requests = (): number => clock.asked.filter((ms) => ms === 10_000).length
  ;(await nextList()).answer(200, leaseList('40', storedLease('a', '7', -60_000), lease('b', '7', 0.001)))
  await nextWatch('40')
  t.equal(requests(), 2)
  clock.advance(999)
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
  t.equal(requests(), 2)
  clock.advance(1)
  await nextList()
})

t.test('asks no more when it has ended', async (t) => {
  const { clock, counter, nextList, nextWatch, lease, count } = await setup(t)
  ;(await nextList()).answer(200, leaseList('40', lease('a')))
  await nextWatch('40')
  counter[Symbol.dispose]()
  await eventually('no timer is left', clock.waiting, (found) => found === 0)
  clock.advance(600_000)
  t.equal(count(), 2)
})
