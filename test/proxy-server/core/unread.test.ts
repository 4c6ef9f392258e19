import t from 'tap'
import { createUnreadBytes } from '../../../src/proxy-server/core/unread.ts'
import { createBudget, spendWithin } from '../../../src/tunnel/budget.ts'

function setup(limitBytes = 100) {
  const all = createBudget(limitBytes)
  const budget = createBudget(limitBytes, all)
  let due: (() => void) | undefined
  const unread = createUnreadBytes(budget, (ms, callback) => {
    t.equal(ms, 100)
    t.equal(due, undefined, 'one look at a time')
    due = callback
    return { [Symbol.dispose]() {} }
  })
  const client = (bytes: number) => {
    const one = { bytes, givenUp: 0, watch: (_on: boolean) => {} }
    const joined = unread.join(
      () => one.bytes,
      () => {
        one.givenUp++
        one.bytes = 0
      },
    )
    return Object.assign(one, joined)
  }
  const look = (): boolean => {
    const now = due
    due = undefined
    now?.()
    return now !== undefined
  }
  return { all, budget, client, look }
}

t.test('counts what those who are watched have, as it changes', async (t) => {
  const { all, client, look } = setup()
  const [one, other, unwatched] = [client(30), client(20), client(1_000)]
  one.watch(true)
  other.watch(true)
  t.equal(all.usedBytes, 0, 'not yet')
  look()
  t.equal(all.usedBytes, 50)
  one.bytes = 40
  other.bytes = 5
  look()
  t.equal(all.usedBytes, 45)
  one.watch(false)
  t.equal(all.usedBytes, 5, 'at once')
  one.watch(false)
  other.watch(false)
  t.equal(all.usedBytes, 0)
  t.equal(unwatched.givenUp, 0)
})

t.test('looks as long as anybody is watched, and again when somebody is', async (t) => {
  const { client, look } = setup()
  const one = client(1)
  t.notOk(look())
  one.watch(true)
  one.watch(true)
  t.ok(look())
  t.ok(look())
  one.watch(false)
  t.ok(look(), 'for the last time')
  t.notOk(look())
  one.watch(true)
  t.ok(look())
})

t.test('has whoever has most give it up, once, when there is too much', async (t) => {
  const { all, client, look } = setup()
  const clients = [client(30), client(50), client(20)]
  for (const one of clients) one.watch(true)
  look()
  t.strictSame(
    clients.map(({ givenUp }) => givenUp),
    [0, 0, 0],
    'at the limit',
  )
  clients[2]!.bytes = 21
  look()
  t.strictSame(
    clients.map(({ givenUp }) => givenUp),
    [0, 1, 0],
  )
  t.equal(all.usedBytes, 51)
  look()
  clients[1]!.watch(false)
  t.equal(all.usedBytes, 51, 'who has given up counts no more')
})

t.test('gives up for what others hold only when it holds most', async (t) => {
  const { all, client, look } = setup()
  const agent = createBudget(100, all)
  let closed = 0
  agent.closeLargest = () => {
    closed++
    spendWithin(agent, -60)
  }
  const one = client(40)
  one.watch(true)
  spendWithin(agent, 61)
  look()
  t.strictSame([closed, one.givenUp], [1, 0])
  one.bytes = 100
  look()
  t.strictSame([closed, one.givenUp], [1, 1])
  t.equal(all.usedBytes, 1)
})
