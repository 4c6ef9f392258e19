/**
 * Bytes that wait for a socket or for the peer, counted against the limit of one stream, of its cluster where there are many, and
 * of the whole process. Over a limit, whoever holds most gives up its largest connection: never the small one that happened to come last.
 * Pure. Source: docs/protocol.md section 3.
 */

export type Budget = {
  limitBytes: number
  usedBytes: number
  /** Bytes by which windows have grown: what may come to wait besides. */
  grownBytes: number
  readonly parent: Budget | undefined
  readonly children: Set<Budget>
  /** It is done with: it leaves its parent when the last byte is given back. */
  removed: boolean
  /** Closes the connection that holds most of this budget. */
  closeLargest: () => void
}

export function createBudget(limitBytes: number, parent?: Budget): Budget {
  const budget: Budget = {
    limitBytes,
    usedBytes: 0,
    grownBytes: 0,
    parent,
    children: new Set(),
    removed: false,
    closeLargest: () => {},
  }
  parent?.children.add(budget)
  return budget
}

/** What it still holds counts until it is given back: a stream may end before its last sockets have taken everything. */
export function removeBudget(budget: Budget): void {
  budget.removed = true
  if (budget.usedBytes === 0) budget.parent?.children.delete(budget)
}

/** @param bytes negative gives back */
export function spend(budget: Budget, bytes: number): void {
  budget.usedBytes += bytes
  if (!budget.parent) return
  spend(budget.parent, bytes)
  if (budget.removed && budget.usedBytes === 0) budget.parent.children.delete(budget)
}

/** Counts bytes that arrived, and makes room when they are too many: on each level whoever holds most gives up. */
export function spendWithin(budget: Budget, bytes: number): void {
  spend(budget, bytes)
  if (budget.usedBytes > budget.limitBytes) budget.closeLargest()
  let held = budget
  for (let parent = budget.parent; parent; held = parent, parent = parent.parent) {
    if (parent.usedBytes <= parent.limitBytes) continue
    let most = held
    for (const child of parent.children) if (child.usedBytes > most.usedBytes) most = child
    most.closeLargest()
  }
}

/**
 * Reserves room for a window that grows, so that those who stall later do not bring the stream over its limit: half of the
 * limit may be reserved, and nothing from three quarters of it on.
 *
 * @returns whether there was room
 */
export function reserve(budget: Budget, bytes: number): boolean {
  for (let each: Budget | undefined = budget; each; each = each.parent) {
    if (each.usedBytes * 4 >= each.limitBytes * 3 || (each.grownBytes + bytes) * 2 > each.limitBytes) return false
  }
  release(budget, -bytes)
  return true
}

/** Gives back what was reserved. */
export function release(budget: Budget, bytes: number): void {
  for (let each: Budget | undefined = budget; each; each = each.parent) each.grownBytes -= bytes
}
