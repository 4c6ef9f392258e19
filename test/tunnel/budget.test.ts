import t from 'tap'
import {
  type Budget,
  createBudget,
  release,
  removeBudget,
  reserve,
  spend,
  spendWithin,
} from '../../src/tunnel/budget.ts'

/** A stream's budget that gives back `gives` bytes when it must close its largest connection. */
function stream(
  limitBytes: number,
  parent: Budget | undefined,
  gives: number,
): { budget: Budget; closed: () => number } {
  const budget = createBudget(limitBytes, parent)
  let closed = 0
  budget.closeLargest = () => {
    closed++
    spend(budget, -gives)
  }
  return { budget, closed: () => closed }
}

t.test('closes the largest connection of a stream one byte over its limit', async (t) => {
  const { budget, closed } = stream(100, undefined, 60)
  spendWithin(budget, 100)
  t.equal(closed(), 0, 'at the limit')
  spendWithin(budget, 1)
  t.equal(closed(), 1)
  t.equal(budget.usedBytes, 41)
})

t.test('takes from the stream that holds most when all together hold too much', async (t) => {
  const all = createBudget(100)
  const [large, small] = [stream(100, all, 50), stream(100, all, 10)]
  spendWithin(large.budget, 70)
  spendWithin(small.budget, 30)
  t.strictSame([large.closed(), small.closed()], [0, 0])
  spendWithin(small.budget, 1)
  t.strictSame([large.closed(), small.closed()], [1, 0], 'not from the one that came last')
  t.equal(all.usedBytes, 51)
})

t.test('makes room on each level above: in the cluster that holds most, of its stream that holds most', async (t) => {
  const all = createBudget(100)
  const clusters = [createBudget(80, all), createBudget(80, all)] as const
  const [a, b] = [stream(100, clusters[0], 30), stream(100, clusters[1], 30)]
  const asked: string[] = []
  clusters.forEach((cluster, index) => {
    cluster.closeLargest = () => {
      asked.push(`cluster ${index}`)
      for (const child of cluster.children) child.closeLargest()
    }
  })
  spendWithin(a.budget, 60)
  spendWithin(b.budget, 40)
  t.strictSame([a.closed(), b.closed(), asked], [0, 0, []])
  spendWithin(b.budget, 1)
  t.strictSame([a.closed(), b.closed(), asked], [1, 0, ['cluster 0']])
  t.equal(all.usedBytes, 71)
})

t.test('counts for the whole process what all streams hold, and gives all of a stream back with it', async (t) => {
  const all = createBudget(100)
  const [one, other] = [createBudget(100, all), createBudget(100, all)]
  spend(one, 30)
  spend(other, 20)
  t.equal(all.usedBytes, 50)
  removeBudget(one)
  t.equal(all.usedBytes, 50, 'what sockets have not taken yet still counts')
  t.equal(all.children.size, 2)
  spend(one, -30)
  t.equal(all.usedBytes, 20)
  t.equal(all.children.size, 1)
  removeBudget(other)
  spend(other, -20)
  t.equal(all.children.size, 0)
})

t.test('lets no window grow from three quarters on, of the stream or of the process', async (t) => {
  const all = createBudget(200)
  const [one, other] = [createBudget(100, all), createBudget(1_000, all)]
  spend(one, 74)
  t.ok(reserve(one, 1))
  spend(one, 1)
  t.notOk(reserve(one, 1))
  t.ok(reserve(other, 1))
  spend(one, -75)
  spend(other, 149)
  t.ok(reserve(one, 1))
  spend(other, 1)
  t.notOk(reserve(one, 1), 'others have used up the process')
})

t.test('promises half of a limit to windows that grow, and that again which is released', async (t) => {
  const all = createBudget(300)
  const [one, other] = [createBudget(200, all), createBudget(200, all)]
  t.ok(reserve(one, 100))
  t.notOk(reserve(one, 1))
  t.ok(reserve(other, 50))
  t.notOk(reserve(other, 1), 'the process has promised its half')
  release(one, 60)
  t.ok(reserve(other, 50))
  t.ok(reserve(one, 10))
  t.notOk(reserve(one, 1))
})
