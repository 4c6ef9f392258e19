import t from 'tap'
import { keepaliveMs } from '../../../src/proxy-server/core/keepalive.ts'

t.test('never pings all the time, and takes 0 for two hours', async (t) => {
  t.strictSame([0, 1, 999, 1_000, 3_600_000].map(keepaliveMs), [7_200_000, 1_000, 1_000, 1_000, 3_600_000])
})
