/** Certificates that renew themselves: nothing that is open notices, the name stays, and who is revoked gets no new one. */
import { X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { updateList } from '../../src/pki/revocation-list.ts'
import { writePair } from '../../src/pki/store.ts'
import { makePki, type Pki } from './certificates.ts'
import { echoOver, openTunnel } from './client.ts'
import { eventually } from './deadline.ts'
import { figure, figureBecomes } from './figures.ts'
import { echo, listenTarget } from './target.ts'
import { type Agent, type Server, startAgent, startServer } from './tunnel.ts'

/** Nearly all of it is waiting. */
t.jobs = 2
const together = { buffered: true }
const LIFETIME_MS = 12_000
const target = await listenTarget(t, echo)
const identity = { role: 'agent', cluster: 'eu-1', name: 'a1' } as const
const renewals = (outcome: string): string => `culvert_agent_certificate_renewals_total{outcome="${outcome}"}`
const serialIn = (file: string): string => new X509Certificate(readFileSync(file)).serialNumber.toLowerCase()

type Renewing = { readonly pki: Pki; readonly server: Server; readonly agent: Agent; readonly list: string }

/** An agent whose certificate lives for seconds. */
async function startRenewing(t: Test): Promise<Renewing> {
  const made = await makePki(t)
  const { certificateFile, keyFile } = writePair(made.folder, 'ca', made.authority, 'replace')
  const pki = {
    ...made,
    agent: await made.issue('short', { identity, dnsNames: ['a1.example'], lifetimeMs: LIFETIME_MS }),
  }
  // Names beside the identity are not asked for again.
  const list = join(pki.folder, 'crl.pem')
  await updateList(pki.folder, pki.authority, { serials: [], lifetimeMs: 3_600_000, nowUnixMs: Date.now() })
  const enrolment = [
    `--enrolment-ca-cert=${certificateFile}`,
    `--enrolment-ca-key=${keyFile}`,
    `--enrolment-lifetime=${LIFETIME_MS}ms`,
  ]
  const server = await startServer(t, { pki, flags: [...enrolment, `--cluster-crl-file=${list}`] })
  const agent = await startAgent(t, server, { flags: [`--join-token-file=${join(pki.folder, 'no-token')}`] })
  return { pki, server, agent, list }
}

t.test('certificates are renewed again and again, under a connection that outlives them', together, async (t) => {
  const { pki, server, agent } = await startRenewing(t)
  const tunnel = await openTunnel(server, target.address)
  const first = serialIn(pki.agent.certFile)
  for (const count of [1, 2, 3]) await agent.logged('certificate renewed', count) // by then the first has expired
  t.not(serialIn(pki.agent.certFile), first)
  t.equal(
    new X509Certificate(readFileSync(pki.agent.certFile)).subjectAltName,
    'URI:spiffe://hub.example/cluster/eu-1/agent/a1',
  )
  await echoOver(tunnel, 'after three certificates')
  t.equal(server.log.filter(({ msg }) => msg === 'agent connected').length, 1, 'by the stream of the first')
  t.equal(await figure(agent, renewals('failed')), 0)
  t.ok((await figure(agent, 'culvert_agent_certificate_expiry_seconds{flag="agent-cert"}')) > 0)
  await eventually(
    'as many were issued as there are renewals', // the next one may come between the two looks
    async () => [
      await figure(server, 'culvert_server_enrolments_total{kind="renewal",outcome="issued"}'),
      await figure(agent, renewals('renewed')),
    ],
    ([issued, renewed]) => issued === renewed,
  )
})

t.test('a certificate that a server does not know yet is shown again', together, async (t) => {
  const pki = await makePki(t)
  const next = await createAuthority({ trustDomain: 'hub.example' })
  const bundle = join(pki.folder, 'bundle.crt')
  writeFileSync(bundle, pki.authority.certificatePem)
  const server = await startServer(t, { pki, flags: [`--cluster-ca-cert=${bundle}`] })
  const agent = await startAgent(t, server)
  await pki.issue('agent', { identity }, next) // in the place of the one it has
  const { reason } = await agent.logged('the server does not take the new certificate for this connection')
  t.equal(reason, 'is untrusted')
  writeFileSync(bundle, pki.authority.certificatePem + next.certificatePem)
  await server.logged('agent shows a new certificate')
  t.equal(server.log.filter(({ msg }) => msg === 'agent connected').length, 1, 'on the connection that it has')
})

t.test('who is revoked gets no new certificate, and an alarm is up', together, async (t) => {
  const { pki, server, agent } = await startRenewing(t)
  await agent.logged('certificate renewed')
  const serials = [serialIn(pki.agent.certFile)]
  await updateList(pki.folder, pki.authority, { serials, lifetimeMs: 3_600_000, nowUnixMs: Date.now() })
  const { reason } = await agent.logged('certificate could not be renewed')
  t.match(reason, /client certificate not accepted: it was revoked/)
  await figureBecomes(agent, 'culvert_agent_certificate_renewal_failing', 1)
  t.ok((await figure(server, 'culvert_server_cut_off_connections_total{port="agent",why="revoked"}')) >= 1)
  t.equal(serialIn(pki.agent.certFile), serials[0], 'the files are what they were')
})
