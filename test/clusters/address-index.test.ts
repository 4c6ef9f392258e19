import t from 'tap'
import { createAddressIndex } from '../../src/clusters/address-index.ts'

t.test('finds a cluster by its addresses and ranges, in whatever spelling', async (t) => {
  const at = createAddressIndex([
    ['a', '192.0.2.0/26'],
    ['b', '192.0.2.128/25'],
    ['c', '198.51.100.7'],
    ['d', '2001:db8:0:1::/64'],
  ])
  for (const [ip, cluster] of [
    ['192.0.2.0', 'a'],
    ['192.0.2.63', 'a'],
    ['192.0.2.64', undefined],
    ['192.0.2.255', 'b'],
    ['::ffff:192.0.2.1', 'a'],
    ['198.51.100.7', 'c'],
    ['198.51.100.8', undefined],
    ['2001:db8:0:1::9', 'd'],
    ['2001:DB8:0:1:0:0:0:9', 'd'],
    ['2001:db8:0:2::9', undefined],
    ['fe80::1%eth0', undefined],
    ['no address', undefined],
    ['', undefined],
  ] as const) {
    t.equal(at(ip), cluster, ip)
  }
})

t.test('the longest range that fits counts, in whatever order they come', async (t) => {
  const ranges = [
    ['wide', '10.0.0.0/8'],
    ['narrow', '10.1.0.0/16'],
    ['one', '10.1.2.3'],
    ['all', '0.0.0.0/0'],
  ] as const
  for (const order of [ranges, ranges.toReversed()]) {
    const at = createAddressIndex(order)
    t.strictSame(['10.2.0.0', '10.1.0.0', '10.1.2.3', '11.0.0.0', '::1'].map(at), [
      'wide',
      'narrow',
      'one',
      'all',
      undefined,
    ])
  }
})

t.test('without ranges there is none', async (t) => {
  t.equal(createAddressIndex([])('10.0.0.1'), undefined)
})
