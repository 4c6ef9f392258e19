import t from 'tap'
import { createGroups, sourceOf } from '../../../src/sni-router/core/sources.ts'

t.test('a source is an IPv4 address or an IPv6 network of 64 bits, however it is written', async (t) => {
  t.equal(sourceOf('::ffff:192.0.2.1'), sourceOf('192.0.2.1'))
  t.not(sourceOf('192.0.2.1'), sourceOf('192.0.2.2'))
  t.equal(sourceOf('2001:db8:0:1::1'), sourceOf('2001:db8:0:1:ffff:ffff:ffff:ffff'))
  t.not(sourceOf('2001:db8:0:1::1'), sourceOf('2001:db8:0:2::1'))
  t.equal(sourceOf('fe80::1%eth0'), sourceOf('fe80::2'))
  t.equal(sourceOf('what is none'), 'what is none')
})

t.test('finds the oldest of the group that has most', async (t) => {
  const groups = createGroups<string>()
  t.equal(groups.oldestOfLargest(), undefined)
  groups.add('a1', 'a')
  for (const member of ['b1', 'b2', 'b3']) groups.add(member, 'b')
  groups.add('c1', 'c')
  t.equal(groups.oldestOfLargest(), 'b1')
  groups.delete('b1')
  groups.delete('b1')
  t.equal(groups.oldestOfLargest(), 'b2')
  groups.delete('b2')
  t.equal(groups.oldestOfLargest(), 'a1', 'of several the first')
  t.equal(groups.size(), 3)
  t.equal(groups.oldestOf('c'), 'c1')
  t.equal(groups.oldestOf('d'), undefined)
})

t.test('moves who is there already, as the newest, and forgets groups that are empty', async (t) => {
  const groups = createGroups<string>()
  groups.add('a1', 'a')
  groups.add('b1', 'b')
  groups.add('a1', 'b')
  t.strictSame([groups.size(), groups.sizeOf('a'), groups.sizeOf('b')], [2, 0, 2])
  t.equal(groups.oldestOf('b'), 'b1')
  t.strictSame([...groups.all()].sort(), ['a1', 'b1'])
})
