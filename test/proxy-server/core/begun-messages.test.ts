import t from 'tap'
import { createBegunMessages } from '../../../src/proxy-server/core/begun-messages.ts'

const KIB = 1024
const MOST = 1_024 * KIB

/** Calls by name, and who gave up so far. */
function calls(...names: string[]) {
  const begun = createBegunMessages(MOST)
  const gaveUp: string[] = []
  const hold = Object.fromEntries(names.map((name) => [name, begun.join(() => void gaveUp.push(name))]))
  return { gaveUp, hold: (name: string, bytes: number) => hold[name]?.(bytes) }
}

t.test('lets all hold together what may be held, to the last byte', async (t) => {
  const { gaveUp, hold } = calls('a', 'b')
  hold('a', MOST - 100 * KIB)
  hold('b', 100 * KIB)
  t.strictSame(gaveUp, [])
  hold('b', 100 * KIB + 1)
  t.strictSame(gaveUp, ['a'])
})

t.test('the message that was begun first is given up first, and no more than need be', async (t) => {
  const { gaveUp, hold } = calls('a', 'b', 'c', 'd')
  hold('b', 300 * KIB)
  hold('a', 300 * KIB)
  hold('c', 300 * KIB)
  hold('b', 400 * KIB) // it goes on, and stays the first
  t.strictSame(gaveUp, [])
  hold('d', 300 * KIB)
  t.strictSame(gaveUp, ['b'])
  hold('d', 700 * KIB)
  t.strictSame(gaveUp, ['b', 'a'])
})

t.test('who has finished holds nothing, and begins anew behind the others', async (t) => {
  const { gaveUp, hold } = calls('a', 'b', 'c')
  hold('a', 500 * KIB)
  hold('b', 500 * KIB)
  hold('a', 0)
  hold('c', 400 * KIB)
  t.strictSame(gaveUp, [])
  hold('a', 500 * KIB)
  t.strictSame(gaveUp, ['b'])
})

t.test('a call that gave up is not asked again, and its end takes nothing from the others', async (t) => {
  const { gaveUp, hold } = calls('a', 'b', 'c')
  hold('a', 600 * KIB)
  hold('b', 600 * KIB)
  hold('a', 0)
  hold('c', 424 * KIB)
  t.strictSame(gaveUp, ['a'])
  hold('c', 424 * KIB + 1)
  t.strictSame(gaveUp, ['a', 'b'])
})

t.test('64 KiB of a message are nobody’s concern, however many begin one', async (t) => {
  const begun = createBegunMessages(MOST)
  const gaveUp: number[] = []
  for (let call = 0; call < 100; call++) begun.join(() => void gaveUp.push(call))(64 * KIB)
  t.strictSame(gaveUp, [])
  for (let call = 100; call < 200; call++) begun.join(() => void gaveUp.push(call))(64 * KIB + 1)
  t.equal(gaveUp.length, 100 - 15)
  t.equal(gaveUp[0], 100)
})
