import t from 'tap'
import { createLeaseCensus } from '../../../src/kubernetes/core/lease-census.ts'

const lease = (name: string, expiresUnixMs: number) => ({ name, expiresUnixMs })

t.test('counts 1 before anything is known, and when no lease is valid', async (t) => {
  const census = createLeaseCensus()
  t.equal(census.count(), 1)
  census.listed([lease('a', 99)], 100)
  t.equal(census.count(), 1)
  t.equal(census.nextExpiryUnixMs(), Number.POSITIVE_INFINITY)
})

t.test('counts the valid leases of a list, and forgets those that are not in the next', async (t) => {
  const census = createLeaseCensus()
  census.listed([lease('a', 101), lease('b', 200), lease('c', 100)], 100)
  t.equal(census.count(), 2, 'c has just expired')
  census.listed([lease('d', 200), lease('b', 200), lease('e', 200)], 100)
  t.equal(census.count(), 3)
})

t.test('counts one that comes or is renewed, and no more one that is removed', async (t) => {
  const census = createLeaseCensus()
  census.listed([lease('a', 200)], 100)
  census.changed(lease('b', 300), 100)
  t.equal(census.count(), 2)
  census.changed(lease('a', 400), 150)
  t.equal(census.nextExpiryUnixMs(), 300)
  census.removed('b')
  t.equal(census.count(), 1)
  t.equal(census.nextExpiryUnixMs(), 400)
  census.removed('a')
  census.removed('a')
  t.equal(census.nextExpiryUnixMs(), Number.POSITIVE_INFINITY)
})

t.test('lets no time of its own take anybody away, but says when it is time to ask again', async (t) => {
  const census = createLeaseCensus()
  census.listed([lease('a', 200), lease('b', 300)], 100)
  census.changed(lease('c', 900), 250)
  t.equal(census.count(), 3, 'a has expired, and nobody was asked')
  t.equal(census.nextExpiryUnixMs(), 200)
  census.listed([lease('a', 200), lease('b', 300), lease('c', 900)], 250)
  t.equal(census.count(), 2, 'a was not renewed')
})

t.test('takes away one that arrives expired', async (t) => {
  const census = createLeaseCensus()
  census.listed([lease('a', 200), lease('b', 200)], 100)
  census.changed(lease('a', 90), 100)
  census.changed(lease('c', Number.NEGATIVE_INFINITY), 100)
  census.changed(lease('b', 100), 100)
  t.equal(census.nextExpiryUnixMs(), Number.POSITIVE_INFINITY)
})

t.test('keeps a bounded number', async (t) => {
  const census = createLeaseCensus()
  census.listed(
    Array.from({ length: 10_500 }, (_, index) => lease(`l-${index}`, 200)),
    100,
  )
  t.equal(census.count(), 10_000)
  census.changed(lease('l-1', 300), 100)
  census.removed('l-2')
  census.changed(lease('new', 300), 100)
  t.equal(census.count(), 10_000)
})
