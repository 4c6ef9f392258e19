import { setImmediate } from 'node:timers/promises'
import t, { type Test } from 'tap'
import type { ApiClient, ApiRequest } from '../../src/kubernetes/api-client.ts'
import { createKnownTokens } from '../../src/kubernetes/core/known-tokens.ts'
import { createTokenReviewer } from '../../src/kubernetes/token-reviewer.ts'
import { createTokenWatch, REVIEW_EVERY_MS, REVIEWS_PER_SECOND } from '../../src/kubernetes/token-watch.ts'
import { createTurns } from '../../src/kubernetes/turns.ts'
import { eventually } from '../integration/deadline.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'
import { type Asked, apiStandIn, clientOf, status } from './api-stand-in.ts'

const USERNAME = 'system:serviceaccount:ns:sa'
const LOOK_MS = 100
const CONFIRM_MS = 1_000
const yes = { status: { authenticated: true, user: { username: USERNAME }, audiences: ['hub'] } }
const no = { status: { user: {}, error: 'the token hunter2 is over' } } // as an API server leaves out what is false
const expected = { namespace: '', serviceAccount: '', audience: 'hub' }

async function setup(t: Test) {
  const server = await apiStandIn(t)
  const clock = manualClock()
  const log = recordedLog()
  const outcomes: string[] = []
  const lost: string[][] = []
  const known = createKnownTokens()
  const api = clientOf(t, server.access, clock)
  const reviewedAgain = (outcome: string): void => void outcomes.push(outcome)
  const watch = createTokenWatch({ api, expected, known, clock, log, reviewedAgain })
  t.teardown(() => watch[Symbol.dispose]())
  const { review } = createTokenReviewer({ api, expected, known, watch, clock, log, reviewed: () => undefined })
  const answered = (...wanted: string[]): Promise<unknown> =>
    eventually(
      `${wanted}`,
      () => `${outcomes}`,
      (found) => found === `${wanted}`,
    )
  return {
    ...server,
    clock,
    log,
    watch,
    lost,
    review,
    answered,
    follow: (token = 'hunter2', username = USERNAME) =>
      watch.follow({ token, username, lost: (...why) => lost.push(why) }),
    /** What is asked when it is time again. */
    again(): Promise<Asked> {
      clock.advance(REVIEW_EVERY_MS)
      return server.next()
    },
    /** What is asked so soon after a refusal. */
    confirming(): Promise<Asked> {
      clock.advance(CONFIRM_MS)
      return server.next()
    },
  }
}

t.test('a token is reviewed again and again, and lost when it is good no more', async (t) => {
  const { again, confirming, follow, lost, answered, log } = await setup(t)
  follow()
  const first = await again()
  t.match(first.body, { kind: 'TokenReview', spec: { token: 'hunter2', audiences: ['hub'] } })
  first.answer(201, yes)
  await answered('known')
  t.strictSame(lost, [])
  ;(await again()).answer(201, no)
  await answered('known', 'refused')
  t.strictSame(lost, [])
  ;(await confirming()).answer(201, no)
  await answered('known', 'refused', 'refused')
  t.strictSame(lost, [['revoked', 'lookup failed: the token (the token) is over']])
  t.notMatch(JSON.stringify(log.lines), /hunter2/)
})

t.test('one refusal loses nobody, nor do two with another answer between them', async (t) => {
  const { again, confirming, follow, lost, answered, clock, count } = await setup(t)
  follow()
  ;(await again()).answer(201, no)
  await answered('refused')
  clock.advance(CONFIRM_MS - 1)
  t.equal(count(), 1)
  ;(await confirming()).answer(201, yes)
  await answered('refused', 'known')
  ;(await again()).answer(201, no)
  await answered('refused', 'known', 'refused')
  ;(await confirming()).answer(500, status(500, 'InternalError'))
  await answered('refused', 'known', 'refused', 'failed')
  t.strictSame(lost, [])
  ;(await again()).answer(201, no)
  await answered('refused', 'known', 'refused', 'failed', 'refused')
  t.strictSame(lost, [], 'an API server that has trouble may refuse for that')
  ;(await confirming()).answer(201, no)
  await answered('refused', 'known', 'refused', 'failed', 'refused', 'refused')
  t.match(lost, [['revoked']])
})

