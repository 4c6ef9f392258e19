/**
 * Has the API server say whose the token of an agent is. What is asked: `token-question.ts`; how the answer is judged: core/token-review.ts.
 * A token that was known is known for ten seconds more: an agent that comes again and again, looking for further servers
 * behind one address, does not use up the requests of all others.
 */
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { ApiClient } from './api-client.ts'
import type { KnownTokens } from './core/known-tokens.ts'
import { bearerToken, type ExpectedAgent, type Judgement } from './core/token-review.ts'
import { askWhose, digestOf } from './token-question.ts'
import type { FollowToken, TokenWatch } from './token-watch.ts'

/** Most reviews under way: beyond, the API server is too slow for those who ask, and more would only wait for it. */
const MAX_REVIEWS = 1_000

export type ReviewOutcome = 'known' | 'refused' | 'failed' | 'too_many'
/** What was found of the one who shows a token; where tokens are reviewed again, how to hear what is found later. */
export type ShownToken = Judgement & { readonly follow?: FollowToken }
export type Shower = 'comes' | 'connected'
export type TokenReviewer = {
  /**
   * @param values of `authorization`, all that came
   * @param signal aborted when nobody waits for the answer any more
   * @param who shows it: one that comes, unless said, or one that is connected and does not wait behind those
   */
  readonly review: (values: readonly string[], signal: AbortSignal, who?: Shower) => Promise<ShownToken>
}

export type TokenReviewerDeps = {
  readonly api: ApiClient
  /** With a rate of its own, for those who are connected; none: the same. */
  readonly connectedApi?: ApiClient | undefined
  readonly expected: ExpectedAgent
  readonly known: KnownTokens
  /** Where tokens are reviewed again while their agents are connected. */
  readonly watch?: TokenWatch | undefined
  readonly clock: Clock
  readonly log: Log
  readonly reviewed: (outcome: ReviewOutcome) => void
}

export function createTokenReviewer(deps: TokenReviewerDeps): TokenReviewer {
  const { api, connectedApi = api, expected, known, watch, clock, log, reviewed } = deps
  let underWay = 0
  let failing = false

  async function ask(token: string, signal: AbortSignal, who: Shower): Promise<Judgement> {
    underWay++
    try {
      const judgement = await askWhose(token, who === 'comes' ? api : connectedApi, expected, signal)
      if (failing) log.info({}, 'tokens of agents can be reviewed again')
      failing = false
      reviewed(judgement.kind)
      return judgement
    } catch (error) {
      if (signal.aborted) return refused('the agent has gone')
      reviewed('failed')
      if (!failing) log.error({ reason: (error as Error).message }, 'tokens of agents cannot be reviewed')
      failing = true
      // The reason is for our log: whoever asks has not shown yet who it is.
      return refused('Failed to authenticate request. err:the API server cannot be asked')
    } finally {
      underWay--
    }
  }

  async function reviewToken(token: string, signal: AbortSignal, who: Shower): Promise<Judgement> {
    const digest = digestOf(token)
    const username = known.recall(digest, clock.now())
    if (username !== undefined) return { kind: 'known', username }
    if (underWay >= MAX_REVIEWS) {
      reviewed('too_many')
      return refused('too many tokens are under review')
    }
    const askedMs = clock.now()
    const judgement = await ask(token, signal, who)
    // Where it is reviewed again, that is so long after it was asked about.
    if (judgement.kind === 'known') known.remember(digest, judgement.username, watch ? askedMs : clock.now())
    return judgement
  }

  return {
    async review(values, signal, who = 'comes') {
      const found = bearerToken(values)
      if ('text' in found) {
        reviewed('refused')
        return refused(found.text)
      }
      const { token } = found
      const judgement = await reviewToken(token, signal, who)
      if (judgement.kind === 'refused') {
        return refused(`Failed to validate authentication token, err:${judgement.text}`)
      }
      if (!watch) return judgement
      const { username } = judgement
      return { ...judgement, follow: (lost) => watch.follow({ token, username, lost }) }
    },
  }
}

const refused = (text: string): Judgement => ({ kind: 'refused', text })
