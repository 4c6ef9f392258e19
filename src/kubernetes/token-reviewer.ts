/**
 * Has the API server say whose the token of an agent is. What is asked and how the answer is judged: core/token-review.ts.
 * A token that was known is known for ten seconds more: an agent that comes again and again, looking for further servers
 * behind one address, does not use up the requests of all others.
 */
import { createHash } from 'node:crypto'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { ApiClient } from './api-client.ts'
import { createKnownTokens } from './core/known-tokens.ts'
import { bearerToken, type ExpectedAgent, type Judgement, judge, tokenReview } from './core/token-review.ts'

const PATH = '/apis/authentication.k8s.io/v1/tokenreviews'
const KNOWN_MS = 10_000
const MAX_KNOWN = 10_000
/** Less than an agent waits for its answer, so that it learns why it has to come again: milliseconds. */
const REVIEW_TIMEOUT_MS = 5_000
/** Most reviews under way: beyond, the API server is too slow for those who ask, and more would only wait for it. */
const MAX_REVIEWS = 1_000

export type ReviewOutcome = 'known' | 'refused' | 'failed' | 'too_many'
export type TokenReviewer = {
  /**
   * @param values of `authorization`, all that came
   * @param signal aborted when nobody waits for the answer any more
   */
  readonly review: (values: readonly string[], signal: AbortSignal) => Promise<Judgement>
}

export type TokenReviewerDeps = {
  readonly api: ApiClient
  readonly expected: ExpectedAgent
  readonly clock: Clock
  readonly log: Log
  readonly reviewed: (outcome: ReviewOutcome) => void
}

export function createTokenReviewer({ api, expected, clock, log, reviewed }: TokenReviewerDeps): TokenReviewer {
  const known = createKnownTokens(KNOWN_MS, MAX_KNOWN)
  let underWay = 0
  let failing = false

  async function ask(token: string, signal: AbortSignal): Promise<Judgement> {
    underWay++
    try {
      const body = tokenReview(token, expected)
      const timeoutMs = REVIEW_TIMEOUT_MS
      const answer = await api.request({ what: 'review a token', method: 'POST', path: PATH, body, timeoutMs, signal })
      if (failing) log.info({}, 'tokens of agents can be reviewed again')
      failing = false
      const judgement = judge(answer, expected)
      reviewed(judgement.kind)
      return judgement
    } catch (error) {
      if (signal.aborted) return refused('the agent has gone')
      reviewed('failed')
      if (!failing)
        log.error({ reason: hidden((error as Error).message, token) }, 'tokens of agents cannot be reviewed')
      failing = true
      // The reason is for our log: whoever asks has not shown yet who it is.
      return refused('Failed to authenticate request. err:the API server cannot be asked')
    } finally {
      underWay--
    }
  }

  async function reviewToken(token: string, signal: AbortSignal): Promise<Judgement> {
    const digest = createHash('sha256').update(token).digest('base64')
    const username = known.recall(digest, clock.now())
    if (username !== undefined) return { kind: 'known', username }
    if (underWay >= MAX_REVIEWS) {
      reviewed('too_many')
      return refused('too many tokens are under review')
    }
    const judgement = await ask(token, signal)
    if (judgement.kind === 'known') known.remember(digest, judgement.username, clock.now())
    return judgement
  }

  return {
    async review(values, signal) {
      const found = bearerToken(values)
      if ('text' in found) {
        reviewed('refused')
        return refused(found.text)
      }
      const judgement = await reviewToken(found.token, signal)
      if (judgement.kind === 'known') return judgement
      return refused(`Failed to validate authentication token, err:${hidden(judgement.text, found.token)}`)
    },
  }
}

const HIDDEN = '(the token)'
/** So much of a token's beginning is looked for: of what is shorter nothing can be told apart. */
const BEGINNING_CHARS = 8

/** An API server might quote what it was asked about, and its text may have been cut in the middle of that. */
function hidden(text: string, token: string): string {
  const [before = '', ...quoted] = text.replaceAll(token, HIDDEN).split(token.slice(0, BEGINNING_CHARS))
  const rest = token.slice(BEGINNING_CHARS)
  return [before, ...quoted.map((behind) => behind.slice(sharedChars(behind, rest)))].join(HIDDEN)
}

/** At the beginning of both. */
function sharedChars(one: string, other: string): number {
  let chars = 0
  while (chars < one.length && one[chars] === other[chars]) chars++
  return chars
}

const refused = (text: string): Judgement => ({ kind: 'refused', text })
