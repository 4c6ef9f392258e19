/** Servers whose certificates are no longer good: an agent that is connected to one leaves it within five seconds, and says why. */

import { X509Certificate } from 'node:crypto'
import { join } from 'node:path'
import t from 'tap'
import { updateList } from '../../src/pki/revocation-list.ts'
import { auditHas } from './audit-log.ts'
import { type Leaf, makePki, type Pki } from './certificates.ts'
import { echoOver, endOf, openTunnel } from './client.ts'
import { within } from './deadline.ts'
import { figureBecomes } from './figures.ts'
import { launch } from './program.ts'
import { echo, listenTarget } from './target.ts'
import { launchAgent, startAgent, startServer } from './tunnel.ts'

/** What is promised of whoever is no longer good. */
const OUT_MS = 5_000
/** A certificate that ends while the test runs, and not before all programs have started: milliseconds. */
const BRIEF_MS = 15_000
/** Longer than an agent with lists takes to leave. */
const STAYED_MS = 3_000
const target = await listenTarget(t, echo)
const hub = (lifetimeMs?: number) => ({
  identity: { role: 'server', id: 'hub-0' } as const,
  ipAddresses: ['127.0.0.1'],
  ...(lifetimeMs !== undefined && { lifetimeMs }),
})

async function revoke({ folder, authority }: Pki, ...leaves: Leaf[]): Promise<string> {
  const serials = leaves.map(({ cert }) => new X509Certificate(cert).serialNumber.toLowerCase())
  await updateList(folder, authority, { serials, lifetimeMs: 3_600_000, nowUnixMs: Date.now() })
  return join(folder, 'crl.pem')
}

t.test(
  'an agent with lists leaves a server whose certificate expires, and comes back when it has another one',
  async (t) => {
    const pki = await makePki(t)
    const file = await revoke(pki)
    const brief = await pki.issue('brief', hub(BRIEF_MS))
    const auditLog = join(pki.folder, 'agent.log')
    const server = await startServer(t, { pki: { ...pki, server: brief } })
    const agent = await startAgent(t, server, { flags: [`--crl-file=${file}`, `--audit-log-file=${auditLog}`] })
    const client = { ...server, pki }
    const open = await openTunnel(client, target.address)
    await echoOver(open, 'while it is good')
    const leftMs = new X509Certificate(brief.cert).validToDate.getTime() - Date.now()
    await within(endOf(open), 'what it has open ends', leftMs + OUT_MS)
    const reason = /^the server's certificate, or that of a CA above it, expired at /
    t.match(await agent.logged('disconnected'), { reason })
    await auditHas(auditLog, { event: 'server-end', reason })
    t.match(await agent.logged('could not connect'), { reason: /certificate has expired/ })
    await pki.issue('brief', hub())
    await agent.logged('connected', 2)
  },
)

t.test("an agent without lists stays with a server whose certificate expires, as konnectivity's does", async (t) => {
  const pki = await makePki(t)
  const file = await revoke(pki)
  const server = await startServer(t, { pki: { ...pki, server: await pki.issue('brief', hub(BRIEF_MS)) } })
  const agent = await startAgent(t, server)
  const open = await openTunnel({ ...server, pki }, target.address)
  const other = await startAgent(t, server, { flags: [`--crl-file=${file}`] })
  await other.logged('disconnected')
  await new Promise((resolve) => setTimeout(resolve, STAYED_MS))
  await echoOver(open, 'as before')
  t.notOk(agent.log.some(({ msg }) => msg === 'disconnected'))
})

const REVOKED = "the server's certificate, or that of a CA above it, is revoked"

t.test('an agent leaves a server that is revoked, and shows it nothing when it comes again', async (t) => {
  const pki = await makePki(t)
  const file = await revoke(pki)
  const auditLog = join(pki.folder, 'agent.log')
  const server = await startServer(t, { pki })
  const agent = await startAgent(t, server, { flags: [`--crl-file=${file}`, `--audit-log-file=${auditLog}`] })
  const open = await openTunnel(server, target.address)
  await echoOver(open, 'while it is good')
  const end = endOf(open)
  await revoke(pki, pki.server)
  await within(end, 'what it has open ends', OUT_MS)
  t.match(await agent.logged('disconnected'), { reason: REVOKED })
  await auditHas(auditLog, { event: 'server-end', reason: REVOKED })
  t.match(await agent.logged('could not connect'), { reason: REVOKED })
  await figureBecomes(agent, 'culvert_agent_revoked_certificates{flag="crl-file"}', 1)
  t.equal(server.log.filter(({ msg }) => msg === 'agent connected').length, 1)
  await pki.issue('server', hub()) // in the place of the one that is revoked
  await agent.logged('connected', 2)
})

t.test('an agent does not connect to a server that is revoked, nor start with lists that are none', async (t) => {
  const pki = await makePki(t)
  const server = await startServer(t, { pki })
  const flags = [`--crl-file=${await revoke(pki, pki.server)}`]
  const agent = await launchAgent(t, server, { flags })
  t.match(await agent.logged('could not connect'), { reason: REVOKED })
  t.notOk(
    server.log.some(({ msg }) => msg === 'agent connected' || msg === 'agent refused'),
    'it was told nothing',
  )
  const start = (file: string) =>
    launch(t, { name: 'proxy-agent', flags: [`--ca-cert=${pki.caFile}`, `--crl-file=${file}`] })
  for (const [file, problem] of [
    [pki.caFile, /--crl-file: .*holds no revocation list/],
    [join(pki.folder, 'none'), /--crl-file: there is no such file .*makes an empty list/],
  ] as const) {
    const program = start(file)
    t.match(await program.ended, { code: 1 })
    t.match([...program.lines, ...program.log.map((line) => JSON.stringify(line))].join('\n'), problem)
  }
})
