import t from 'tap'
import type { Connection, Outlet } from '../../src/tunnel/connection.ts'
import { createDials, type Dials } from '../../src/tunnel/dials.ts'
import { createLiveness } from '../../src/tunnel/liveness.ts'
import { createScheduler } from '../../src/tunnel/scheduler.ts'
import { recordedCarrier } from './recorded-carrier.ts'

const carrier = recordedCarrier()
const outlet: Outlet = {
  carrier,
  scheduler: createScheduler<Connection>(
    carrier,
    () => 'nothing',
    () => {},
    () => false,
    () => 0,
  ),
  load: 0,
  state: 'open',
  liveness: createLiveness({ intervalMs: 5_000, timeoutMs: 12_000 }, 0),
  usedMs: 0,
}

function pendingDials(remembered: number, ...numbers: (number | bigint)[]): Dials {
  const dials = createDials(remembered)
  for (const random of numbers) dials.add(random, { outlet, lost: () => {} })
  return dials
}

t.test('whoever takes a dial out is the one who ends it', async (t) => {
  const dials = pendingDials(10, 1)
  t.ok(dials.take(1))
  t.notOk(dials.take(1))
  t.strictSame([dials.size(), dials.has(1)], [0, false])
  t.notOk(dials.answeredLate(1), 'it was answered')
})

t.test('the number of a cancelled dial is in use until its answer has come', async (t) => {
  const dials = pendingDials(10, 1, 2n ** 62n)
  t.ok(dials.cancel(2n ** 62n))
  t.notOk(dials.cancel(2n ** 62n))
  t.strictSame([dials.size(), dials.has(2n ** 62n)], [1, true])
  t.ok(dials.answeredLate(2n ** 62n))
  t.notOk(dials.has(2n ** 62n))
  t.notOk(dials.answeredLate(2n ** 62n), 'one answer for each')
})

t.test('a dial that was not pending is not remembered as cancelled', async (t) => {
  const dials = pendingDials(10)
  t.notOk(dials.cancel(1))
  t.notOk(dials.has(1))
  t.notOk(dials.answeredLate(1))
})

t.test(
  'of more cancelled dials than are remembered, the oldest give up their numbers and are still excused',
  async (t) => {
    const dials = pendingDials(2, 1, 2, 3)
    for (const random of [1, 2, 3]) dials.cancel(random)
    t.strictSame(
      [1, 2, 3].map((random) => dials.has(random)),
      [false, true, true],
    )
    t.strictSame(
      [99, 98, 2, 3, 3].map((random) => dials.answeredLate(random)),
      [true, false, true, true, false],
    )
  },
)
