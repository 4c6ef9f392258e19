import t from 'tap'
import {
  bearerToken,
  type ExpectedAgent,
  isReview,
  judge,
  tokenEndUnixMs,
  tokenReview,
} from '../../../src/kubernetes/core/token-review.ts'

const expected: ExpectedAgent = { namespace: 'kube-system', serviceAccount: 'konnectivity-agent', audience: 'hub' }
const USERNAME = 'system:serviceaccount:kube-system:konnectivity-agent'

const known = (changes: object = {}) => ({
  status: { authenticated: true, user: { username: USERNAME }, audiences: ['hub'], ...changes },
})

t.test('finds the one token among the values of authorization', async (t) => {
  t.strictSame(bearerToken(['Bearer a.b.c']), { token: 'a.b.c' })
})

t.test('says in the words of konnectivity why there is none', async (t) => {
  t.strictSame(bearerToken([]), { text: 'Authentication context was not found in metadata' })
  t.strictSame(bearerToken(['Bearer a', 'Bearer b']), { text: 'too many (2) tokens are received' })
  for (const value of ['', 'a.b.c', 'bearer a', 'Bearer', 'Basic a']) {
    t.strictSame(bearerToken([value]), { text: 'received token does not have "Bearer " prefix' }, value)
  }
  t.strictSame(bearerToken(['Bearer ']), { text: 'received token is empty' })
})

t.test('asks for the audience that is expected, and for none where none is', async (t) => {
  t.match(tokenReview('a', expected), { kind: 'TokenReview', spec: { token: 'a', audiences: ['hub'] } })
  t.strictSame((tokenReview('a', { ...expected, audience: '' }) as { spec: object }).spec, { token: 'a' })
})

t.test('knows the service account that is expected', async (t) => {
  t.strictSame(judge(known(), expected), { kind: 'known', username: USERNAME })
  t.strictSame(judge(known({ audiences: ['other', 'hub'] }), expected), { kind: 'known', username: USERNAME })
  t.strictSame(judge(known({ audiences: undefined }), { ...expected, audience: '' }), {
    kind: 'known',
    username: USERNAME,
  })
})

t.test('takes any service account where none is expected, and still looks at the audience', async (t) => {
  const any = { namespace: '', serviceAccount: '', audience: 'hub' }
  const username = 'system:serviceaccount:eu-1:agent'
  t.strictSame(judge(known({ user: { username } }), any), { kind: 'known', username })
  t.match(judge(known({ user: { username: 'admin' } }), any), { kind: 'refused' })
  t.match(judge(known({ user: { username }, audiences: ['other'] }), any), { kind: 'refused' })
})

t.test('refuses everything else, in the words of konnectivity where it has some', async (t) => {
  const cases: readonly (readonly [answer: unknown, text: string])[] = [
    [known({ error: 'token has expired' }), 'lookup failed: token has expired'],
    [known({ authenticated: false }), 'lookup failed: service account jwt not valid'],
    [known({ authenticated: 'true' }), 'lookup failed: service account jwt not valid'],
    [{}, 'lookup failed: service account jwt not valid'],
    [null, 'lookup failed: service account jwt not valid'],
    ['text', 'lookup failed: service account jwt not valid'],
    [known({ user: undefined }), 'lookup failed: unexpected username format'],
    [known({ user: { username: 'admin' } }), 'lookup failed: unexpected username format'],
    [known({ user: { username: `${USERNAME}:more` } }), 'lookup failed: unexpected username format'],
    [known({ user: { username: 'system:node:a:b' } }), 'lookup failed: username returned is not a service account'],
    [
      known({ user: { username: 'a:serviceaccount:b:c' } }),
      'lookup failed: username returned is not a service account',
    ],
    [
      known({ user: { username: 'system:serviceaccount:default:konnectivity-agent' } }),
      'lookup failed: incoming request from "default" namespace. Expected "kube-system"',
    ],
    [
      known({ user: { username: 'system:serviceaccount:kube-system:other' } }),
      'lookup failed: incoming request from "other" service account. Expected "konnectivity-agent"',
    ],
    [known({ audiences: ['other'] }), 'lookup failed: token is not for the audience "hub"'],
    [known({ audiences: [] }), 'lookup failed: token is not for the audience "hub"'],
    [known({ audiences: undefined }), 'lookup failed: token is not for the audience "hub"'],
    [known({ audiences: 'hub' }), 'lookup failed: token is not for the audience "hub"'],
  ]
  for (const [answer, text] of cases) t.strictSame(judge(answer, expected), { kind: 'refused', text })
})

t.test('hands on a text of the API server only so far', async (t) => {
  const { text } = judge(known({ error: 'e'.repeat(10_000) }), expected) as { text: string }
  t.equal(text, `lookup failed: ${'e'.repeat(300)}`)
})

t.test('an answer that is no TokenReview says nothing of a token', async (t) => {
  for (const answer of [undefined, null, {}, 'yes', { status: null }, { status: 'Failure' }]) t.notOk(isReview(answer))
  t.ok(isReview({ status: { user: {} } }), 'an API server leaves out what is false')
})

t.test('reads the end of a token that has one', async (t) => {
  const token = (claims: string): string => `header.${Buffer.from(claims).toString('base64url')}.signature`
  t.equal(tokenEndUnixMs(token('{"exp":1700000000}')), 1_700_000_000_000)
  for (const none of ['opaque', token('{}'), token('{"exp":"soon"}'), token('null'), token('{'), 'a..b']) {
    t.equal(tokenEndUnixMs(none), undefined, none)
  }
})
