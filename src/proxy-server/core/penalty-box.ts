/**
 * Who has handshakes made that come to nothing. A handshake costs the server a millisecond in which nobody else is served, and who it
 * is for is known at its end. So whoever has too many made in vain owes; and the next ones from where that client alone comes from
 * wait. Who comes from an address where others come from as well, as all do behind a front door that does not tell of them, is never
 * made to wait for them. Pure: time is an argument. Source: docs/tenancy.md, docs/adr/0039.
 */

/** That a client, or the clients of a cluster, may have made in vain at once. */
export const MAX_VAIN = 50
/** And again in a second, also while it owes. */
export const VAIN_PER_SECOND = 5
/** Addresses that are remembered; of more, those from which nobody has come for longest are forgotten. */
export const MAX_SOURCES = 10_000

const VAIN_MS = 1_000 / VAIN_PER_SECOND

export type PenaltyBox = {
  /** A client has shown who it is. @param owner whose clients owe together */
  readonly came: (source: string, owner: string) => void
  /** It has gone, or been told so at once, and no dial was made. @returns whether its owner owes from now on, and did not before */
  readonly vain: (owner: string, nowMs: number) => boolean
  /** Who has come from a source broke off before it had shown who it is. @returns who owes for it from now on, and did not before */
  readonly brokeOff: (source: string, nowMs: number) => string | undefined
  /** Who owes, of whom alone it is known that he comes from there. */
  readonly debtor: (source: string, nowMs: number) => string | undefined
}

/** @property untilMs when nothing is owed any more */
type Debt = { untilMs: number; owes: boolean }

export function createPenaltyBox(): PenaltyBox {
  const SHARED = Symbol()
  const sources = new Map<string, string | typeof SHARED>() // who came last comes last
  const debts = new Map<string, Debt>() // the same
  let first: string | undefined
  let hasSeveral = false // else nobody suffers

  function only(source: string): string | undefined {
    const owner = sources.get(source)
    return hasSeveral && typeof owner === 'string' ? owner : undefined
  }

  /** Nobody's debt outlives its last handshake by more than all of them take. */
  function forgive(nowMs: number): void {
    for (const [owner, { untilMs }] of debts) {
      if (untilMs > nowMs) return
      debts.delete(owner)
    }
  }

  function vain(owner: string, nowMs: number): boolean {
    const before = debts.get(owner)
    const oldMs = Math.max(0, (before?.untilMs ?? 0) - nowMs)
    const owedMs = Math.min(oldMs + VAIN_MS, MAX_VAIN * VAIN_MS)
    const owed = oldMs > 0 && before?.owes === true
    const owes = owed || owedMs >= MAX_VAIN * VAIN_MS
    debts.delete(owner)
    debts.set(owner, { untilMs: nowMs + owedMs, owes })
    forgive(nowMs)
    return owes && !owed
  }

  return {
    came(source, owner) {
      first ??= owner
      if (owner !== first) hasSeveral = true
      const before = sources.get(source) ?? owner
      sources.delete(source)
      sources.set(source, before === owner ? owner : SHARED)
      if (sources.size > MAX_SOURCES) sources.delete(sources.keys().next().value!)
    },
    vain,
    brokeOff(source, nowMs) {
      const owner = only(source)
      return owner !== undefined && vain(owner, nowMs) ? owner : undefined
    },
    debtor(source, nowMs) {
      const owner = only(source)
      const debt = owner === undefined ? undefined : debts.get(owner)
      return debt?.owes && debt.untilMs > nowMs ? owner : undefined
    },
  }
}
