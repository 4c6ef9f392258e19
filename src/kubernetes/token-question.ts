/** One TokenReview: whose a token is. Nothing of the token is in what comes of it, whatever the API server says. */
import { createHash } from 'node:crypto'
import type { ApiClient } from './api-client.ts'
import { type ExpectedAgent, type Judgement, judge, tokenReview } from './core/token-review.ts'

const PATH = '/apis/authentication.k8s.io/v1/tokenreviews'
/** Less than an agent waits for its answer, so that it learns why it has to come again: milliseconds. */
const REVIEW_TIMEOUT_MS = 5_000

/** What a token is remembered by where it need not be kept. */
export const digestOf = (token: string): string => createHash('sha256').update(token).digest('base64')

/**
 * @param isAnswer what is none says nothing of the token; of one who comes it is a refusal, as konnectivity has it
 * @throws Error when the API server has not said it: fit for our log, not for a stranger
 */
export async function askWhose(
  token: string,
  api: ApiClient,
  expected: ExpectedAgent,
  signal: AbortSignal,
  isAnswer: (answer: unknown) => boolean = () => true,
): Promise<Judgement> {
  const body = tokenReview(token, expected)
  const timeoutMs = REVIEW_TIMEOUT_MS
  let answer: unknown
  try {
    answer = await api.request({ what: 'review a token', method: 'POST', path: PATH, body, timeoutMs, signal })
  } catch (error) {
    throw new Error(hidden((error as Error).message, token)) // without its cause, which would quote alike
  }
  if (!isAnswer(answer)) throw new Error('review a token: the answer is no TokenReview')
  const judgement = judge(answer, expected)
  return judgement.kind === 'known' ? judgement : { kind: 'refused', text: hidden(judgement.text, token) }
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
