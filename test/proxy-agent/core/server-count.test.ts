import t from 'tap'
import { serverCount } from '../../../src/proxy-agent/core/server-count.ts'

t.test('believes the servers where leases are not counted, whatever the source', async (t) => {
  for (const source of ['', 'default', 'max'] as const) t.equal(serverCount(source, undefined)(3), 3)
})

t.test('believes the leases alone where they are counted', async (t) => {
  for (const source of ['', 'default'] as const) {
    t.equal(serverCount(source, () => 2)(5), 2)
    t.equal(serverCount(source, () => 2)(0), 2)
  }
})

t.test('takes the larger of the two for max, each time anew', async (t) => {
  let leases = 2
  const count = serverCount('max', () => leases)
  t.equal(count(5), 5)
  t.equal(count(1), 2)
  leases = 7
  t.equal(count(5), 7)
})
