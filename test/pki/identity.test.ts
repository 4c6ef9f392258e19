import t from 'tap'
import { type Identity, identityUri, isTrustDomain, readIdentity, readTrustDomain } from '../../src/pki/identity.ts'

const DOMAIN = 'hub.example'
const read = (path: string) => readIdentity(`URI:spiffe://${DOMAIN}${path}`, DOMAIN)

const each: readonly (readonly [string, Identity])[] = [
  ['/cluster/eu-1/agent/a.b_C-9', { role: 'agent', cluster: 'eu-1', name: 'a.b_C-9' }],
  ['/cluster/eu-1/apiserver', { role: 'apiserver', cluster: 'eu-1' }],
  ['/user/Alice', { role: 'user', name: 'Alice' }],
  ['/server/0', { role: 'server', id: '0' }],
]

t.test('reads the identity of each role that it writes', async (t) => {
  for (const [path, identity] of each) {
    t.equal(identityUri(DOMAIN, identity), `spiffe://${DOMAIN}${path}`)
    t.strictSame(read(path), { ...identity, trustDomain: DOMAIN })
  }
})

t.test('finds the URI among other names', async (t) => {
  const names =
    'DNS:hub.example, URI:https://hub.example/user/eve, URI:spiffe://hub.example/user/alice, IP Address:10.0.0.7'
  t.strictSame(readIdentity(names, DOMAIN), { role: 'user', name: 'alice', trustDomain: DOMAIN })
})

t.test('gives none to a certificate that says nothing of the trust domain', async (t) => {
  for (const names of [
    undefined,
    '',
    'DNS:hub.example',
    'DNS:spiffe, IP Address:10.0.0.7',
    'URI:https://hub.example/user/a',
    'URI:spiffe://other.example/user/a',
    'URI:spiffe://hub.example.other/user/a',
    'URI:spiffe://Other.example/user/a',
    'URI:spiffe://other.example/user/a, URI:spiffe://third.example/anything/at all',
    'email:alice@hub.example',
  ]) {
    t.strictSame(readIdentity(names, DOMAIN), { role: 'none' }, String(names))
  }
})

t.test('takes any trust domain when none is set, for paths that begin as ours do', async (t) => {
  t.strictSame(readIdentity('URI:spiffe://x/user/a', undefined), { role: 'user', name: 'a', trustDomain: 'x' })
  t.strictSame(readIdentity('URI:spiffe://x/ns/web/sa/a', undefined), { role: 'none' })
  t.strictSame(readIdentity('URI:spiffe://x', undefined), { role: 'none' })
  t.strictSame(readIdentity('URI:spiffe://x/users/a', undefined), { role: 'none' })
  t.match(readIdentity('URI:spiffe://x/user/a/b', undefined), { role: 'invalid' })
  t.match(readIdentity('URI:spiffe://x/User/a', undefined), { role: 'invalid' })
  t.match(readIdentity('URI:spiffe://x/user/a, URI:spiffe://y/user/a', undefined), { role: 'invalid' })
})

