/** Whose a token was, for a short while: by its digest, so that no token is kept. Pure: time is an argument. */

export type KnownTokens = {
  readonly recall: (digest: string, nowMs: number) => string | undefined
  readonly remember: (digest: string, username: string, nowMs: number) => void
  readonly count: () => number
}

/**
 * @param knownMs how long each is known
 * @param maxTokens those known longest are forgotten above this many
 */
export function createKnownTokens(knownMs: number, maxTokens: number): KnownTokens {
  const known = new Map<string, { readonly username: string; readonly untilMs: number }>() // the oldest first

  return {
    recall(digest, nowMs) {
      const found = known.get(digest)
      return found !== undefined && found.untilMs > nowMs ? found.username : undefined
    },
    remember(digest, username, nowMs) {
      known.delete(digest)
      known.set(digest, { username, untilMs: nowMs + knownMs })
      for (const [oldest, { untilMs }] of known) {
        if (untilMs > nowMs && known.size <= maxTokens) break
        known.delete(oldest)
      }
    },
    count: () => known.size,
  }
}
