import t, { type Test } from 'tap'
import { createKnownTokens } from '../../src/kubernetes/core/known-tokens.ts'
import { createTokenReviewer } from '../../src/kubernetes/token-reviewer.ts'
import type { Rate } from '../../src/kubernetes/turns.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'
import { apiStandIn, clientOf, status } from './api-stand-in.ts'

const never = new AbortController().signal
const USERNAME = 'system:serviceaccount:ns:sa'
const yes = { status: { authenticated: true, user: { username: USERNAME }, audiences: ['hub'] } }

/** @param rate at which the API server is asked about those who come */
async function setup(t: Test, rate?: Rate) {
  const api = await apiStandIn(t)
  const clock = manualClock()
  const log = recordedLog()
  const outcomes: string[] = []
  const { review } = createTokenReviewer({
    api: clientOf(t, api.access, clock, rate),
    connectedApi: clientOf(t, api.access, clock),
    known: createKnownTokens(),
    expected: { namespace: 'ns', serviceAccount: 'sa', audience: 'hub' },
    clock,
    log,
    reviewed: (outcome) => outcomes.push(outcome),
  })
  return { ...api, clock, log, outcomes, review }
}

t.test('asks whose the token is, with the audience, and believes the answer', async (t) => {
  const { next, review, outcomes } = await setup(t)
  const judgement = review(['Bearer hunter2'], never)
  const asked = await next()
  t.match(asked, {
    method: 'POST',
    path: '/apis/authentication.k8s.io/v1/tokenreviews',
    body: { kind: 'TokenReview', spec: { token: 'hunter2', audiences: ['hub'] } },
  })
  asked.answer(201, yes)
  t.strictSame(await judgement, { kind: 'known', username: USERNAME })
  t.strictSame(outcomes, ['known'])
})

t.test('does not ask about what is no token', async (t) => {
  const { count, review, outcomes } = await setup(t)
  t.strictSame(await review([], never), {
    kind: 'refused',
    text: 'Authentication context was not found in metadata',
  })
  t.match(await review(['Bearer hunter2', 'Bearer b'], never), { text: 'too many (2) tokens are received' })
  t.equal(count(), 0)
  t.strictSame(outcomes, ['refused', 'refused'])
})

t.test('asks again about a known token after ten seconds, and each time about one that was refused', async (t) => {
  const { next, review, clock, count } = await setup(t)
  const known = review(['Bearer hunter2'], never)
  ;(await next()).answer(201, yes)
  await known
  clock.advance(9_999)
  t.match(await review(['Bearer hunter2'], never), { kind: 'known' })
  t.equal(count(), 1)
  clock.advance(1)
  const again = review(['Bearer hunter2'], never)
  ;(await next()).answer(201, { status: { authenticated: false } })
  t.match(await again, { kind: 'refused' })
  const third = review(['Bearer hunter2'], never)
  ;(await next()).answer(201, { status: { authenticated: false } })
  t.strictSame(await third, {
    kind: 'refused',
    text: 'Failed to validate authentication token, err:lookup failed: service account jwt not valid',
  })
})

t.test('a token is known from the answer on', async (t) => {
  const { next, review, clock, count } = await setup(t)
  const known = review(['Bearer hunter2'], never)
  const asked = await next()
  clock.advance(4_000)
  asked.answer(201, yes)
  await known
  clock.advance(9_999)
  t.match(await review(['Bearer hunter2'], never), { kind: 'known' })
  t.equal(count(), 1)
})

t.test('who is connected does not wait behind those who come', async (t) => {
  const { next, review, count } = await setup(t, { qps: 0.001, burst: 1 })
  const gone = new AbortController()
  t.teardown(() => gone.abort())
  void review(['Bearer hunter1'], gone.signal)
  void review(['Bearer hunter2'], gone.signal)
  await next()
  const shown = review(['Bearer hunter3'], never, 'connected')
  const asked = await next()
  t.match(asked.body, { spec: { token: 'hunter3' } })
  asked.answer(201, yes)
  t.match(await shown, { kind: 'known' })
  t.equal(count(), 2)
})

t.test('takes an answer without a status for a refusal, as konnectivity does', async (t) => {
  const { next, review, outcomes } = await setup(t)
  const judgement = review(['Bearer hunter2'], never)
  ;(await next()).answer(201, {})
  t.match(await judgement, { kind: 'refused', text: /err:lookup failed: service account jwt not valid$/ })
  t.strictSame(outcomes, ['refused'])
})

