import t from 'tap'
import { createDirectory } from '../../../src/clusters/directory.ts'
import type { Admission, PeerCertificate } from '../../../src/proxy-server/core/admission.ts'
import { admitAgent, admitFrontend, admitSocket, admitUser } from '../../../src/proxy-server/core/tenant-admission.ts'
import { cluster } from '../../clusters/cluster.ts'

const directory = createDirectory([
  cluster('eu-1', {
    agents: { subjects: ['O=x, CN=agent'], names: ['DNS:agent.example'], users: ['sa:eu-1'] },
    frontends: { subjects: ['CN=api'], users: ['alice'], serverNames: ['eu-1.hub.example'], socket: '/eu-1.sock' },
  }),
  cluster('eu-2', {
    agents: { names: ['URI:spiffe://other.example/agent'] },
    frontends: { users: ['alice', 'bob'], serverNames: ['eu-2.hub.example'] },
  }),
])
const peer = (subject: string, subjectAltName?: string): PeerCertificate => ({
  required: true,
  present: true,
  error: undefined,
  subject,
  subjectAltName,
})
const uri = (path: string): string => `URI:spiffe://hub.example${path}`
const agent = (subject: string, names?: string): Admission => admitAgent(peer(subject, names), 'hub.example', directory)
const frontend = (subject: string, names?: string, serverName?: string): Admission =>
  admitFrontend(peer(subject, names), serverName, 'hub.example', directory)
const into = (cluster: string, principal: string): Admission => ({ kind: 'admitted', cluster, principal })
const unmapped = (cause: RegExp | string) => ({ kind: 'refused', unmapped: true, cause })

t.test('takes an agent by its URI, its subject or a name, whole', async (t) => {
  t.strictSame(agent('CN=x', uri('/cluster/eu-2/agent/a1')), into('eu-2', 'cluster/eu-2/agent/a1'))
  t.strictSame(agent('O=x, CN=agent'), into('eu-1', 'cluster/eu-1/O=x, CN=agent'))
  t.strictSame(agent('CN=y', 'DNS:Agent.Example'), into('eu-1', 'cluster/eu-1/DNS:agent.example'))
  t.strictSame(
    agent('CN=y', 'URI:spiffe://other.example/agent'),
    into('eu-2', 'cluster/eu-2/URI:spiffe://other.example/agent'),
  )
  for (const [subject, names] of [
    ['CN=agent', undefined],
    ['O=x, CN=agent, CN=more', undefined],
    ['CN=y', 'DNS:x.agent.example'],
    ['CN=y', 'DNS:agent.example.'],
    ['CN=y', 'email:DNS@agent.example'],
    ['CN=y', 'DNS:"agent.example\\u002c DNS:agent.example"'],
    ['CN=api', undefined],
  ] as const) {
    t.match(agent(subject, names), unmapped(/names no cluster/), `${subject} ${names}`)
  }
})

t.test('does not read names that cannot be read', async (t) => {
  t.match(agent('O=x, CN=agent', 'DNS:agent.example,DNS:b'), { kind: 'refused' })
})

t.test('refuses what says two things', async (t) => {
  t.match(agent('O=x, CN=agent', uri('/cluster/eu-2/agent/a1')), unmapped(/more than one cluster/))
  t.match(agent('O=x, CN=agent', 'URI:spiffe://other.example/agent'), unmapped(/more than one cluster/))
  t.match(
    agent('O=x, CN=agent', `DNS:agent.example, ${uri('/cluster/eu-1/agent/a1')}`),
    { cluster: 'eu-1' },
    'one, thrice',
  )
})

t.test('refuses a cluster that is not there', async (t) => {
  t.match(agent('CN=x', uri('/cluster/eu-9/agent/a1')), unmapped('the cluster eu-9 is not one of this server'))
  t.match(frontend('CN=x', uri('/cluster/eu-9/apiserver'), 'eu-1.hub.example'), unmapped(/eu-9/))
})

t.test('keeps to roles and to what TLS found before all else', async (t) => {
  t.match(agent('O=x, CN=agent', uri('/cluster/eu-1/apiserver')), { kind: 'refused', cause: /apiserver certificate/ })
  t.match(frontend('CN=api', uri('/cluster/eu-1/agent/a')), { kind: 'refused', cause: /an agent certificate/ })
  const old = { ...peer('O=x, CN=agent'), error: 'CERT_HAS_EXPIRED' }
  t.match(admitAgent(old, undefined, directory), { kind: 'refused', cause: 'it has expired' })
  const none = { ...peer(''), present: false }
  t.match(admitFrontend(none, 'eu-1.hub.example', undefined, directory), { kind: 'refused', cause: 'none was sent' })
})

