/**
 * Who is revoked while connected is out within five seconds, on every port, whoever made the certificates; so is who has
 * expired, and whose CA was taken out of the bundle. Everybody else goes on.
 */
import { X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import type { ClientHttp2Session } from 'node:http2'
import type { Socket } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { updateList } from '../../src/pki/revocation-list.ts'
import { LANE_ALPN } from '../../src/tunnel/lane.ts'
import { auditHas } from './audit-log.ts'
import { type Leaf, makePki, type Pki } from './certificates.ts'
import { ask, connectHead, echoOver, endOf, openTunnel } from './client.ts'
import { event, eventually, within } from './deadline.ts'
import { fetchFrom, figure, figureBecomes } from './figures.ts'
import { openSslCa } from './openssl.ts'
import { launch } from './program.ts'
import { echo, listenTarget } from './target.ts'
import { agentPortFlags, frontendFlags, type Server, startAgent, startServer } from './tunnel.ts'
import { openWireAgent } from './wire-agent.ts'
import { echoOver as echoCall, joinFrontend, openCall } from './wire-call.ts'

/** What the issue promises. */
const OUT_MS = 5_000
/** Nearly all of it is waiting. */
t.jobs = 3
const together = { buffered: true }

const target = await listenTarget(t, echo)
const user = (name: string) => ({ identity: { role: 'user', name } as const })
const agent = (name: string) => ({ identity: { role: 'agent', cluster: 'eu-1', name } as const })
const cutOff = (port: string, why: string): string =>
  `culvert_server_cut_off_connections_total{port="${port}",why="${why}"}`
const crlFlags = (file: string): string[] => [`--cluster-crl-file=${file}`, `--server-crl-file=${file}`]

async function revoke({ folder, authority }: Pki, ...leaves: Leaf[]): Promise<string> {
  const serials = leaves.map(({ cert }) => new X509Certificate(cert).serialNumber.toLowerCase())
  await updateList(folder, authority, { serials, lifetimeMs: 3_600_000, nowUnixMs: Date.now() })
  return join(folder, 'crl.pem')
}

/** Of the last change of the cluster, which all agents are of. */
const reasonBecomes = ({ adminPort }: Server, wanted: string): Promise<unknown> =>
  eventually(
    `the reason ${wanted}`,
    async () => (await (await fetchFrom(adminPort, '/v1/clusters/default')).json()) as { reason: string },
    ({ reason }) => reason === wanted,
  )

async function lane(t: Test, { agentPort }: Server, { authority }: Pki, leaf: Leaf): Promise<Socket> {
  const ca = authority.certificatePem
  const socket = connectTls({ host: '127.0.0.1', port: agentPort, ca, ...leaf, ALPNProtocols: [LANE_ALPN] })
  t.teardown(() => socket.destroy())
  await event(socket, 'secureConnect')
  return socket
}

t.test('agents, lanes and clients that are revoked lose what is open; others go on', together, async (t) => {
  const pki = await makePki(t)
  const [bad, good] = [await pki.issue('mallory', user('mallory')), await pki.issue('alice', user('alice'))]
  const second = await pki.issue('second', agent('a2'))
  const auditLog = join(pki.folder, 'audit.log')
  const flags = [...crlFlags(await revoke(pki)), `--audit-log-file=${auditLog}`]
  const server = await startServer(t, { pki, flags })
  const first = await startAgent(t, server)
  const over = await openTunnel(server, target.address) // by the agent that will be revoked
  await startAgent(t, { ...server, pki: { ...pki, agent: second } })
  const unused = await lane(t, server, pki, pki.agent)
  const client = { ...server, pki: { ...pki, apiserver: bad } }
  const frontend = await openTunnel(client, target.address)
  const before = performance.now()
  const ends = [over, unused, frontend].map(endOf)
  await revoke(pki, pki.agent, bad)
  await within(Promise.all(ends), 'the revoked are out', OUT_MS)
  t.ok(performance.now() - before < OUT_MS)

  const refusal = 'client certificate not accepted: it was revoked'
  t.match(await first.logged('could not connect'), { reason: `gRPC status 16: ${refusal}` })
  t.match(await ask(client, connectHead(target.address), bad), { status: 403, reason: `Forbidden: ${refusal}` })
  t.equal(await figure(server, cutOff('agent', 'revoked')), 2)
  t.equal(await figure(server, cutOff('frontend', 'revoked')), 1)
  t.match(await auditHas(auditLog, { event: 'cut-off', reason: 'certificate revoked' }, 3), [{ source: String }])
  await auditHas(auditLog, { event: 'cut-off', principal: /^cluster\/[^/]+\/agent\// }, 2)
  await auditHas(auditLog, { event: 'cut-off', principal: 'user/mallory' }, 1)
  await auditHas(auditLog, { event: 'agent-end', reason: 'revoked' })
  await reasonBecomes(server, 'revoked')
  t.equal(await figure(server, 'culvert_server_agent_stream_ends_total{how="lost"}'), 1)
  t.equal(await figure(server, 'culvert_server_revoked_certificates{flag="server-crl-file"}'), 2)
  const [said] = server.log.filter(({ msg, port }) => msg.startsWith('connections cut off') && port === 'agent')
  t.match(said, { why: 'revoked', subject: /culvert:agent/, connections: 2 })

  const goes = await openTunnel({ ...server, pki: { ...pki, apiserver: good } }, target.address)
  await echoOver(goes, 'by the agent that stays')
  await revoke(pki, second) // one after the other
  await within(endOf(goes), 'the second is out', OUT_MS)
})

t.test('a client of gRPC mode that is revoked loses its calls; another one keeps its own', together, async (t) => {
  const pki = await makePki(t)
  const [bad, good] = [await pki.issue('mallory', user('mallory')), await pki.issue('alice', user('alice'))]
  const server = await startServer(t, { pki, flags: ['--mode=grpc', ...crlFlags(await revoke(pki))] })
  await startAgent(t, server)
  const [lost, kept] = [await joinFrontend(t, server, bad), await joinFrontend(t, server, good)]
  const [call, other] = [openCall(lost), openCall(kept)]
  await echoCall(call, await call.dial(target.address), 'before')
  const id = await other.dial(target.address)
  lost.on('error', () => undefined)
  call.stream.on('error', () => undefined)
  const end = event(lost, 'close')
  await revoke(pki, bad)
  await within(end, 'the revoked one is out', OUT_MS)
  await echoCall(other, id, 'goes on')
  t.match(await openCall(await joinFrontend(t, server, bad)).ended(), { code: 16 })
})

t.test('certificates of OpenSSL, with an intermediate, are taken and revoked by its lists', together, async (t) => {
  const root = openSslCa(t, 'root', 'rsa')
  const below = root.intermediate('below')
  const issued = (name: string, uri: string): Leaf => below.issue(name, `URI:spiffe://hub.example/${uri},IP:127.0.0.1`)
  const own = await makePki(t)
  const certificatePem = readFileSync(root.certFile, 'utf8')
  const pki: Pki = {
    ...own,
    caFile: root.certFile,
    authority: { ...own.authority, certificatePem },
    server: issued('hub', 'server/hub-0'),
    agent: issued('a1', 'cluster/eu-1/agent/a1'),
    apiserver: issued('kube', 'cluster/eu-1/apiserver'),
  }
  const file = join(own.folder, 'lists.pem')
  const write = (): void => writeFileSync(file, root.list() + below.list())
  write()
  const server = await startServer(t, { pki, flags: crlFlags(file) })
  const revoked = await startAgent(t, server)
  const kept = await openTunnel(server, target.address)
  await echoOver(kept, 'over certificates from elsewhere')

  below.revoke(pki.agent)
  const end = endOf(kept)
  write()
  await within(end, 'the agent is out', OUT_MS)
  t.match(await revoked.logged('could not connect'), { reason: /it was revoked/ })
  t.equal(await figure(server, cutOff('frontend', 'revoked')), 0)

  const a2 = issued('a2', 'cluster/eu-1/agent/a2')
  await startAgent(t, { ...server, pki: { ...pki, agent: a2 } })
  const over = await openTunnel(server, target.address)
  root.revoke(below) // and with it all that it has issued
  const all = endOf(over)
  write()
  await within(all, 'everybody below is out', OUT_MS)
})

t.test('who expires, or has only a CA that is taken away, is out as well', together, async (t) => {
  const pki = await makePki(t)
  const next = await createAuthority({ trustDomain: 'hub.example' })
  const fresh = await pki.issue('fresh', agent('fresh'), next)
  const lasting = await pki.issue('lasting', user('lasting'), next)
  writeFileSync(pki.caFile, pki.authority.certificatePem + next.certificatePem)
  const server = await startServer(t, { pki })
  await startAgent(t, { ...server, pki: { ...pki, agent: fresh } })
  const stays = await openTunnel({ ...server, pki: { ...pki, apiserver: lasting } }, target.address)
  const goes = await openTunnel(server, target.address)
  const brief = await openWireAgent(t, server, {
    leaf: await pki.issue('short', { ...agent('short'), lifetimeMs: 8_000 }),
  })
  const old = await openWireAgent(t, server)
  await Promise.all([brief.answer(), old.answer()])

  await within(closedHttp(brief.http), 'the certificate ends', 8_000 + OUT_MS)
  await reasonBecomes(server, 'expired')
  t.equal(await figure(server, cutOff('agent', 'expired')), 1)
  const ends = [closedHttp(old.http), endOf(goes)]
  writeFileSync(pki.caFile, next.certificatePem)
  await within(Promise.all(ends), 'the CA is gone', OUT_MS)
  t.equal(await figure(server, cutOff('agent', 'untrusted')), 1)
  t.equal(await figure(server, cutOff('frontend', 'untrusted')), 1)
  await echoOver(stays, 'of the CA that stays')
})

t.test('lists that are broken, forged or expired: the ones before count, and an alarm is up', together, async (t) => {
  const pki = await makePki(t)
  const bad = await pki.issue('mallory', user('mallory'))
  const file = await revoke(pki, bad)
  const server = await startServer(t, { pki, flags: crlFlags(file) })
  const alarm = 'culvert_server_crl_files_broken{flag="server-crl-file"}'
  const refused = async (): Promise<void> => {
    t.match(await ask(server, connectHead(target.address), bad), { status: 403, reason: /it was revoked/ })
  }
  await refused()
  const forged = await makePki(t) // of a CA of the same name
  const good = readFileSync(file)
  for (const bytes of [Buffer.from('half a li'), good.subarray(0, 200), readFileSync(await revoke(forged))]) {
    writeFileSync(file, bytes)
    await figureBecomes(server, alarm, 1)
    await refused()
    writeFileSync(file, good)
    await figureBecomes(server, alarm, 0)
  }
  t.match(
    server.log.findLast(({ msg }) => msg.startsWith('revocation lists are broken')),
    {
      reason: /is in the name of O=culvert, CN=Culvert hub CA, whose signature it does not have/,
    },
  )
  const serials = [new X509Certificate(bad.cert).serialNumber.toLowerCase()]
  await updateList(pki.folder, pki.authority, { serials, lifetimeMs: 1_000, nowUnixMs: Date.now() - 60_000 })
  await server.logged('a revocation list has expired and is used on', 2) // of both ports
  await refused()
  t.ok((await figure(server, 'culvert_server_crl_expiry_seconds{flag="server-crl-file"}')) < 0)
})

t.test('a server does not start with a list that is no list, or for nobody', together, async (t) => {
  const pki = await makePki(t)
  const file = join(pki.folder, 'crl.pem')
  writeFileSync(file, 'nothing')
  for (const [flags, problem] of [
    [crlFlags(file), /holds no revocation list/],
    [[`--server-crl-file=${file}-missing`], /there is no such file .*"culvert pki crl --refresh" makes an empty list/],
  ] as const) {
    const ports = [...frontendFlags(pki), ...agentPortFlags(pki)]
    const program = launch(t, { name: 'proxy-server', flags: [...ports, '--mode=http-connect', ...flags] })
    t.match(await program.ended, { code: 1 })
    t.match([...program.lines, ...program.log.map((line) => JSON.stringify(line))].join('\n'), problem)
  }
})

const closedHttp = (http: ClientHttp2Session): Promise<unknown> => {
  http.on('error', () => undefined)
  return event(http, 'close')
}

t.test('a list that counts for no CA of the bundle is warned of', together, async (t) => {
  const pki = await makePki(t)
  const file = join(pki.folder, 'lists.pem')
  writeFileSync(file, openSslCa(t, 'stranger').list())
  const server = await startServer(t, { pki, flags: [`--cluster-crl-file=${file}`] })
  t.match(await server.logged('revocation lists are of CAs that are not in the bundle'), { of_unknown_cas: 1 })
  const lists = 'culvert_server_crl_lists_of_unknown_cas{flag="cluster-crl-file"}'
  t.equal(await figure(server, lists), 1)
  writeFileSync(file, readFileSync(await revoke(pki)))
  await figureBecomes(server, lists, 0)
})
