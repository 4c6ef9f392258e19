/**
 * Which tokens are due to be reviewed again: each so long after it was reviewed last, the longest ago first, and users in turn: who has very many tokens
 * delays its own only. Pure: time is an argument.
 */

export type ReviewRounds = {
  /** @param reviewedMs when it was reviewed last, as far as that is known */
  readonly begin: (digest: string, user: string, reviewedMs: number) => void
  readonly end: (digest: string) => void
  /** It is due at that time already, and before all others of its user then. */
  readonly hasten: (digest: string, dueMs: number) => void
  /** Those whose time has come: they are under way from now on. */
  readonly due: (nowMs: number) => string[]
  /** No longer under way. */
  readonly answered: (digest: string) => void
}

/** Of one user: when each is due, and those that are due earlier. */
type Tokens = { readonly dueMsOf: Map<string, number>; readonly hastened: Map<string, number> }

/**
 * @param everyMs from the beginning of one review of a token to the next
 * @param mostUnderWay what is due beyond that waits until others are answered
 */
export function createReviewRounds(everyMs: number, mostUnderWay: number): ReviewRounds {
  const users = new Map<string, Tokens>() // those whose turn was longest ago first
  const userOf = new Map<string, string>()
  const underWay = new Set<string>()

  /** The first of them that is due. */
  function firstDue(dueMsOf: ReadonlyMap<string, number>, nowMs: number): string | undefined {
    if (underWay.size >= mostUnderWay) return undefined
    for (const [digest, dueMs] of dueMsOf) if (nowMs >= dueMs && !underWay.has(digest)) return digest
    return undefined
  }

  /** It is the last of its user from now on, and its user the last of all. */
  function take(digest: string, user: string, tokens: Tokens, nowMs: number): string {
    underWay.add(digest)
    tokens.hastened.delete(digest)
    tokens.dueMsOf.delete(digest)
    tokens.dueMsOf.set(digest, nowMs + everyMs)
    users.delete(user)
    users.set(user, tokens)
    return digest
  }

  return {
    begin(digest, user, reviewedMs) {
      userOf.set(digest, user)
      const tokens = users.get(user) ?? { dueMsOf: new Map(), hastened: new Map() }
      users.set(user, tokens)
      tokens.dueMsOf.set(digest, reviewedMs + everyMs)
    },
    end(digest) {
      const user = userOf.get(digest) ?? ''
      const tokens = users.get(user)
      tokens?.dueMsOf.delete(digest)
      tokens?.hastened.delete(digest)
      if (tokens?.dueMsOf.size === 0) users.delete(user)
      userOf.delete(digest)
    },
    hasten: (digest, dueMs) => void users.get(userOf.get(digest) ?? '')?.hastened.set(digest, dueMs),
    due(nowMs) {
      const due: string[] = []
      for (const [user, tokens] of users) {
        // who has had a turn comes once more, behind the others
        const digest = firstDue(tokens.hastened, nowMs) ?? firstDue(tokens.dueMsOf, nowMs)
        if (digest !== undefined) due.push(take(digest, user, tokens, nowMs))
      }
      return due
    },
    answered: (digest) => void underWay.delete(digest),
  }
}
