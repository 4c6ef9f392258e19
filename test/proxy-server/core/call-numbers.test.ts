import t from 'tap'
import { createCallNumbers, REMEMBERED_ENDS } from '../../../src/proxy-server/core/call-numbers.ts'

t.test(
  'a connection keeps its agent’s number, and has another one where a connection of the call has it',
  async (t) => {
    const inUse = new Set<number | bigint>([1, 2, 7])
    const numbers = createCallNumbers((id) => inUse.has(id))
    t.equal(numbers.free(5), 5)
    t.equal(numbers.free(7), 3, 'the first that is free')
    inUse.add(3)
    t.equal(numbers.free(7), 4, 'and not one that was given out before')
  },
)

t.test('a number that has just ended is known and is nobody else’s', async (t) => {
  const numbers = createCallNumbers(() => false)
  numbers.ended(1)
  t.ok(numbers.hasEnded(1))
  t.notOk(numbers.hasEnded(2))
  t.equal(numbers.free(1), 2)
})

t.test(`so many ends are remembered, the last ones: ${REMEMBERED_ENDS}`, async (t) => {
  const numbers = createCallNumbers(() => false)
  for (let id = 1; id <= REMEMBERED_ENDS; id++) numbers.ended(id)
  t.ok(numbers.hasEnded(1))
  numbers.ended(1_000)
  t.notOk(numbers.hasEnded(1))
  t.ok(numbers.hasEnded(2))
  t.ok(numbers.hasEnded(1_000))
})
