/** Which tokens are due to be reviewed again: each so long after it was reviewed last, the longest ago first. Pure: time is an argument. */

export type ReviewRounds = {
  /** @param reviewedMs when it was reviewed last, as far as that is known */
  readonly begin: (digest: string, reviewedMs: number) => void
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
  const dueMsOf = new Map<string, number>() // the longest ago first, but for those that come
  const hastened = new Map<string, number>() // likewise
  const underWay = new Set<string>()

  return {
    begin: (digest, reviewedMs) => void dueMsOf.set(digest, reviewedMs + everyMs),
    end(digest) {
      dueMsOf.delete(digest)
      hastened.delete(digest)
    },
    hasten(digest, dueMs) {
      if (dueMsOf.has(digest)) hastened.set(digest, dueMs)
    },
    due(nowMs) {
      const due: string[] = []
      for (const [digest, dueMs] of [...hastened, ...dueMsOf]) {
        if (underWay.size >= mostUnderWay) break
        if (nowMs < dueMs || underWay.has(digest)) continue
        underWay.add(digest)
        due.push(digest)
      }
      for (const digest of due) {
        hastened.delete(digest)
        dueMsOf.delete(digest)
        dueMsOf.set(digest, nowMs + everyMs)
      }
      return due
    },
    answered: (digest) => void underWay.delete(digest),
  }
}
