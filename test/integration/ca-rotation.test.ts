/**
 * The steps of docs/certificates.md, "Changing the CA", while clients connect without a pause: no CONNECT fails, no connection of
 * who has followed breaks, and at the end the old CA is worth nothing.
 */
import { X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { writePair } from '../../src/pki/store.ts'
import { type Leaf, makePki, type Pki } from './certificates.ts'
import { ask, connectHead, echoOver, openTunnel } from './client.ts'
import { eventually } from './deadline.ts'
import { figure } from './figures.ts'
import { echo, listenTarget } from './target.ts'
import { type Agent, startAgent, startServer } from './tunnel.ts'

/** Of the certificates of agents: they renew within seconds. */
const LIFETIME_MS = 12_000
/** Clients at once. */
const CLIENTS = 3
/** Two looks at files, a renewal, and what a busy machine adds. */
const NOTICED_MS = 40_000

t.test('a CA is exchanged under load, and no CONNECT fails', { timeout: 0 }, async (t) => {
  const made = await makePki(t)
  const old = made.authority
  const next = await createAuthority({ trustDomain: 'hub.example' })
  const both = old.certificatePem + next.certificatePem
  const identity = (name: string) => ({ identity: { role: 'agent', cluster: 'eu-1', name } as const })
  const issuing = writePair(made.folder, 'issuing', old, 'replace')
  // Whoever asks this pki trusts both from the start; the programs trust what the files say.
  const pki: Pki = { ...made, authority: { ...old, certificatePem: both } }
  const server = await startServer(t, {
    pki,
    flags: [
      `--enrolment-ca-cert=${issuing.certificateFile}`,
      `--enrolment-ca-key=${issuing.keyFile}`,
      `--enrolment-lifetime=${LIFETIME_MS}ms`,
    ],
  })
  const leaves: Leaf[] = []
  const agents: Agent[] = []
  for (const name of ['a1', 'a2']) {
    const agent = await made.issue(name, { ...identity(name), lifetimeMs: LIFETIME_MS }) // good for as long from here
    leaves.push(agent)
    const flags = [`--join-token-file=${join(made.folder, 'none')}`]
    agents.push(await startAgent(t, { ...server, pki: { ...pki, agent } }, { flags }))
  }
  const target = await listenTarget(t, echo)
  let client = { ...server, pki }
  let over = false
  let connects = 0
  const load = async (): Promise<void> => {
    while (!over) {
      const tunnel = await openTunnel(client, target.address)
      await echoOver(tunnel, 'under load')
      tunnel.destroy()
      connects++
    }
  }
  const loads = Promise.all(Array.from({ length: CLIENTS }, load))
  loads.catch(() => undefined) // heard of below
  const open = await openTunnel(client, target.address)
  const changed = 'TLS files changed, new handshakes use them'

  writeFileSync(pki.caFile, both) // 1: both are trusted
  await Promise.all([
    server.logged(changed, 2),
    ...agents.map(({ logged }) => logged('TLS files changed, the next connection uses them')),
  ])

  await made.issue('server', { identity: { role: 'server', id: 'hub-0' }, ipAddresses: ['127.0.0.1'] }, next) // 2
  writePair(made.folder, 'issuing', next, 'replace')
  await Promise.all([
    server.logged(changed, 4),
    server.logged('the CA of enrolment changed, new certificates are of it'),
  ])
  const newAuthority = new X509Certificate(next.certificatePem)
  const isNext = (file: string): boolean => new X509Certificate(readFileSync(file)).verify(newAuthority.publicKey)
  await eventually(
    'all agents have a certificate of the new CA',
    () => leaves.every(({ certFile }) => isNext(certFile)),
    (all) => all,
    NOTICED_MS,
  )
  await echoOver(open, 'a connection from before the renewal')
  open.destroy()
  const apiserver = await made.issue('apiserver-2', { identity: { role: 'apiserver', cluster: 'eu-1' } }, next)
  client = { ...server, pki: { ...pki, apiserver } } // 3: everybody comes back with it
  const kept = await openTunnel(client, target.address)
  const before = connects
  await eventually(
    'the clients that began with the old one are done',
    () => connects,
    (count) => count > before + 2 * CLIENTS,
  )
  // What the last renewal has brought is known to the server before the old CA goes.
  const shown = (): number => server.log.filter(({ msg }) => msg === 'agent shows a new certificate').length
  const renewed = (): number =>
    agents.reduce((sum, { log }) => sum + log.filter(({ msg }) => msg === 'certificate renewed').length, 0)
  await eventually(
    'the server knows them all',
    () => shown() === renewed(),
    (equal) => equal,
  )

  writeFileSync(pki.caFile, next.certificatePem) // 4: the old one is out
  await server.logged(changed, 6)
  const last = connects
  await eventually(
    'clients connect on',
    () => connects,
    (count) => count > last + 10 * CLIENTS,
  )
  over = true
  await loads
  await echoOver(kept, 'a connection from before the old CA went')
  kept.destroy()
  for (const why of ['revoked', 'expired', 'untrusted']) {
    for (const port of ['agent', 'frontend']) {
      t.equal(await figure(server, `culvert_server_cut_off_connections_total{port="${port}",why="${why}"}`), 0)
    }
  }
  t.equal(server.log.filter(({ msg }) => msg === 'agent connected').length, 2, 'by the streams of the beginning')
  t.match(await ask({ ...server, pki }, connectHead(target.address)), { status: 403 }, 'the old CA is worth nothing')
  t.comment(`${connects} CONNECTs`)
})
