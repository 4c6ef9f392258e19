import t from 'tap'
import { createTurns } from '../../src/sni-router/turns.ts'

/** Until places that were given back are taken. */
const given = (): Promise<void> => Promise.resolve()

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
  await given()
  t.strictSame(begun, ['a', 'b', 'c'])
  done('b')
  await given()
  t.strictSame(begun, ['a', 'b', 'c'], 'a place is given back once')
  done('a')
  done('c')
  await given()
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
    await given()
    t.strictSame([begun, ended], [['a', 'c'], ['a']])
  },
)

t.test('who is disposed of in one turn with those before it never begins', async (t) => {
  const turns = createTurns(2)
  let begun = 0
  const all = Array.from({ length: 100 }, () =>
    turns((done) => {
      begun++
      return { [Symbol.dispose]: done }
    }),
  )
  for (const one of all) one[Symbol.dispose]()
  await given()
  t.equal(begun, 2)
  turns(() => {
    begun++
    return { [Symbol.dispose]() {} }
  })
  t.equal(begun, 3, 'the places are free')
})

t.test('a line as long as it likes of those who are done at once', async (t) => {
  const turns = createTurns(1)
  let leave = (): void => {}
  turns((done) => {
    leave = done
    return { [Symbol.dispose]() {} }
  })
  let count = 0
  for (let at = 0; at < 100_000; at++) {
    turns((done) => {
      count++
      done()
      return { [Symbol.dispose]() {} }
    })
  }
  t.equal(count, 0)
  leave()
  await given()
  t.equal(count, 100_000)
})
