import t from 'tap'
import { createFairQueue } from '../../../src/proxy-server/core/fair-queue.ts'
import { createRandom } from '../../platform/random.ts'

const never = (): boolean => false

function filled(most: number, ...items: string[]) {
  const queue = createFairQueue<string>(most, never)
  for (const item of items) queue.add(item, item[0]!)
  return queue
}

t.test('gives each source its turn, and the items of one in their order', async (t) => {
  const queue = filled(10, 'a1', 'a2', 'a3', 'b1', 'c1', 'c2')
  t.equal(queue.size(), 6)
  t.strictSame(
    Array.from({ length: 7 }, () => queue.take()),
    ['a1', 'b1', 'c1', 'a2', 'c2', 'a3', undefined],
  )
  t.equal(queue.size(), 0)
})

t.test('a source that comes back has no turn before those that wait', async (t) => {
  const queue = filled(10, 'a1', 'b1', 'b2')
  t.equal(queue.take(), 'a1')
  queue.add('a2', 'a')
  t.strictSame([queue.take(), queue.take(), queue.take()], ['b1', 'a2', 'b2'])
})

t.test('of too many the newest of the largest source goes, and who comes goes before an equal', async (t) => {
  const queue = filled(4, 'a1', 'a2', 'a3', 'b1')
  t.equal(queue.add('b2', 'b'), 'a3')
  t.equal(queue.add('a3', 'a'), 'a3')
  t.equal(queue.add('c1', 'c'), 'a2')
  t.equal(queue.add('c2', 'c'), 'c2', 'b has no more than it')
  t.equal(queue.add('d1', 'd'), 'b2')
  t.equal(queue.add('e1', 'e'), 'e1', 'all have one')
  t.equal(queue.size(), 4)
})

t.test('of the largest source who waits in vain goes first', async (t) => {
  const stale = new Set(['a1'])
  const queue = createFairQueue<string>(2, (item) => stale.has(item))
  queue.add('a1', 'a')
  queue.add('a2', 'a')
  t.equal(queue.add('b1', 'b'), 'a1')
  t.equal(queue.add('b2', 'b'), 'b2')
})

t.test('forgets who goes, and who is not there', async (t) => {
  const queue = filled(4, 'a1', 'a2', 'b1')
  queue.delete('a1', 'a')
  queue.delete('a1', 'a')
  queue.delete('z1', 'z')
  t.equal(queue.size(), 2)
  t.strictSame([queue.take(), queue.take(), queue.take()], ['a2', 'b1', undefined])
})

t.test(
  'whatever happens, nobody is lost or served twice, and no source waits for two turns of another one',
  async (t) => {
    for (let seed = 1; seed <= 50; seed++) {
      const random = createRandom(seed)
      const queue = createFairQueue<string>(20, never)
      const inside = new Map<string, string>()
      const servedSince = new Map<string, Map<string, number>>() // by source that waits: turns of the others
      for (let step = 0; step < 400; step++) {
        const source = random.pick(['a', 'b', 'c', 'd', 'e'])
        const what = random.below(10)
        if (what < 6) {
          const item = `${source}${step}`
          inside.set(item, source)
          if (!servedSince.has(source)) servedSince.set(source, new Map())
          const gone = queue.add(item, source)
          if (gone !== undefined && !inside.delete(gone)) t.fail(`seed ${seed}: ${gone} was not there`)
        } else if (what < 7) {
          const [item] = [...inside].find(([, its]) => its === source) ?? []
          if (item !== undefined) inside.delete(item)
          queue.delete(item ?? 'nobody', source)
        } else {
          const item = queue.take()
          if (item === undefined) {
            if (inside.size > 0) t.fail(`seed ${seed}: nobody of ${inside.size}`)
            continue
          }
          if (!inside.delete(item)) t.fail(`seed ${seed}: ${item} was not there`)
          servedSince.delete(item[0]!)
          for (const turns of servedSince.values()) turns.set(item[0]!, (turns.get(item[0]!) ?? 0) + 1)
        }
        const waiting = new Set(inside.values())
        for (const source of servedSince.keys()) if (!waiting.has(source)) servedSince.delete(source)
        for (const source of waiting) if (!servedSince.has(source)) servedSince.set(source, new Map())
        for (const turns of servedSince.values()) {
          for (const count of turns.values()) if (count > 1) t.fail(`seed ${seed}: a source had ${count} turns`)
        }
        if (queue.size() !== inside.size) t.fail(`seed ${seed}: ${queue.size()} of ${inside.size}`)
      }
    }
    t.pass()
  },
)
