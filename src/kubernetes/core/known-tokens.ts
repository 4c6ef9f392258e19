/** Whose a token was, for a short while: by its digest, so that no token is kept. Pure: time is an argument. */

/** How long a token is known, and how many are: milliseconds. */
const KNOWN_MS = 10_000
const MAX_KNOWN = 10_000

export type KnownTokens = {
  readonly recall: (digest: string, nowMs: number) => string | undefined
  readonly remember: (digest: string, username: string, nowMs: number) => void
  /** When it was last. */
  readonly rememberedMs: (digest: string) => number | undefined
  readonly forget: (digest: string) => void
  readonly count: () => number
}

/**
 * @param knownMs how long each is known
 * @param maxTokens those known longest are forgotten above this many
 */
export function createKnownTokens(knownMs = KNOWN_MS, maxTokens = MAX_KNOWN): KnownTokens {
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
    rememberedMs(digest) {
      const found = known.get(digest)
      return found && found.untilMs - knownMs
    },
    forget: (digest) => void known.delete(digest),
    count: () => known.size,
  }
}
