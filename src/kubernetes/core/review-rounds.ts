/**
 * Which tokens are due to be reviewed again: each so long after it was reviewed last, the longest ago first, and users in turn: who has very many tokens
 * delays its own only. Pure: time is an argument.
 */

export type ReviewRounds = {
  /** @param reviewedMs when it was reviewed last, as far as that is known */
  readonly begin: (digest: string, user: string, reviewedMs: number) => void
  readonly end: (digest: string) => void
  /** It is due at that time already, and before all others then. */
  readonly hasten: (digest: string, dueMs: number) => void
  /** Those whose time has come: they are under way from now on. */
  readonly due: (nowMs: number) => string[]
  /** No longer under way. */
  readonly answered: (digest: string) => void
}

/**
 * @param everyMs from the beginning of one review of a token to the next
 * @param mostUnderWay what is due beyond that waits until others are answered
 */
export function createReviewRounds(everyMs: number, mostUnderWay: number): ReviewRounds {
  const users = new Map<string, Map<string, number>>() // when each of their tokens is due; those whose turn was longest ago first
  const userOf = new Map<string, string>()
  const hastened = new Map<string, number>()
  const underWay = new Set<string>()

  /** The first of them that is due. */
  function firstDue(dueMsOf: ReadonlyMap<string, number>, nowMs: number): string | undefined {
    if (underWay.size >= mostUnderWay) return undefined
    for (const [digest, dueMs] of dueMsOf) if (nowMs >= dueMs && !underWay.has(digest)) return digest
    return undefined
  }

  /** It is the last of its user from now on, and its user the last of all. */
  function take(digest: string, nowMs: number): string {
    const user = userOf.get(digest) ?? ''
    const dueMsOf = users.get(user)
    underWay.add(digest)
    hastened.delete(digest)
    dueMsOf?.delete(digest)
    dueMsOf?.set(digest, nowMs + everyMs)
    if (dueMsOf && users.delete(user)) users.set(user, dueMsOf)
    return digest
  }

  return {
    begin(digest, user, reviewedMs) {
      userOf.set(digest, user)
      const dueMsOf = users.get(user) ?? new Map<string, number>()
      users.set(user, dueMsOf.set(digest, reviewedMs + everyMs))
    },
    end(digest) {
      const user = userOf.get(digest) ?? ''
      const dueMsOf = users.get(user)
      dueMsOf?.delete(digest)
      if (dueMsOf?.size === 0) users.delete(user)
      userOf.delete(digest)
      hastened.delete(digest)
    },
    hasten(digest, dueMs) {
      if (userOf.has(digest)) hastened.set(digest, dueMs)
    },
    due(nowMs) {
      const due: string[] = []
      for (let digest = firstDue(hastened, nowMs); digest !== undefined; digest = firstDue(hastened, nowMs)) {
        due.push(take(digest, nowMs))
      }
      for (const dueMsOf of users.values()) {
        // who has had a turn comes once more, behind the others
        const digest = firstDue(dueMsOf, nowMs)
        if (digest !== undefined) due.push(take(digest, nowMs))
      }
      return due
    },
    answered: (digest) => void underWay.delete(digest),
  }
}
