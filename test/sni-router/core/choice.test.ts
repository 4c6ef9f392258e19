import t from 'tap'
import { inOrder } from '../../../src/sni-router/core/choice.ts'

const one = (name: string, state: 'up' | 'down', active: number, chosen: number) => ({
  name,
  health: { state, against: 0 },
  active,
  chosen,
})
const order = (...candidates: ReturnType<typeof one>[]): string =>
  inOrder(candidates)
    .map(({ name }) => name)
    .join('')

t.test('takes the fewest connections first, and of equals the one that was chosen longest ago', async (t) => {
  t.equal(order(one('a', 'up', 2, 1), one('b', 'up', 1, 9), one('c', 'up', 1, 8)), 'cba')
})

t.test('takes who is down last, but takes it', async (t) => {
  t.equal(order(one('a', 'down', 0, 0), one('b', 'up', 9, 9), one('c', 'down', 1, 0)), 'bac')
})
