import t from 'tap'
import { type Admission, admit, type PeerCertificate } from '../../../src/proxy-server/core/admission.ts'

const verified: PeerCertificate = {
  required: true,
  present: true,
  error: undefined,
  subject: 'O=system:masters, CN=kube-apiserver',
  subjectAltName: undefined,
}
const uri = (path: string): string => `URI:spiffe://hub.example${path}`
const agentUri = uri('/cluster/eu-1/agent/a1')
const apiserverUri = uri('/cluster/eu-1/apiserver')

const admitted = (principal: string): Admission => ({ kind: 'admitted', cluster: 'default', principal })
const causeOf = (admission: Admission): string => (admission.kind === 'refused' ? admission.cause : 'admitted')

t.test('takes a certificate without a URI as the reference takes it, by its subject', async (t) => {
  t.strictSame(admit(verified, ['agent'], 'hub.example'), admitted(verified.subject))
  t.strictSame(
    admit({ ...verified, subjectAltName: 'DNS:hub.example' }, ['agent'], undefined),
    admitted(verified.subject),
  )
})

t.test('tells those without a subject from each other by their names', async (t) => {
  const peer = { ...verified, subject: '', subjectAltName: 'DNS:a.example' }
  t.strictSame(admit(peer, ['agent'], 'hub.example'), admitted('DNS:a.example'))
  t.strictSame(admit({ ...peer, subjectAltName: undefined }, ['agent'], 'hub.example'), admitted(''))
})

t.test('takes a certificate whose role is one of those that the port is for', async (t) => {
  const peers = [
    [agentUri, ['agent'], 'cluster/eu-1/agent/a1'],
    [apiserverUri, ['apiserver', 'user'], 'cluster/eu-1/apiserver'],
    [uri('/user/alice'), ['apiserver', 'user'], 'user/alice'],
    [uri('/server/hub-0'), ['server'], 'server/hub-0'],
  ] as const
  for (const [subjectAltName, roles, principal] of peers) {
    t.strictSame(admit({ ...verified, subjectAltName }, roles, 'hub.example'), admitted(principal))
    t.strictSame(admit({ ...verified, subjectAltName }, roles, undefined), admitted(principal), 'any trust domain')
  }
})

t.test('lets no role through a port of others, and says which is which', async (t) => {
  const refusals = [
    [uri('/user/alice'), ['agent'], 'it is a user certificate, and this port is for agent certificates'],
    [apiserverUri, ['agent'], 'it is an apiserver certificate, and this port is for agent certificates'],
    [uri('/server/hub-0'), ['agent'], 'it is a server certificate, and this port is for agent certificates'],
    [
      agentUri,
      ['apiserver', 'user'],
      'it is an agent certificate, and this port is for apiserver and user certificates',
    ],
  ] as const
  for (const [subjectAltName, roles, cause] of refusals) {
    t.equal(causeOf(admit({ ...verified, subjectAltName }, roles, 'hub.example')), cause)
  }
})

t.test('does not look at the URIs of a stranger', async (t) => {
  t.strictSame(
    admit({ ...verified, subjectAltName: 'URI:spiffe://other.example/user/alice' }, ['agent'], 'hub.example'),
    admitted(verified.subject),
  )
})

t.test('refuses a certificate that claims two identities or a broken one, although one of them would do', async (t) => {
  t.match(
    causeOf(admit({ ...verified, subjectAltName: `${agentUri}, ${uri('/user/alice')}` }, ['agent'], 'hub.example')),
    /more than one/,
  )
  t.match(
    causeOf(admit({ ...verified, subjectAltName: uri('/cluster/EU-1/agent/a1') }, ['agent'], 'hub.example')),
    /names no agent/,
  )
})

t.test('believes nothing in a certificate that does not verify', async (t) => {
  const refusals = {
    CERT_HAS_EXPIRED: 'it has expired',
    CERT_NOT_YET_VALID: 'it is not valid yet',
    DEPTH_ZERO_SELF_SIGNED_CERT: 'it is self-signed',
    SELF_SIGNED_CERT_IN_CHAIN: 'its chain ends in a CA that this server does not trust',
    UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'it was not issued by the CA of this server',
    INVALID_PURPOSE: 'it is not a certificate for clients',
    CERT_REVOKED: 'it was revoked',
    CERT_UNTRUSTED: 'it does not verify (CERT_UNTRUSTED)',
  }
  for (const [error, cause] of Object.entries(refusals)) {
    t.equal(causeOf(admit({ ...verified, error, subjectAltName: agentUri }, ['agent'], 'hub.example')), cause)
  }
})

t.test('asks for a certificate where the port requires one', async (t) => {
  t.equal(causeOf(admit({ ...verified, present: false, subject: '' }, ['agent'], undefined)), 'none was sent')
})

t.test('takes everybody for nobody where the port asks for no certificate', async (t) => {
  const asked = { ...verified, required: false }
  t.strictSame(admit({ ...asked, present: false, subject: '' }, ['agent'], undefined), admitted('anonymous'))
})
