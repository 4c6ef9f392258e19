import t from 'tap'
import {
  createPenaltyBox,
  MAX_VAIN,
  type PenaltyBox,
  VAIN_PER_SECOND,
} from '../../../src/proxy-server/core/penalty-box.ts'

const DEBT_MS = (1_000 * MAX_VAIN) / VAIN_PER_SECOND

/** @returns how often it was said that the cluster owes from now on */
function inVain(box: PenaltyBox, cluster: string, count: number, nowMs: number): number {
  return Array.from({ length: count }, () => box.vain(cluster, nowMs)).filter(Boolean).length
}

t.test('who has too many made in vain owes, and nobody else', async (t) => {
  const box = createPenaltyBox()
  t.ok(box.isEmpty())
  t.equal(inVain(box, 'evil', MAX_VAIN - 1, 0), 0)
  t.notOk(box.owes('evil', 0), 'not yet')
  t.equal(inVain(box, 'evil', 1, 0), 1)
  t.equal(inVain(box, 'evil', 20, 0), 0, 'that is said once')
  t.ok(box.owes('evil', 0))
  t.notOk(box.owes('calm', 0))
  t.notOk(box.isEmpty())
})

t.test('owes until nothing is left of it, however much it was, and may then have as many again', async (t) => {
  const box = createPenaltyBox()
  inVain(box, 'evil', 10 * MAX_VAIN, 5_000)
  t.ok(box.owes('evil', 5_000 + DEBT_MS - 1))
  t.notOk(box.owes('evil', 5_000 + DEBT_MS))
  t.ok(box.isEmpty(), 'that is forgotten')
  t.equal(inVain(box, 'evil', MAX_VAIN - 1, 5_000 + DEBT_MS), 0)
  t.equal(inVain(box, 'evil', 1, 5_000 + DEBT_MS), 1)
})

t.test('goes on owing while it has as many made in vain as it is let', async (t) => {
  const box = createPenaltyBox()
  let nowMs = 0
  inVain(box, 'evil', MAX_VAIN, nowMs)
  let said = 0
  for (let count = 0; count < 100 && box.owes('evil', nowMs); count++) {
    nowMs += 1_000 / VAIN_PER_SECOND
    said += inVain(box, 'evil', 1, nowMs)
  }
  t.ok(box.owes('evil', nowMs))
  t.equal(said, 0)
})

t.test('never owes who has fewer made than that', async (t) => {
  const box = createPenaltyBox()
  let said = 0
  for (let nowMs = 0; nowMs < 60_000; nowMs += 1_000 / VAIN_PER_SECOND) said += inVain(box, 'calm', 1, nowMs)
  t.equal(said, 0)
})

t.test('a dial pays for one in vain, and earns nothing', async (t) => {
  const box = createPenaltyBox()
  for (let count = 0; count < 100; count++) box.ofUse('calm', 0)
  t.ok(box.isEmpty())
  let said = 0
  for (let count = 0; count < 10 * MAX_VAIN; count++) {
    said += inVain(box, 'calm', 1, 0)
    box.ofUse('calm', 0)
  }
  t.equal(said, 0)
  t.equal(inVain(box, 'evil', MAX_VAIN, 0), 1)
  for (let count = 0; count < MAX_VAIN; count++) box.ofUse('evil', 0)
  t.notOk(box.owes('evil', 0))
})

t.test('forgets a cluster that is gone', async (t) => {
  const box = createPenaltyBox()
  inVain(box, 'evil', MAX_VAIN, 0)
  inVain(box, 'calm', MAX_VAIN, 0)
  box.keep((cluster) => cluster === 'calm')
  t.notOk(box.owes('evil', 0))
  t.ok(box.owes('calm', 0))
})