t.test('says nothing of a token that the API server quotes', async (t) => {
  const { next, review, log } = await setup(t)
  const quoted = review(['Bearer hunter2'], never)
  ;(await next()).answer(201, { status: { error: 'the token hunter2 is bad' } })
  t.match(await quoted, { text: /err:lookup failed: the token \(the token\) is bad$/ })
  for (const [code, body] of [
    [422, status(422, 'Invalid', 'spec.token: hunter2 is bad')],
    [201, '{"spec":{"token":"hunter2"'],
  ] as const) {
    const failed = review(['Bearer hunter2'], never)
    ;(await next()).answer(code, body)
    t.notMatch(((await failed) as { text: string }).text, /hunter2/)
  }
  t.notMatch(JSON.stringify(log.lines), /hunter2/)
})

t.test('says nothing of a token of which a long text of the API server has only the beginning', async (t) => {
  const { next, review, log } = await setup(t)
  const token = 'header.hunter2-payload.signature'.padEnd(1_000, 'x')
  const quoted = review([`Bearer ${token}`], never)
  ;(await next()).answer(201, { status: { error: `bad: ${token} and ${token}` } })
  t.match(await quoted, { text: /err:lookup failed: bad: \(the token\)$/ })
  const refused = review([`Bearer ${token}`], never)
  ;(await next()).answer(403, status(403, 'Forbidden', `no: ${token}`))
  await refused
  t.match(log.lines[0]?.fields, { reason: /no: \(the token\); docs/ })
})

t.test('says nothing of a token that begins anew in its middle', async (t) => {
  const { next, review } = await setup(t)
  const quoted = review(['Bearer abcdefgh-1-abcdefgh-hunter2'], never)
  ;(await next()).answer(201, { status: { error: 'bad: abcdefgh-1-abcdefgh-hunter2 is' } })
  t.match(await quoted, { text: /err:lookup failed: bad: \(the token\) is$/ })
})

t.test('refuses without the reason when the API server cannot be asked; the reason is logged, once', async (t) => {
  const { next, review, log, outcomes, clock } = await setup(t)
  const forbidden = review(['Bearer hunter2'], never)
  ;(await next()).answer(403, status(403, 'Forbidden', 'tokenreviews is forbidden'))
  t.strictSame(await forbidden, {
    kind: 'refused',
    text: 'Failed to validate authentication token, err:Failed to authenticate request. err:the API server cannot be asked',
  })
  const slow = review(['Bearer hunter2'], never)
  await next()
  clock.advance(5_000)
  t.match(await slow, { kind: 'refused', text: /the API server cannot be asked/ })
  const well = review(['Bearer hunter2'], never)
  ;(await next()).answer(201, yes)
  await well
  t.match(log.lines, [
    { level: 'error', message: 'tokens of agents cannot be reviewed', fields: { reason: /tokenreviews is forbidden/ } },
    { level: 'info', message: 'tokens of agents can be reviewed again' },
  ])
  t.equal(log.lines.length, 2)
  t.strictSame(outcomes, ['failed', 'failed', 'known'])
})

t.test('asks no further when the agent has gone, and holds that against nobody', async (t) => {
  const { next, review, log, outcomes } = await setup(t)
  const gone = new AbortController()
  const judgement = review(['Bearer hunter2'], gone.signal)
  const { response } = await next()
  const closed = new Promise((resolve) => response.once('close', resolve))
  gone.abort()
  t.match(await judgement, { kind: 'refused' })
  await closed
  t.strictSame(outcomes, [])
  t.strictSame(log.lines, [])
})

t.test('has at most a thousand reviews under way', async (t) => {
  const { review, outcomes, close } = await setup(t)
  const gone = new AbortController()
  const reviews = Array.from({ length: 1_000 }, (_, index) => review([`Bearer ${index}`], gone.signal))
  t.match(await review(['Bearer one-more'], never), { kind: 'refused', text: /too many tokens are under review/ })
  t.strictSame(outcomes, ['too_many'])
  gone.abort()
  await Promise.all(reviews)
  close()
  t.match(await review(['Bearer one-more'], never), { text: /cannot be asked/ }, 'there is room again')
})
