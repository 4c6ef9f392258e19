import t from 'tap'
import { createTurns, type Rate } from '../../src/kubernetes/turns.ts'
import { manualClock } from '../platform/manual-clock.ts'

const never = new AbortController().signal
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

function setup(rate: Rate) {
  const clock = manualClock()
  const turns = createTurns(rate, clock)
  const gone: string[] = []
  const ask = (name: string, urgent = false, signal = never): Promise<unknown> =>
    turns.next(urgent, signal).then(
      () => gone.push(name),
      () => gone.push(`${name} left`),
    )
  return { clock, gone, ask }
}

t.test('lets as many go at once as the burst has, and then one after the other', async (t) => {
  const { clock, gone, ask } = setup({ qps: 2, burst: 3 })
  for (const name of ['a', 'b', 'c', 'd', 'e']) void ask(name)
  await settle()
  t.strictSame(gone, ['a', 'b', 'c'])
  clock.advance(499)
  await settle()
  t.equal(gone.length, 3)
  clock.advance(1)
  await settle()
  t.strictSame(gone.slice(3), ['d'])
  clock.advance(500)
  await settle()
  t.strictSame(gone.slice(3), ['d', 'e'])
  t.equal(clock.waiting(), 0, 'no timer without somebody who waits')
})

t.test('takes 5 a second and 10 at once where 0 is given', async (t) => {
  const { clock, gone, ask } = setup({ qps: 0, burst: 0 })
  for (let index = 0; index < 12; index++) void ask(String(index))
  await settle()
  t.equal(gone.length, 10)
  clock.advance(200)
  await settle()
  t.equal(gone.length, 11)
})

t.test('has no limit for less than 0 a second', async (t) => {
  const { gone, ask } = setup({ qps: -1, burst: 1 })
  for (let index = 0; index < 100; index++) void ask(String(index))
  await settle()
  t.equal(gone.length, 100)
})

t.test('takes fractions of a request per second', async (t) => {
  const { clock, gone, ask } = setup({ qps: 0.5, burst: 1 })
  void ask('a')
  void ask('b')
  clock.advance(1_999)
  await settle()
  t.strictSame(gone, ['a'])
  clock.advance(1)
  await settle()
  t.strictSame(gone, ['a', 'b'])
})

t.test('lets the urgent go before all who wait', async (t) => {
  const { clock, gone, ask } = setup({ qps: 1, burst: 1 })
  for (const name of ['a', 'b', 'c']) void ask(name)
  void ask('lease', true)
  clock.advance(1_000)
  await settle()
  t.strictSame(gone, ['a', 'lease'])
})

t.test('gives the turn of one who leaves to the next', async (t) => {
  const { clock, gone, ask } = setup({ qps: 1, burst: 1 })
  const leaving = new AbortController()
  void ask('a')
  void ask('b', false, leaving.signal)
  void ask('c')
  leaving.abort()
  await settle()
  t.strictSame(gone, ['a', 'b left'])
  clock.advance(1_000)
  await settle()
  t.strictSame(gone, ['a', 'b left', 'c'])
  t.throws(() => createTurns({ qps: 1, burst: 1 }, clock).next(false, leaving.signal), { name: 'AbortError' })
})