t.test('a token whose own end has come is lost as expired, and one of another user as of nobody known', async (t) => {
  const { again, follow, lost, answered } = await setup(t)
  const claims = (exp: number): string => `h.${Buffer.from(JSON.stringify({ exp })).toString('base64url')}.s`
  follow(claims(2))
  ;(await again()).answer(201, no)
  await answered('refused')
  follow(claims(1_000), 'system:serviceaccount:ns:other')
  ;(await again()).answer(201, yes)
  await answered('refused', 'known')
  t.match(lost, [['expired'], ['untrusted', 'it is of another user now']])
})

t.test('an API server that cannot be asked loses nobody, is counted, and told of once', async (t) => {
  const { again, follow, lost, answered, log, clock } = await setup(t)
  follow()
  ;(await again()).answer(403, status(403, 'Forbidden', 'no: hunter2'))
  await answered('failed')
  ;(await again()).answer(200, {})
  await answered('failed', 'failed')
  await again()
  clock.advance(5_000)
  await answered('failed', 'failed', 'failed')
  t.strictSame(lost, [])
  const failing = 'tokens of connected agents cannot be reviewed again, they stay connected'
  t.strictSame(log.messages('info'), [failing])
  t.notMatch(JSON.stringify(log.lines), /hunter2/)
  clock.advance(10_000)
  ;(await again()).answer(201, yes)
  await answered('failed', 'failed', 'failed', 'known')
  t.strictSame(log.messages('info'), [failing, 'tokens of connected agents can be reviewed again'])
})

t.test('connections with one token are one review, and all of them lose it', async (t) => {
  const { again, confirming, follow, lost, answered, count } = await setup(t)
  follow()
  follow()
  const left = follow()
  left[Symbol.dispose]()
  ;(await again()).answer(201, no)
  await answered('refused')
  ;(await confirming()).answer(201, no)
  await answered('refused', 'refused')
  t.equal(count(), 2)
  t.equal(lost.length, 2)
})

t.test('nobody asks about a token that nobody is connected by any more', async (t) => {
  const { again, follow, clock, count } = await setup(t)
  const one = follow()
  one[Symbol.dispose]()
  clock.advance(REVIEW_EVERY_MS)
  follow('another')
  t.match((await again()).body, { spec: { token: 'another' } })
  t.equal(count(), 1)
})

t.test('a review counts also when its agent leaves meanwhile: coming back is no way around it', async (t) => {
  const { next, again, review, follow, answered } = await setup(t)
  const never = new AbortController().signal
  const first = review(['Bearer hunter2'], never)
  ;(await next()).answer(201, yes)
  await first
  const connected = follow()
  const asked = await again()
  connected[Symbol.dispose]()
  asked.answer(201, no)
  await answered('refused')
  const second = review(['Bearer hunter2'], never)
  ;(await next()).answer(201, no)
  t.match(await second, { kind: 'refused' })
})

t.test('a watch that is over asks no further, and holds that against nobody', async (t) => {
  const { again, follow, watch, log } = await setup(t)
  follow()
  const { response } = await again()
  const closed = new Promise((resolve) => response.once('close', resolve))
  watch[Symbol.dispose]()
  await closed
  t.strictSame(log.lines, [])
})

