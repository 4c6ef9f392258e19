/** Which tokens are due to be reviewed again: each so long after it was reviewed last, the longest ago first. Pure: time is an argument. */

export type ReviewRounds = {
  /** @param reviewedMs when it was reviewed last, as far as that is known */
  readonly begin: (digest: string, reviewedMs: number) => void
  readonly end: (digest: string) => void
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
  const reviewed = new Map<string, number>() // when; the longest ago first, but for those that come
  const underWay = new Set<string>()

  return {
    begin: (digest, reviewedMs) => void reviewed.set(digest, reviewedMs),
    end: (digest) => void reviewed.delete(digest),
    due(nowMs) {
      const due: string[] = []
      for (const [digest, reviewedMs] of reviewed) {
        if (underWay.size >= mostUnderWay) break
        if (nowMs - reviewedMs < everyMs || underWay.has(digest)) continue
        underWay.add(digest)
        due.push(digest)
      }
      for (const digest of due) {
        reviewed.delete(digest)
        reviewed.set(digest, nowMs)
      }
      return due
    },
    answered: (digest) => void underWay.delete(digest),
  }
}
