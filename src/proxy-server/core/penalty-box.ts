/**
 * Clusters whose clients have handshakes made that come to nothing. A handshake costs the server a millisecond in which nobody else is
 * served, and who it is for is known at its end: so what was made in vain is owed, and those who come later wait for it. A dial pays for
 * one, as dials are bounded already. Pure: time is an argument. Source: docs/tenancy.md, docs/adr/0039.
 */

/** That a cluster may have made in vain at once. */
export const MAX_VAIN = 50
/** And again in a second, also while it owes. */
export const VAIN_PER_SECOND = 5

const VAIN_MS = 1_000 / VAIN_PER_SECOND

export type PenaltyBox = {
  /** @returns whether the cluster owes from now on, and did not before */
  readonly vain: (cluster: string, nowMs: number) => boolean
  /** A client of it had something dialled. */
  readonly ofUse: (cluster: string, nowMs: number) => void
  readonly owes: (cluster: string, nowMs: number) => boolean
  /** Whether anybody may owe something: else nobody needs to be looked for. */
  readonly isEmpty: () => boolean
  /** Forgets the others, which are of this server no longer. */
  readonly keep: (isKnown: (cluster: string) => boolean) => void
}

/** @property untilMs when nothing is owed any more */
type Debt = { untilMs: number; owes: boolean }

export function createPenaltyBox(): PenaltyBox {
  const debts = new Map<string, Debt>()

  /** What is still owed: a debt that is over is none. */
  function debtOf(cluster: string, nowMs: number): Debt | undefined {
    const debt = debts.get(cluster)
    if (!debt || debt.untilMs > nowMs) return debt
    debts.delete(cluster)
    return undefined
  }

  return {
    vain(cluster, nowMs) {
      const debt = debtOf(cluster, nowMs) ?? { untilMs: nowMs, owes: false }
      const mostMs = MAX_VAIN * VAIN_MS
      debt.untilMs = Math.min(debt.untilMs + VAIN_MS, nowMs + mostMs)
      debts.set(cluster, debt)
      if (debt.owes || debt.untilMs < nowMs + mostMs) return false
      debt.owes = true
      return true
    },
    ofUse(cluster, nowMs) {
      const debt = debtOf(cluster, nowMs)
      if (debt) debt.untilMs -= VAIN_MS
    },
    owes: (cluster, nowMs) => debtOf(cluster, nowMs)?.owes ?? false,
    isEmpty: () => debts.size === 0,
    keep(isKnown) {
      for (const cluster of debts.keys()) if (!isKnown(cluster)) debts.delete(cluster)
    },
  }
}
