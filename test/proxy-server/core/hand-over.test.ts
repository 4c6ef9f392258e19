import t from 'tap'
import { type Candidate, createHandOver } from '../../../src/proxy-server/core/hand-over.ts'

const worker = (number: number, about: Partial<Candidate> = {}): Candidate => ({
  number,
  state: 'up',
  ready: true,
  settled: true,
  free: true,
  ...about,
})
const times = <T>(count: number, act: () => T): T[] => Array.from({ length: count }, act)

t.test('gives frontends to the workers in turn', async (t) => {
  const { forFrontend } = createHandOver()
  const workers = [worker(1), worker(2), worker(3)]
  t.strictSame(
    times(6, () => forFrontend(workers)),
    [1, 2, 3, 1, 2, 3],
  )
})

t.test('passes over a worker that has not taken what it was given', async (t) => {
  const { forFrontend, forAgent } = createHandOver()
  const workers = [worker(1, { free: false }), worker(2), worker(3)]
  t.strictSame(
    times(4, () => forFrontend(workers)),
    [2, 3, 2, 3],
  )
  t.strictSame(
    times(3, () => forAgent('a', workers)),
    [2, 3, 2],
  )
})

t.test('waits for a settled worker that is not free rather than take a lesser one', async (t) => {
  const { forFrontend, forAgent } = createHandOver()
  const busy = worker(1, { free: false })
  t.equal(forFrontend([busy, worker(2, { settled: false })]), undefined)
  t.equal(forAgent('a', [busy]), undefined)
})

t.test('prefers settled workers, then ready ones, then those that leave, then whoever can say no', async (t) => {
  const { forFrontend } = createHandOver()
  const fresh = worker(1, { ready: false, settled: false })
  const leaving = worker(2, { state: 'leaving' })
  const unsettled = worker(3, { settled: false })
  const settled = worker(4)
  t.strictSame(
    [[fresh, leaving, unsettled, settled], [fresh, leaving, unsettled], [fresh, leaving], [fresh]].map(forFrontend),
    [4, 3, 2, 1],
  )
})

t.test('gives nobody to a worker that starts or was dismissed', async (t) => {
  const { forFrontend, forAgent } = createHandOver()
  const workers = [worker(1, { state: 'starting' }), worker(2, { state: 'dismissed' })]
  t.equal(forFrontend(workers), undefined)
  t.equal(forFrontend([]), undefined)
  t.equal(forAgent('a', workers), undefined)
})

t.test('gives no agent to a worker that leaves', async (t) => {
  const { forAgent } = createHandOver()
  t.strictSame(
    times(2, () => forAgent('a', [worker(1, { state: 'leaving' }), worker(2)])),
    [2, 2],
  )
})

t.test('leads each address of agents to all workers in as many connections, whoever comes in between', async (t) => {
  const { forAgent } = createHandOver()
  const workers = [worker(1), worker(2), worker(3)]
  const given = new Map<string, (number | undefined)[]>()
  for (const address of ['a', 'b', 'b', 'a', 'c', 'b', 'c', 'a', 'c']) {
    given.set(address, [...(given.get(address) ?? []), forAgent(address, workers)])
  }
  for (const [address, numbers] of given) t.strictSame(numbers.toSorted(), [1, 2, 3], address)
})

t.test('leads an address that comes back to the worker which is new', async (t) => {
  const { forAgent } = createHandOver()
  times(2, () => forAgent('a', [worker(1), worker(2)]))
  t.equal(forAgent('a', [worker(2), worker(3, { ready: false, settled: false })]), 3)
})

t.test('spreads the first connections of many addresses', async (t) => {
  const { forAgent } = createHandOver()
  const workers = [worker(1), worker(2)]
  t.strictSame(
    ['a', 'b', 'c', 'd'].map((address) => forAgent(address, workers)),
    [1, 2, 1, 2],
  )
})

t.test('remembers so many addresses and no more, those that came last', async (t) => {
  const { forAgent } = createHandOver(2)
  const workers = [worker(1), worker(2)]
  const first = forAgent('a', workers)
  forAgent('b', workers)
  t.not(forAgent('a', workers), first, 'still known')
  forAgent('c', workers)
  const again = times(2, () => forAgent('b', workers))
  t.strictSame(again.toSorted(), [1, 2], 'forgotten, and led to both as anybody')
})
