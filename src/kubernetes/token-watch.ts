/**
 * Reviews the tokens of agents that are connected again and again, so that one which is no good any more ends what it opened. One token is one review,
 * however many connections it has opened. An API server that cannot be asked ends nothing. When each is due: core/review-rounds.ts.
 */
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { ApiClient } from './api-client.ts'
import type { KnownTokens } from './core/known-tokens.ts'
import { createReviewRounds } from './core/review-rounds.ts'
import { type ExpectedAgent, isReview, type Judgement, type TokenLoss, tokenEndUnixMs } from './core/token-review.ts'
import { askWhose, digestOf } from './token-question.ts'

/** From one review of a token to the next: milliseconds. Two and what they take are within the five seconds of `docs/certificates.md`. */
export const REVIEW_EVERY_MS = 3_000
/** After a first refusal: milliseconds. */
const CONFIRM_MS = 1_000
/** In a row. An API server says that a token is no good, too, when it cannot look it up itself, and then of all tokens at once. */
const REFUSALS = 2
/** Reviews of tokens that are shown already, besides those of agents that come: more tokens than this in REVIEW_EVERY_MS take their turns. */
export const REVIEWS_PER_SECOND = 200
/** Most of them under way: no more connections to the API server are there for them. */
const MAX_UNDER_WAY = 32
/** Between two looks at what is due: milliseconds. */
const LOOK_MS = 100
/** No failure for so long, milliseconds: the API server can be asked again. */
const QUIET_MS = 10_000

/** @param lost called once at most, when the token is no longer good. Disposing what it gives ends that. */
export type FollowToken = (lost: (why: TokenLoss, reason: string) => void) => Disposable
export type TokenHolder = {
  readonly token: string
  /** Whose it was found to be. */
  readonly username: string
  readonly lost: Parameters<FollowToken>[0]
}
export type TokenWatch = Disposable & {
  readonly follow: (holder: TokenHolder) => Disposable
}

export type TokenWatchDeps = {
  /** With a rate of its own: agents that come do not wait for this. */
  readonly api: ApiClient
  readonly expected: ExpectedAgent
  readonly known: KnownTokens
  readonly clock: Clock
  readonly log: Log
  readonly reviewedAgain: (outcome: Judgement['kind'] | 'failed') => void
}

/** A token, kept for as long as somebody is connected by it. */
type Watched = {
  readonly token: string
  readonly holders: Set<TokenHolder>
  /** In a row. */
  refusals: number
}

export function createTokenWatch(deps: TokenWatchDeps): TokenWatch {
  const { api, expected, known, clock, log, reviewedAgain } = deps
  const rounds = createReviewRounds(REVIEW_EVERY_MS, MAX_UNDER_WAY)
  const watched = new Map<string, Watched>() // by digest
  let failedMs: number | undefined
  let timer = clock.after(LOOK_MS, tick)
  const over = new AbortController()

  function tick(): void {
    timer = clock.after(LOOK_MS, tick)
    askDue()
  }

  /** Also whenever one is answered: the looks alone would hand out less than the rate lets through. */
  function askDue(): void {
    for (const digest of rounds.due(clock.now())) {
      const one = watched.get(digest)
      if (one) void review(digest, one.token)
    }
  }

  /** Of a token whose agent leaves meanwhile, too: what is found counts for who comes back by it. */
  async function review(digest: string, token: string): Promise<void> {
    const askedMs = clock.now()
    const judgement = await ask(token)
    rounds.answered(digest)
    const one = watched.get(digest)
    if (!judgement) {
      if (one) one.refusals = 0 // an API server that has trouble may have refused for that
      return // at the next look: it is asked no faster
    }
    if (judgement.kind === 'known') known.remember(digest, judgement.username, askedMs)
    else known.forget(digest)
    if (one) heard(digest, one, judgement)
    if (!over.signal.aborted) askDue()
  }

  function heard(digest: string, one: Watched, judgement: Judgement): void {
    if (judgement.kind === 'known') one.refusals = 0
    else {
      one.refusals++
      rounds.hasten(digest, clock.now() + CONFIRM_MS)
    }
    for (const holder of [...one.holders]) {
      const loss = lossOf(one, holder, judgement)
      if (!loss) continue
      leave(digest, one, holder)
      holder.lost(...loss)
    }
  }

  /** @returns undefined when the API server has not said it */
  async function ask(token: string): Promise<Judgement | undefined> {
    try {
      const judgement = await askWhose(token, api, expected, over.signal, isReview)
      worked()
      reviewedAgain(judgement.kind)
      return judgement
    } catch (error) {
      if (!over.signal.aborted) failed((error as Error).message)
      return undefined
    }
  }

  function lossOf(
    { token, refusals }: Watched,
    { username }: TokenHolder,
    judgement: Judgement,
  ): [TokenLoss, string] | undefined {
    if (judgement.kind === 'known') {
      return judgement.username === username ? undefined : ['untrusted', 'it is of another user now']
    }
    if ((tokenEndUnixMs(token) ?? Number.POSITIVE_INFINITY) <= clock.unixMs()) return ['expired', judgement.text]
    return refusals < REFUSALS ? undefined : ['revoked', judgement.text]
  }

  function leave(digest: string, one: Watched, holder: TokenHolder): void {
    if (!one.holders.delete(holder) || one.holders.size > 0) return
    watched.delete(digest)
    rounds.end(digest)
  }

  function failed(reason: string): void {
    reviewedAgain('failed')
    if (failedMs === undefined) {
      log.error({ reason }, 'tokens of connected agents cannot be reviewed again, they stay connected')
    }
    failedMs = clock.now()
  }

  function worked(): void {
    if (failedMs === undefined || clock.now() - failedMs < QUIET_MS) return
    failedMs = undefined
    log.info({}, 'tokens of connected agents can be reviewed again')
  }

  return {
    follow(holder) {
      const digest = digestOf(holder.token)
      const one = watched.get(digest) ?? newWatched(holder.token)
      if (one.holders.size === 0) {
        watched.set(digest, one)
        rounds.begin(digest, holder.username, known.rememberedMs(digest) ?? Number.NEGATIVE_INFINITY)
      }
      one.holders.add(holder)
      return { [Symbol.dispose]: () => leave(digest, one, holder) }
    },
    [Symbol.dispose]() {
      over.abort()
      timer[Symbol.dispose]()
    },
  }
}

const newWatched = (token: string): Watched => ({
  token,
  holders: new Set(),
  refusals: 0,
})
