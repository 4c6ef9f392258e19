import t from 'tap'
import {
  createPenaltyBox,
  MAX_SOURCES,
  MAX_VAIN,
  type PenaltyBox,
  VAIN_PER_SECOND,
} from '../../../src/proxy-server/core/penalty-box.ts'

/** Two owners that come from addresses of their own. */
function two(): PenaltyBox {
  const box = createPenaltyBox()
  box.came('a', 'evil')
  box.came('b', 'calm')
  return box
}

const DEBT_MS = (1_000 * MAX_VAIN) / VAIN_PER_SECOND

/** @returns how often it was said that somebody owes from now on */
function inVain(box: PenaltyBox, owner: string, count: number, nowMs: number): number {
  return Array.from({ length: count }, () => box.vain(owner, nowMs)).filter(Boolean).length
}

t.test('who has too many made in vain owes, where he alone comes from', async (t) => {
  const box = two()
  t.equal(inVain(box, 'evil', MAX_VAIN - 1, 0), 0)
  t.equal(box.debtor('a', 0), undefined, 'not yet')
  t.equal(inVain(box, 'evil', 1, 0), 1)
  t.equal(inVain(box, 'evil', 20, 0), 0, 'that is said once')
  t.equal(box.debtor('a', 0), 'evil')
  t.equal(box.debtor('b', 0), undefined)
  t.equal(box.debtor('elsewhere', 0), undefined)
})

t.test('owes until nothing is left of it, however much it was, and may then have as many again', async (t) => {
  const box = two()
  inVain(box, 'evil', 10 * MAX_VAIN, 5_000)
  t.equal(box.debtor('a', 5_000 + DEBT_MS - 1), 'evil')
  t.equal(box.debtor('a', 5_000 + DEBT_MS), undefined)
  t.equal(inVain(box, 'evil', MAX_VAIN - 1, 5_000 + DEBT_MS), 0)
  t.equal(inVain(box, 'evil', 1, 5_000 + DEBT_MS), 1)
})

t.test('goes on owing while it has as many made in vain as it is let', async (t) => {
  const box = two()
  let nowMs = 0
  inVain(box, 'evil', MAX_VAIN, nowMs)
  let said = 0
  for (let count = 0; count < 100 && box.debtor('a', nowMs) === 'evil'; count++) {
    nowMs += 1_000 / VAIN_PER_SECOND
    said += inVain(box, 'evil', 1, nowMs)
  }
  t.equal(box.debtor('a', nowMs), 'evil')
  t.equal(said, 0)
})

t.test('never owes who has fewer made than that, and others owe nothing for him', async (t) => {
  const box = two()
  let said = 0
  for (let nowMs = 0; nowMs < 60_000; nowMs += 1_000 / VAIN_PER_SECOND) {
    said += inVain(box, 'evil', 1, nowMs) + inVain(box, 'calm', 1, nowMs)
  }
  t.equal(said, 0)
  inVain(box, 'evil', MAX_VAIN, 60_000)
  t.equal(box.debtor('b', 60_000), undefined)
})

t.test('waits for nobody where others come from as well, whoever came first or last', async (t) => {
  const box = two()
  box.came('door', 'evil')
  inVain(box, 'evil', MAX_VAIN, 0)
  t.equal(box.debtor('door', 0), 'evil', 'nobody else yet')
  box.came('door', 'calm')
  t.equal(box.debtor('door', 0), undefined)
  box.came('door', 'evil')
  box.came('door', 'evil')
  t.equal(box.debtor('door', 0), undefined, 'and never again')
})

t.test('nobody waits while there is one owner alone: it is nobody’s loss but his', async (t) => {
  const box = createPenaltyBox()
  box.came('a', 'evil')
  inVain(box, 'evil', MAX_VAIN, 0)
  t.equal(box.debtor('a', 0), undefined)
  t.equal(box.brokeOff('a', 0), undefined)
  box.came('b', 'calm')
  t.equal(box.debtor('a', 0), 'evil')
})

t.test('who breaks off owes as well, where one owner alone comes from', async (t) => {
  const box = two()
  const owing = Array.from({ length: MAX_VAIN + 5 }, () => box.brokeOff('a', 0))
  t.strictSame(
    owing.filter((owner) => owner !== undefined),
    ['evil'],
  )
  t.equal(box.debtor('a', 0), 'evil')
  box.came('shared', 'evil')
  box.came('shared', 'calm')
  for (let count = 0; count < 2 * MAX_VAIN; count++) {
    for (const source of ['shared', 'of strangers']) owing.push(box.brokeOff(source, 20_000))
  }
  t.equal(owing.filter((owner) => owner !== undefined).length, 1)
  t.equal(box.debtor('b', 20_000), undefined)
  t.equal(box.debtor('of strangers', 20_000), undefined)
})

t.test('remembers so many sources, and forgets those from which nobody has come for longest', async (t) => {
  const box = two()
  inVain(box, 'evil', MAX_VAIN, 0)
  for (let count = 2; count < MAX_SOURCES; count++) box.came(`s${count}`, 'calm')
  box.came('a', 'evil')
  box.came('one more', 'calm')
  t.equal(box.debtor('a', 0), 'evil')
  inVain(box, 'calm', MAX_VAIN, 0)
  t.equal(box.debtor('b', 0), undefined, 'forgotten')
  t.equal(box.debtor('s2', 0), 'calm')
})

t.test('forgets what nobody owes any more', async (t) => {
  const box = two()
  inVain(box, 'evil', MAX_VAIN, 0)
  inVain(box, 'calm', 1, 2 * DEBT_MS)
  t.equal(inVain(box, 'evil', MAX_VAIN, 3 * DEBT_MS), 1)
})
