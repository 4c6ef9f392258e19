import t from 'tap'
import { createKnownTokens } from '../../../src/kubernetes/core/known-tokens.ts'

t.test('knows a token for its time, counted from when it was remembered last', async (t) => {
  const known = createKnownTokens(10, 3)
  known.remember('a', 'alice', 100)
  t.equal(known.recall('a', 109), 'alice')
  t.equal(known.recall('a', 110), undefined)
  t.equal(known.recall('b', 105), undefined)
  known.remember('a', 'alice', 105)
  t.equal(known.recall('a', 114), 'alice')
})

t.test('forgets what is over its time when another one comes', async (t) => {
  const known = createKnownTokens(10, 3)
  known.remember('a', 'alice', 100)
  known.remember('b', 'bob', 105)
  known.remember('c', 'carol', 112)
  t.equal(known.count(), 2)
  t.equal(known.recall('b', 112), 'bob')
})

t.test('keeps no more than it may, the latest', async (t) => {
  const known = createKnownTokens(10, 3)
  for (const digest of ['a', 'b', 'c', 'a', 'd']) known.remember(digest, digest, 100)
  t.equal(known.count(), 3)
  t.strictSame(
    ['a', 'b', 'c', 'd'].map((digest) => known.recall(digest, 100)),
    ['a', undefined, 'c', 'd'],
  )
})

t.test('knows nothing of what it was told to forget, and when it was told of the rest', async (t) => {
  const known = createKnownTokens(10, 3)
  known.remember('a', 'alice', 100)
  t.equal(known.rememberedMs('a'), 100)
  known.forget('a')
  t.equal(known.rememberedMs('a'), undefined)
  t.equal(known.recall('a', 101), undefined)
})