t.test('leads a frontend by its certificate, and by the server name when that says nothing else', async (t) => {
  t.strictSame(frontend('CN=x', uri('/cluster/eu-1/apiserver')), into('eu-1', 'cluster/eu-1/apiserver'))
  t.strictSame(frontend('CN=api'), into('eu-1', 'cluster/eu-1/CN=api'))
  t.strictSame(frontend('CN=x', undefined, 'EU-2.hub.example'), into('eu-2', 'cluster/eu-2/CN=x'))
  t.strictSame(frontend('CN=api', undefined, 'eu-1.hub.example'), into('eu-1', 'cluster/eu-1/CN=api'))
  t.match(frontend('CN=api', undefined, 'eu-2.hub.example'), unmapped(/another cluster than the server name/))
  t.match(frontend('CN=x', uri('/cluster/eu-1/apiserver'), 'eu-2.hub.example'), unmapped(/another cluster/))
  t.match(frontend('CN=x', undefined, 'other.example'), unmapped(/names no cluster/))
})

t.test('lets no mapped agent in by a server name, but for one that is mapped as a frontend too', async (t) => {
  const both = createDirectory([
    cluster('eu-1', {
      agents: { subjects: ['CN=agent', 'CN=both'] },
      frontends: { serverNames: ['eu-1.hub.example'] },
    }),
    cluster('eu-2', { agents: { names: ['DNS:agent'] }, frontends: { subjects: ['CN=both'], users: ['alice'] } }),
  ])
  const ask = (subject: string, names?: string, serverName?: string): Admission =>
    admitFrontend(peer(subject, names), serverName, 'hub.example', both)
  for (const serverName of ['eu-1.hub.example', undefined]) {
    t.match(ask('CN=agent', undefined, serverName), unmapped(/it is that of an agent/))
    t.match(ask('CN=y', 'DNS:agent', serverName), unmapped(/it is that of an agent/))
    t.match(ask('CN=agent', uri('/user/alice'), serverName), unmapped(/it is that of an agent/))
  }
  t.match(ask('CN=both'), into('eu-2', 'cluster/eu-2/CN=both'))
})

t.test('takes a user where he is listed, and asks which where that is twice', async (t) => {
  t.strictSame(frontend('', uri('/user/bob')), into('eu-2', 'user/bob'))
  t.strictSame(frontend('', uri('/user/alice'), 'eu-1.hub.example'), into('eu-1', 'user/alice'))
  t.strictSame(frontend('', uri('/user/alice'), 'eu-2.hub.example'), into('eu-2', 'user/alice'))
  t.match(frontend('', uri('/user/alice')), unmapped(/several clusters/))
  t.match(frontend('', uri('/user/bob'), 'eu-1.hub.example'), unmapped(/not of the cluster/))
  t.match(frontend('', uri('/user/carol'), 'eu-1.hub.example'), unmapped(/of no cluster/))
  t.strictSame(frontend('CN=api', uri('/user/carol')), into('eu-1', 'user/carol'), 'mapped by the subject')
})

t.test('knows tokens by their user, and sockets by their path', async (t) => {
  const none = { ...peer(''), required: false, present: false }
  t.strictSame(admitUser('sa:eu-1', none, 'hub.example', directory), into('eu-1', 'sa:eu-1'))
  t.match(admitUser('alice', none, 'hub.example', directory), unmapped(/of no cluster/))
  t.strictSame(admitSocket('/eu-1.sock', 'eu-1', directory), into('eu-1', 'cluster/eu-1/unix-socket'))
  t.match(admitSocket('/eu-1.sock', 'eu-2', directory), unmapped(/of no cluster/))
  t.match(admitSocket('/old.sock', 'eu-1', directory), unmapped(/of no cluster/))
})

t.test(
  'takes a user only with a certificate that says the same cluster, or none, where one is asked for',
  async (t) => {
    const user = (names?: string, subject = 'CN=x'): Admission =>
      admitUser('sa:eu-1', peer(subject, names), 'hub.example', directory)
    const own = into('eu-1', 'sa:eu-1')
    t.strictSame([user(), user(uri('/cluster/eu-1/agent/a1')), user(undefined, 'O=x, CN=agent')], [own, own, own])
    for (const names of [
      uri('/cluster/eu-2/agent/a1'),
      uri('/cluster/eu-9/agent/a1'),
      'URI:spiffe://other.example/agent',
      `DNS:agent.example, ${uri('/cluster/eu-2/agent/a1')}`,
    ]) {
      t.match(user(names), unmapped('its certificate is of another cluster than the user of its token'), names)
    }
    t.match(user(uri('/cluster/eu-1/apiserver')), { kind: 'refused', cause: /this port is for agent certificates/ })
  },
)
