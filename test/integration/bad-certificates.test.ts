/** Who has no certificate for a port is told why, by the protocol of that port, and is counted. */
import t from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { distinguishedName, newKeys, sign, validity } from '../../src/pki/certificate.ts'
import { DAY_MS } from '../../src/pki/lifetime.ts'
import { type Leaf, makePki, saveLeaf } from './certificates.ts'
import { ask, connectHead, echoOver, openTunnel } from './client.ts'
import { counts, fetchFrom, figure } from './figures.ts'
import { echo, listenTarget } from './target.ts'
import { launchAgent, startTunnel } from './tunnel.ts'
import { openWireAgent } from './wire-agent.ts'

const pki = await makePki(t)
const { server } = await startTunnel(t, { pki })
const target = await listenTarget(t, echo)
const beside = await openTunnel(server, target.address)
t.teardown(() => beside.destroy())

const user = { role: 'user', name: 'alice' } as const
const agent = { role: 'agent', cluster: 'eu-1', name: 'a1' } as const
const foreignCa = await createAuthority({ trustDomain: 'hub.example' })
const old = { nowUnixMs: Date.now() - 2 * DAY_MS, lifetimeMs: DAY_MS }

type Refused = { readonly what: string; readonly leaf: Leaf | 'none'; readonly cause: string }

/** Refused on every port. @param identity what would be right there */
async function worthNothing(identity: typeof user | typeof agent): Promise<Refused[]> {
  const { role } = identity
  const keys = await newKeys()
  const subject = distinguishedName({ organization: 'nobody' })
  const dates = validity(Date.now(), DAY_MS)
  const selfSigned = await sign({ ...dates, subject, extensions: [] }, keys, subject, keys.privateKey)
  return [
    { what: 'no certificate', leaf: 'none', cause: 'none was sent' },
    { what: 'an expired one', leaf: await pki.issue(`${role}-old`, { identity, ...old }), cause: 'it has expired' },
    {
      what: 'one that is not valid yet',
      leaf: await pki.issue(`${role}-early`, { identity, nowUnixMs: Date.now() + DAY_MS }),
      cause: 'it is not valid yet',
    },
    {
      what: 'one of another CA',
      leaf: await pki.issue(`${role}-foreign`, { identity }, foreignCa),
      cause: 'it was not issued by the CA of this server',
    },
    {
      what: 'a self-signed one',
      leaf: saveLeaf(pki.folder, `${role}-self-signed`, selfSigned),
      cause: 'it is self-signed',
    },
  ]
}

const frontendCases: readonly Refused[] = [
  ...(await worthNothing(user)),
  {
    what: "an agent's",
    leaf: pki.agent,
    cause: 'it is an agent certificate, and this port is for apiserver and user certificates',
  },
  {
    what: "a server's",
    leaf: await pki.issue('server-dials', { identity: { role: 'server', id: 'x' }, usages: ['connect'] }),
    cause: 'it is a server certificate, and this port is for apiserver and user certificates',
  },
]

const agentCases: readonly Refused[] = [
  ...(await worthNothing(agent)),
  {
    what: "a user's",
    leaf: await pki.issue('bob', { identity: user }),
    cause: 'it is a user certificate, and this port is for agent certificates',
  },
  {
    what: "an API server's",
    leaf: pki.apiserver,
    cause: 'it is an apiserver certificate, and this port is for agent certificates',
  },
]

for (const { what, leaf, cause } of frontendCases) {
  t.test(`the frontend answers a client that brings ${what} with 403 and the cause`, async (t) => {
    await counts(server, 'culvert_server_forbidden_clients_total{port="frontend"}', 1, async () => {
      const answer = await ask(server, connectHead(target.address), leaf)
      t.match(answer, {
        status: 403,
        reason: `Forbidden: client certificate not accepted: ${cause}`,
        headers: { 'proxy-status': /^culvert; error=http_request_denied;/ },
        body: `403 Forbidden: client certificate not accepted: ${cause}`,
      })
    })
    await echoOver(beside, what)
  })
}

t.test('the frontend takes a user and a certificate that names nobody', async (t) => {
  for (const [name, request] of [
    ['alice', { identity: user }],
    ['plain', {}],
  ] as const) {
    const bytes = `GET / HTTP/1.1\r\n\r\n` // beyond the certificate: refused for what it asks
    t.match(await ask(server, bytes, await pki.issue(name, request)), { status: 405 }, name)
  }
})

for (const { what, leaf, cause } of agentCases) {
  t.test(`the agent port answers a peer that brings ${what} with UNAUTHENTICATED and the cause`, async (t) => {
    const forbidden = await figure(server, 'culvert_server_forbidden_clients_total{port="agent"}')
    await counts(server, 'culvert_server_refused_agents_total{why="unauthenticated"}', 1, async () => {
      const peer = await openWireAgent(t, server, { leaf })
      t.strictSame(await peer.ended(), { code: 16, message: `client certificate not accepted: ${cause}` })
    })
    t.equal(await figure(server, 'culvert_server_forbidden_clients_total{port="agent"}'), forbidden + 1)
    t.equal(await figure(server, 'konnectivity_network_proxy_server_ready_backends{proxy_strategy="default"}'), 1)
    await echoOver(beside, what)
  })
}

t.test('an agent whose certificate has expired says so, is not ready and tries again', async (t) => {
  const expired = await pki.issue('agent-expired', { identity: agent, ...old })
  const late = await launchAgent(t, { pki: { ...pki, agent: expired }, agentPort: server.agentPort })
  const { reason } = await late.logged('could not connect', 2)
  t.equal(reason, 'gRPC status 16: client certificate not accepted: it has expired')
  t.equal((await fetchFrom(late.healthPort, '/readyz')).status, 503)
  t.ok((await figure(late, 'culvert_agent_failed_connects_total')) > 1)
})

t.test('an agent does not connect to a server of another CA, nor to one under another name', async (t) => {
  const other = await makePki(t)
  const foreign = await launchAgent(t, { pki: { ...pki, caFile: other.caFile }, agentPort: server.agentPort })
  t.match(await foreign.logged('could not connect'), { reason: /self-signed certificate in certificate chain/ })
  const misled = await launchAgent(
    t,
    { pki, agentPort: server.agentPort },
    { flags: ['--proxy-server-host=localhost'] },
  )
  t.match(await misled.logged('could not connect'), { reason: /does not match certificate's altnames/ })
})
