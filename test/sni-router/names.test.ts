import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { type Answer, createNames, systemResolve } from '../../src/sni-router/names.ts'
import { manualClock } from '../platform/manual-clock.ts'

/** A resolver that answers when told to. */
function standIn() {
  const asked: { name: string; resolve: (ips: string[]) => void; reject: (error: Error) => void }[] = []
  const resolve = (name: string) =>
    new Promise<string[]>((resolve, reject) => void asked.push({ name, resolve, reject }))
  return { asked, resolve }
}

t.test('looks a name up at once, and again a while after each answer', async (t) => {
  const [clock, { asked, resolve }] = [manualClock(), standIn()]
  const told: Answer[] = []
  using _watch = createNames(clock, resolve)(
    'a',
    () => 5_000,
    (answer) => told.push(answer),
  )
  clock.advance(60_000)
  t.equal(asked.length, 1, 'one that hangs is not asked twice')
  asked[0]!.resolve(['10.0.0.1'])
  await turn()
  clock.advance(4_999)
  t.equal(asked.length, 1)
  clock.advance(1)
  asked[1]!.reject(new Error('gone'))
  await turn()
  t.match(told, [{ ips: ['10.0.0.1'] }, { error: { message: 'gone' } }])
  clock.advance(5_000)
  t.equal(asked.length, 3, 'a failure is no end')
})

t.test('has few lookups under way at once, each name in its turn', async (t) => {
  const [clock, { asked, resolve }] = [manualClock(), standIn()]
  const watch = createNames(clock, resolve, 2)
  const told: string[] = []
  for (const name of ['a', 'b', 'c', 'd'])
    watch(
      name,
      () => 1,
      () => told.push(name),
    )
  t.strictSame(
    asked.map(({ name }) => name),
    ['a', 'b'],
  )
  asked[1]!.resolve([])
  await turn()
  clock.advance(1) // b is due again, behind those that wait
  t.strictSame(
    asked.map(({ name }) => name),
    ['a', 'b', 'c'],
  )
  asked[2]!.resolve([])
  await turn()
  asked[3]!.resolve([])
  await turn()
  t.strictSame(
    asked.map(({ name }) => name),
    ['a', 'b', 'c', 'd', 'b'],
  )
  t.strictSame(told, ['b', 'c', 'd'])
})

t.test('tells nothing more once it is disposed of', async (t) => {
  const [clock, { asked, resolve }] = [manualClock(), standIn()]
  const names = createNames(clock, resolve, 1)
  const told: string[] = []
  const first = names(
    'a',
    () => 1,
    () => told.push('a'),
  )
  const second = names(
    'b',
    () => 1,
    () => told.push('b'),
  )
  for (const watch of [first, second]) watch[Symbol.dispose]()
  asked[0]!.resolve([])
  await turn()
  clock.advance(60_000)
  t.strictSame(told, [])
  t.equal(asked.length, 1, 'what waited is not begun')
})

t.test('names that hung the last time have half of the places at most', async (t) => {
  const [clock, { asked, resolve }] = [manualClock(), standIn()]
  const watch = createNames(clock, resolve, 4)
  const names = (): string => asked.map(({ name }) => name).join('')
  for (const name of ['a', 'b', 'c', 'd'])
    watch(
      name,
      () => 10,
      () => undefined,
    )
  t.equal(names(), 'abcd')
  clock.advance(1_000)
  asked[3]!.resolve([])
  await turn()
  clock.advance(1)
  for (const one of asked.slice(0, 2)) one.resolve([])
  asked[2]!.reject(new Error('no answer'))
  await turn()
  clock.advance(10)
  t.equal(names(), 'abcddab', 'the last is in time, two of the others have their places')
  asked[4]!.resolve([])
  await turn()
  clock.advance(10)
  t.equal(names(), 'abcddabd', 'there is room for who answers')
  asked[5]!.resolve([])
  await turn()
  t.equal(names(), 'abcddabdc')
})

t.test('who is disposed of while it waits takes no place of those that hung', async (t) => {
  const [clock, { asked, resolve }] = [manualClock(), standIn()]
  const watch = createNames(clock, resolve, 1)
  const started = ['hung', 'other'].map((name) =>
    watch(
      name,
      () => 10,
      () => undefined,
    ),
  )
  clock.advance(1_001)
  asked[0]!.resolve([])
  await turn()
  clock.advance(10) // it is due again, and waits behind the other in both lines
  t.equal(asked.length, 2)
  started[0]![Symbol.dispose]()
  clock.advance(1_001)
  asked[1]!.resolve([])
  await turn()
  clock.advance(10)
  t.equal(asked.length, 3, 'the other has hung as well, and has its place')
})

t.test('a lookup that hangs has its place until it ends, whether anybody waits for it or not', async (t) => {
  const [clock, { asked, resolve }] = [manualClock(), standIn()]
  const watch = createNames(clock, resolve, 2)
  const [first] = ['a', 'b'].map((name) =>
    watch(
      name,
      () => 10,
      () => undefined,
    ),
  )
  clock.advance(1_001)
  for (const { resolve } of [...asked]) resolve([])
  await turn()
  clock.advance(10)
  t.strictSame(
    asked.map(({ name }) => name),
    ['a', 'b', 'a'],
  )
  first![Symbol.dispose]()
  t.equal(asked.length, 3)
  asked[2]!.resolve([])
  await turn()
  t.equal(asked[3]?.name, 'b')
})

t.test("asks the machine's own resolver, for all addresses", async (t) => {
  t.match((await systemResolve('localhost')).join(), /127\.0\.0\.1|::1/)
  await t.rejects(systemResolve('none.invalid'))
})

t.test(
  'eight lookups are under way at once, four of names that hung: half of the threads, and a quarter',
  async (t) => {
    const [clock, { asked, resolve }] = [manualClock(), standIn()]
    const watch = createNames(clock, resolve)
    for (let count = 0; count < 9; count++) {
      watch(
        String(count),
        () => 10,
        () => undefined,
      )
    }
    t.equal(asked.length, 8)
    clock.advance(1_001)
    for (const one of asked.slice(0, 8)) one.resolve([])
    await turn()
    t.equal(asked.length, 9)
    asked[8]!.resolve([])
    await turn()
    clock.advance(10)
    t.equal(asked.length, 14, 'four that hung, and the one that did not')
  },
)
