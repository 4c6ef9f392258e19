import t from 'tap'
import { createReviewRounds } from '../../../src/kubernetes/core/review-rounds.ts'

t.test('each is due so long after it was reviewed last, and again so long after that', async (t) => {
  const rounds = createReviewRounds(10, 5)
  rounds.begin('a', 'user', 100)
  rounds.begin('new', 'user', Number.NEGATIVE_INFINITY)
  t.strictSame(rounds.due(101), ['new'])
  t.strictSame(rounds.due(109), [])
  t.strictSame(rounds.due(110), ['a'])
  rounds.answered('a')
  t.strictSame(rounds.due(119), [], 'one that is under way is not asked about twice')
  t.strictSame(rounds.due(120), ['a'])
  rounds.answered('new')
  t.strictSame(rounds.due(120), ['new'])
})

t.test('who is over the bound waits until others are answered, and nobody is passed over', async (t) => {
  const rounds = createReviewRounds(10, 2)
  for (const digest of ['a', 'b', 'c', 'd', 'e']) rounds.begin(digest, 'user', 0)
  const seen: string[] = []
  for (let ms = 10; ms < 13; ms++) {
    const due = rounds.due(ms)
    t.ok(due.length <= 2)
    for (const digest of due) rounds.answered(digest)
    seen.push(...due)
  }
  t.strictSame(seen, ['a', 'b', 'c', 'd', 'e'])
  t.strictSame(rounds.due(20), ['a', 'b'])
  t.strictSame(rounds.due(20), [])
})

t.test('who has left is never due', async (t) => {
  const rounds = createReviewRounds(10, 2)
  rounds.begin('a', 'user', 0)
  rounds.begin('b', 'user', 0)
  rounds.end('a')
  t.strictSame(rounds.due(10), ['b'])
})

t.test('where more are due than it may have under way, none is left for ever', async (t) => {
  const rounds = createReviewRounds(1, 2)
  for (const digest of ['a', 'b', 'c']) rounds.begin(digest, 'user', 0)
  t.strictSame(rounds.due(1), ['a', 'b'])
  for (const digest of ['a', 'b']) rounds.answered(digest)
  t.strictSame(rounds.due(2), ['c', 'a'])
})

t.test('one that is hastened is due before the others, once', async (t) => {
  const rounds = createReviewRounds(10, 1)
  for (const digest of ['a', 'b', 'c']) rounds.begin(digest, 'user', 0)
  rounds.hasten('c', 9)
  rounds.hasten('gone', 9)
  t.strictSame(rounds.due(8), [])
  t.strictSame(rounds.due(10), ['c'])
  rounds.answered('c')
  t.strictSame(rounds.due(10), ['a'])
  rounds.answered('a')
  rounds.hasten('b', 10)
  rounds.end('b')
  t.strictSame(rounds.due(19), [])
})

t.test('users take turns: who has many tokens delays its own only', async (t) => {
  const rounds = createReviewRounds(10, 2)
  for (const digest of ['a1', 'a2', 'a3', 'a4', 'a5']) rounds.begin(digest, 'a', 0)
  rounds.begin('b1', 'b', 0)
  rounds.begin('c1', 'c', 0)
  const seen: string[] = []
  for (let ms = 10; ms < 14; ms++) {
    const due = rounds.due(ms)
    for (const digest of due) rounds.answered(digest)
    seen.push(...due)
  }
  t.strictSame(seen, ['a1', 'b1', 'c1', 'a2', 'a3', 'a4', 'a5'])
  rounds.end('b1')
  rounds.begin('b2', 'b', 0)
  t.strictSame(rounds.due(20), ['a1', 'b2'])
})

t.test('users take turns also with what is hastened', async (t) => {
  const rounds = createReviewRounds(10, 1)
  for (const digest of ['a1', 'a2', 'a3']) rounds.begin(digest, 'a', 0)
  rounds.begin('b1', 'b', 0)
  for (const digest of ['a1', 'a2', 'a3']) rounds.hasten(digest, 5)
  const seen: string[] = []
  for (let ms = 10; ms < 14; ms++) {
    const [digest = 'none'] = rounds.due(ms)
    rounds.answered(digest)
    seen.push(digest)
  }
  t.strictSame(seen, ['a1', 'b1', 'a2', 'a3'])
})