t.test('is invalid, never none, for a URI of the trust domain that is not exactly of a known shape', async (t) => {
  for (const path of [
    '',
    '/',
    '//user/a',
    '/user',
    '/user/',
    '/user/a/',
    '/user//a',
    '/user/a/b',
    '/user/.',
    '/user/..',
    '/user/a%62',
    '/user/a?b',
    '/user/a#b',
    '/user/a b',
    '/user/a@b',
    '/user/ä',
    '/user/a\u0000',
    '/User/a',
    '/server',
    '/server/a/b',
    '/ns/web/sa/a',
    '/cluster',
    '/cluster/',
    '/cluster/c',
    '/cluster//apiserver',
    '/cluster/c/apiserver/',
    '/cluster/c/apiserver/a',
    '/cluster/c/ApiServer',
    '/cluster/c/agent',
    '/cluster/c/agent/',
    '/cluster/c/agent/a/b',
    '/cluster/c/agent/a/',
    '/cluster/c/user/a',
    '/cluster/C/apiserver',
    '/cluster/c.d/apiserver',
    '/cluster/-c/apiserver',
    '/cluster/c-/apiserver',
    '/cluster/c_d/apiserver',
    '/cluster/../apiserver',
    '/cluster/%63/apiserver',
    '/cluster/c/../../user/a',
  ]) {
    t.match(
      readIdentity(`URI:${JSON.stringify(`spiffe://${DOMAIN}${path}`)}`, DOMAIN),
      { role: 'invalid' },
      JSON.stringify(path),
    )
  }
})

t.test('is invalid for another spelling of the trust domain, or for one that is none', async (t) => {
  for (const uri of [
    'SPIFFE://hub.example/user/a',
    'spiffe://HUB.example/user/a',
    'spiffe://hub.example:443/user/a',
    'spiffe://root@hub.example/user/a',
    'spiffe://hub%2eexample/user/a',
    'spiffe://hub.example?/user/a',
    'spiffe:///user/a',
    'spiffe:/user/a',
    'spiffe:hub.example/user/a',
    'spiffe:',
  ]) {
    for (const domain of [DOMAIN, undefined]) {
      t.match(readIdentity(`URI:${uri}`, domain), { role: 'invalid' }, `${uri} for ${domain}`)
    }
  }
})

t.test('is invalid when two URIs of the trust domain stand side by side, even equal ones', async (t) => {
  const [alice, bob] = ['URI:spiffe://hub.example/user/alice', 'URI:spiffe://hub.example/user/bob']
  t.match(readIdentity(`${alice}, ${bob}`, DOMAIN), { role: 'invalid', why: /more than one identity/ })
  t.match(readIdentity(`${alice}, ${alice}`, DOMAIN), { role: 'invalid' })
  t.match(readIdentity(`${alice}, URI:spiffe://hub.example/other`, DOMAIN), { role: 'invalid' })
  t.match(readIdentity(`URI:spiffe://hub.example/other, ${alice}`, DOMAIN), { role: 'invalid' })
  t.match(readIdentity(`URI:spiffe://other.example/user/eve, ${alice}`, DOMAIN), { role: 'user', name: 'alice' })
})

t.test('takes no name out of the middle of a quoted one', async (t) => {
  t.strictSame(readIdentity('DNS:"x\\u002c URI:spiffe://hub.example/user/eve"', DOMAIN), { role: 'none' })
  t.match(readIdentity('URI:"spiffe://hub.example/user/a\\u002c URI:spiffe://hub.example/user/b"', DOMAIN), {
    role: 'invalid',
  })
})

t.test('is invalid when the line of names cannot be read', async (t) => {
  for (const names of ['DNS:"x, URI:spiffe://hub.example/user/eve', 'nonsense', 'URI:a,URI:b', 'URI:a, ']) {
    t.match(readIdentity(names, DOMAIN), { role: 'invalid', why: /cannot be read/ }, names)
  }
})

t.test('takes cluster ids up to 63 characters and names up to 253', async (t) => {
  t.match(read(`/cluster/${'c'.repeat(63)}/apiserver`), { role: 'apiserver' })
  t.match(read(`/cluster/${'c'.repeat(64)}/apiserver`), { role: 'invalid' })
  t.match(read(`/user/${'u'.repeat(253)}`), { role: 'user' })
  t.match(read(`/user/${'u'.repeat(254)}`), { role: 'invalid' })
  t.ok(isTrustDomain('d'.repeat(255)))
  t.notOk(isTrustDomain('d'.repeat(256)))
})

t.test('quotes a refused URI, in part, so that it cannot forge a line of the log', async (t) => {
  const answer = readIdentity(`URI:${JSON.stringify(`spiffe://hub.example/\n${'x'.repeat(10_000)}`)}`, DOMAIN)
  t.match(answer, { role: 'invalid', why: /"spiffe:\/\/hub\.example\/\\nx+"/ })
  t.ok('why' in answer && answer.why.length < 400)
})

t.test('builds no URI from parts that it would not read', async (t) => {
  const refused: readonly (readonly [string, Identity, RegExp])[] = [
    ['Hub.example', { role: 'user', name: 'a' }, /trust domain such as hub\.example .*got "Hub\.example"/],
    ['', { role: 'user', name: 'a' }, /trust domain/],
    [DOMAIN, { role: 'user', name: 'a/b' }, /expected a name .*got "a\/b"/],
    [DOMAIN, { role: 'server', id: '..' }, /expected a name/],
    [DOMAIN, { role: 'agent', cluster: 'c', name: '' }, /expected a name/],
    [DOMAIN, { role: 'apiserver', cluster: 'C' }, /cluster id that is a DNS label .*got "C"/],
  ]
  for (const [domain, identity, message] of refused) {
    t.throws(() => identityUri(domain, identity), { code: 'bad-option', message })
  }
})

t.test("reads a CA's trust domain from the one URI that has no path", async (t) => {
  t.equal(readTrustDomain('DNS:x, URI:spiffe://hub.example'), DOMAIN)
  for (const names of [
    undefined,
    'DNS:hub.example',
    'URI:spiffe://hub.example/user/a',
    'URI:spiffe://a, URI:spiffe://b',
    'URI:https://hub.example',
    '"',
  ]) {
    t.equal(readTrustDomain(names), undefined, String(names))
  }
})
