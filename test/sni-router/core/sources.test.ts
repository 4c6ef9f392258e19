import t from 'tap'
import { createGroups } from '../../../src/sni-router/core/sources.ts'

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