t.test('a review again counts for who comes: one that is lost is not let in as known', async (t) => {
  const { next, again, review, follow, answered, clock } = await setup(t)
  const never = new AbortController().signal
  const first = review(['Bearer hunter2'], never)
  ;(await next()).answer(201, yes)
  const judgement = await first
  if (judgement.kind === 'refused' || !judgement.follow) throw new Error('it was to be followed')
  judgement.follow(() => undefined)
  const another = follow('another')
  clock.advance(LOOK_MS)
  t.match((await next()).body, { spec: { token: 'another' } }, 'the first has just been reviewed')
  another[Symbol.dispose]()
  ;(await again()).answer(201, no)
  await answered('refused')
  const second = review(['Bearer hunter2'], never)
  ;(await next()).answer(201, no)
  t.match(await second, { kind: 'refused' })
})

t.test('one who comes by a token that is known for long is reviewed at once', async (t) => {
  const { next, review, clock, count } = await setup(t)
  const never = new AbortController().signal
  const first = review(['Bearer hunter2'], never)
  ;(await next()).answer(201, yes)
  await first
  clock.advance(9_000)
  const judgement = await review(['Bearer hunter2'], never)
  if (judgement.kind === 'refused' || !judgement.follow) throw new Error('it was to be followed')
  judgement.follow(() => undefined)
  t.equal(count(), 1)
  clock.advance(LOOK_MS)
  ;(await next()).answer(201, yes)
})

t.test('has at most so many under way, each with a connection of its own', async (t) => {
  const { follow, clock, next, count } = await setup(t)
  for (let index = 0; index < 40; index++) follow(`token-${index}`)
  clock.advance(LOOK_MS)
  const asked = await Promise.all(Array.from({ length: 32 }, next))
  clock.advance(LOOK_MS)
  t.equal(count(), 32)
  asked[0]?.answer(201, yes)
  const more = next()
  await eventually(
    'one more',
    () => {
      clock.advance(LOOK_MS)
      return count()
    },
    (found) => found === 33,
  )
  await more
})

/** A watch whose API server answers at once, at the rate that it is asked at: `asked` is when, by token. */
function atRate(t: Test) {
  const clock = manualClock()
  const turns = createTurns({ qps: REVIEWS_PER_SECOND, burst: REVIEWS_PER_SECOND }, clock)
  const asked = new Map<string, number[]>()
  const users = new Map<string, string>()
  const api = {
    async request({ body }: ApiRequest) {
      await turns.next(false, new AbortController().signal)
      const { token } = (body as { spec: { token: string } }).spec
      asked.set(token, [...(asked.get(token) ?? []), clock.now()])
      return { status: { ...yes.status, user: { username: users.get(token) } } }
    },
  } as unknown as ApiClient
  const deps = { expected, known: createKnownTokens(), clock, log: recordedLog(), reviewedAgain: () => undefined }
  const watch = createTokenWatch({ api, ...deps })
  t.teardown(() => watch[Symbol.dispose]())
  return {
    follow(token: string, username = USERNAME) {
      users.set(token, username)
      watch.follow({ token, username, lost: () => undefined })
    },
    async run(forMs: number) {
      for (let ms = 0; ms < forMs; ms += 5) {
        clock.advance(5)
        await setImmediate() // what is answered asks for the next
      }
    },
    /** Longest time from one review of it to the next. */
    gapMs(token: string): number {
      const times = [0, ...(asked.get(token) ?? []), clock.now()]
      return Math.max(...times.slice(1).map((ms, index) => ms - times[index]!))
    },
  }
}

t.test('of a thousand tokens each is reviewed every five seconds', async (t) => {
  const { follow, run, gapMs } = atRate(t)
  const tokens = Array.from({ length: 1_000 }, (_, index) => `token-${index}`)
  for (const token of tokens) follow(token)
  await run(16_000)
  t.ok(Math.max(...tokens.map(gapMs)) <= 5_250, `${Math.max(...tokens.map(gapMs))} ms`)
})

t.test('a user with very many tokens delays no other', async (t) => {
  const { follow, run, gapMs } = atRate(t)
  for (let index = 0; index < 4_000; index++) follow(`many-${index}`)
  follow('few', 'system:serviceaccount:ns:other')
  await run(12_000)
  t.ok(gapMs('few') <= 3_500, `${gapMs('few')} ms`)
})
