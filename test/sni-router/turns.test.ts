import t from 'tap'
import { createTurns } from '../../src/sni-router/turns.ts'

/** Asks for turns by name. */
function setup(most: number) {
  const turns = createTurns(most)
  const begun: string[] = []
  const ended: string[] = []
  const ends = new Map<string, () => void>()
  const ask = (name: string): Disposable =>
    turns((done) => {
      begun.push(name)
      ends.set(name, done)
      return { [Symbol.dispose]: () => void ended.push(name) }
    })
  return { begun, ended, ask, done: (name: string) => ends.get(name)?.() }
}

t.test('begins so many and no more, the others in the order in which they came', async (t) => {
  const { begun, ask, done } = setup(2)
  for (const name of ['a', 'b', 'c', 'd', 'e']) ask(name)
  t.strictSame(begun, ['a', 'b'])
  done('b')
  t.strictSame(begun, ['a', 'b', 'c'])
  done('b')
  t.strictSame(begun, ['a', 'b', 'c'], 'a place is given back once')
  done('a')
  done('c')
  t.strictSame(begun, ['a', 'b', 'c', 'd', 'e'])
})

t.test(
  'who waits no more is passed over, and who has begun is told and keeps its place until it is done',
  async (t) => {
    const { begun, ended, ask, done } = setup(1)
    const [a, b] = ['a', 'b', 'c'].map(ask)
    b?.[Symbol.dispose]()
    a?.[Symbol.dispose]()
    t.strictSame([begun, ended], [['a'], ['a']])
    done('a')
    t.strictSame([begun, ended], [['a', 'c'], ['a']])
  },
)

t.test('who is done at once leaves the place to the next', async (t) => {
  const turns = createTurns(1)
  let count = 0
  for (let at = 0; at < 3; at++) {
    turns((done) => {
      count++
      done()
      return { [Symbol.dispose]() {} }
    })
  }
  t.equal(count, 3)
})
