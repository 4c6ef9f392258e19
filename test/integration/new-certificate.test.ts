/** What an agent may show as its new certificate on the connection that it has, and what the server does not take. */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { constants } from 'node:http2'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { NEW_CERTIFICATE_PATH, writeNewCertificate } from '../../src/pki/new-certificate.ts'
import { provePossession } from '../../src/pki/possession.ts'
import { updateList } from '../../src/pki/revocation-list.ts'
import { offered, writeExtensions } from '../../src/tunnel/extensions.ts'
import { LANE_ALPN, writeHello } from '../../src/tunnel/lane.ts'
import { withLongLength } from '../pki/hostile.ts'
import { type Leaf, makePki, saveLeaf } from './certificates.ts'
import { event, within } from './deadline.ts'
import { figure } from './figures.ts'
import { openSslCa } from './openssl.ts'
import { proved, show, socketOf } from './showing.ts'
import { startServer } from './tunnel.ts'
import { connectAgentPort, openWireAgent, type WireAgent } from './wire-agent.ts'

const pki = await makePki(t)
const elsewhere = openSslCa(t, 'elsewhere', 'ed25519')
const bundle = join(pki.folder, 'bundle.crt')

writeFileSync(bundle, pki.authority.certificatePem + readFileSync(elsewhere.certFile, 'utf8'))
const list = join(pki.folder, 'crl.pem')
const revoke = (...leaves: readonly Leaf[]) => {
  const serials = leaves.map(({ cert }) => new X509Certificate(cert).serialNumber.toLowerCase())
  return updateList(pki.folder, pki.authority, { serials, lifetimeMs: 3_600_000, nowUnixMs: Date.now() })
}
await revoke()
const server = await startServer(t, { pki, flags: [`--cluster-ca-cert=${bundle}`] })
const strict = await startServer(t, { pki, flags: [`--cluster-ca-cert=${pki.caFile}`, `--cluster-crl-file=${list}`] })
let changes = 0
const relisted = (times: number) => {
  changes += times
  return strict.logged('revocation lists changed', changes)
}
const withoutHeartbeats = new Set([...offered].filter((name) => name !== 'heartbeat'))
const a1 = { identity: { role: 'agent', cluster: 'eu-1', name: 'a1' } as const }

async function connected(t: Test, leaf = pki.agent, to = server): Promise<WireAgent> {
  const agent = await openWireAgent(t, to, { leaf })
  await agent.answer()
  return agent
}

t.test('a connection lives on by a certificate that follows the one it was made with', async (t) => {
  const agent = await connected(t, await pki.issue('short', { ...a1, lifetimeMs: 8_000 }))
  const brief = await connected(t, await pki.issue('brief', { ...a1, lifetimeMs: 8_000 }))
  const ended = event(brief.http, 'close')
  const next = await pki.issue('next', a1)
  t.strictSame(await show(agent, proved(agent, next)), { status: 200, text: '' })
  const uri = 'URI:spiffe://hub.example/cluster/eu-1/agent/a1'
  t.strictSame(
    await show(agent, proved(agent, elsewhere.issue('a1', uri))),
    { status: 200, text: '' },
    'of another CA and kind',
  )
  await within(ended, 'the other one ends with its certificate', 14_000)
  t.equal(agent.http.closed, false)
  t.equal(await figure(server, 'culvert_server_cut_off_connections_total{port="agent",why="expired"}'), 1)
})

t.test('a lane that was under way with the certificate before counts as made with the new one', async (t) => {
  const short = await pki.issue('short-lane', { ...a1, lifetimeMs: 6_000 })
  const extensions = writeExtensions(withoutHeartbeats)
  const headers = { agentid: 'with-lanes', 'culvert-extensions': extensions }
  const agent = await openWireAgent(t, server, { leaf: short, headers })
  await agent.answer()
  const brief = await connected(t, await pki.issue('brief-lane', { ...a1, lifetimeMs: 6_000 }))
  const ended = event(brief.http, 'close')
  agent.send({ type: 'LANES_WANTED', count: 2 })
  const tokens = [await agent.next('LANE_OFFER'), await agent.next('LANE_OFFER')].map(({ token }) => token)
  const ca = pki.authority.certificatePem
  const made = { host: '127.0.0.1', port: server.agentPort, ca, ...short, ALPNProtocols: [LANE_ALPN] }
  const lanes = [connectTls(made), connectTls(made)]
  for (const lane of lanes) {
    t.teardown(() => lane.destroy())
    lane.on('error', () => undefined)
    await event(lane, 'secureConnect')
  }
  lanes[0]!.write(writeHello(tokens[0]!))
  await event(lanes[0]!, 'data')
  t.match(await show(agent, proved(agent, await pki.issue('long-lane', a1))), { status: 200 })
  lanes[1]!.write(writeHello(tokens[1]!))
  await event(lanes[1]!, 'data')
  await ended
  t.strictSame(
    lanes.map(({ destroyed }) => destroyed),
    [false, false],
  )
  t.equal(await figure(server, 'culvert_server_open_lanes'), 2, 'both stand')
  t.equal(agent.http.closed, false)
})

t.test('nothing else is taken, and the connection stays what it was', async (t) => {
  const [agent, other] = [await connected(t), await connected(t)]
  const next = await pki.issue('next-again', a1)
  const a2 = await pki.issue('a2', { identity: { role: 'agent', cluster: 'eu-1', name: 'a2' } })
  const stranger = await pki.issue('stranger', a1, await createAuthority({ trustDomain: 'hub.example' }))
  const old = await pki.issue('old', { ...a1, nowUnixMs: Date.now() - 172_800_000, lifetimeMs: 86_400_000 })
  const early = await pki.issue('early', { ...a1, nowUnixMs: Date.now() + 86_400_000 })
  const serves = await pki.issue('serves', { ...a1, usages: ['serve'] })
  for (const [what, body, text] of [
    ['nothing', '', 'cannot be read'],
    ['no JSON', 'hello', 'cannot be read'],
    ['no certificate', '{"certificate":"x","proof":""}', 'cannot be read'],
    ['too much', 'x'.repeat(70_000), 'is over the limit of 65536 bytes'],
    ['somebody else', proved(agent, a2), 'is of another holder than the connection'],
    ['an API server', proved(agent, pki.apiserver), /^is not accepted: it is an apiserver certificate/],
    ['of no CA', proved(agent, stranger), 'is untrusted'],
    ['over', proved(agent, old), 'is expired'],
    ['too early', proved(agent, early), 'is not valid yet'],
    ['for servers', proved(agent, serves), 'is not for clients'],
    ['of another key', proved(agent, next, pki.apiserver.key), 'is not proved to be of who shows it'],
    [
      'proved on another connection',
      proved(agent, next, next.key, socketOf(other)),
      'is not proved to be of who shows it',
    ],
  ] as const) {
    t.match(await show(agent, body), { status: 403, text }, what)
  }
  t.strictSame(await show(agent, proved(agent, next)), { status: 200, text: '' }, 'what is right still is')
})

t.test('to revoke a certificate is to revoke what has followed it', async (t) => {
  const [agent, kept] = [await connected(t, pki.agent, strict), await connected(t, await pki.issue('kept', a1), strict)]
  t.match(await show(agent, proved(agent, await pki.issue('follows', a1))), { status: 200 })
  const ended = event(agent.http, 'close')
  await revoke(pki.agent)
  await within(ended, 'the one that followed is out', 5_000)
  const revoked = await pki.issue('bad', a1)
  await revoke(revoked)
  await relisted(2)
  t.match(await show(kept, proved(kept, revoked)), { status: 403, text: 'is revoked' })
})

t.test('a certificate whose key cannot be decoded is refused, and the server lives on', async (t) => {
  const agent = await connected(t)
  const next = await pki.issue('undecodable', a1)
  const der = Buffer.from(new X509Certificate(next.cert).raw)
  der[der.indexOf(Buffer.from('2a8648ce3d030107', 'hex')) + 7] = 0x7f // a curve that there is not
  const cert = `-----BEGIN CERTIFICATE-----\n${der.toString('base64')}\n-----END CERTIFICATE-----\n`
  t.throws(() => new X509Certificate(cert).publicKey, 'it is such a one')
  const proof = provePossession(socketOf(agent), new X509Certificate(cert), createPrivateKey(next.key))
  t.match(await show(agent, writeNewCertificate(cert, proof)), {
    status: 403,
    text: 'is not proved to be of who shows it',
  })
  t.match(await show(agent, proved(agent, next)), { status: 200 })
})

t.test('a certificate that is no DER is refused where there is a list, and the server lives on', async (t) => {
  const { cert, key } = await pki.issue('before-long', a1)
  const long = saveLeaf(pki.folder, 'long', withLongLength(pki.authority, { certificatePem: cert, keyPem: key }))
  await connected(t, long) // without a list nobody has to read it
  const agent = await connected(t, await pki.issue('beside-long', a1), strict)
  t.match(await show(agent, proved(agent, long)), { status: 403, text: 'is untrusted' })
  const refused = await openWireAgent(t, strict, { leaf: long })
  t.match(await refused.ended(), { code: 16, message: /it was not issued by the CA of this server/ })
  const { reason } = await strict.logged('a certificate cannot be looked for in the revocation lists')
  t.match(reason, /a length is malformed/)
  t.match(await show(agent, proved(agent, await pki.issue('after-long', a1))), { status: 200 })
})

t.test('a list is looked at again after somebody went back to the certificate before', async (t) => {
  const [before, after] = [await pki.issue('before', a1), await pki.issue('after', a1)]
  const agent = await connected(t, before, strict)
  await connected(t, before, strict)
  t.match(await show(agent, proved(agent, after)), { status: 200 })
  t.match(await show(agent, proved(agent, before)), { status: 200 })
  await revoke(await pki.issue('nobody', a1))
  await relisted(1)
  t.match(await show(agent, proved(agent, after)), { status: 200 }, 'the server answers')
})

t.test('who is revoked takes every connection along that has gone over to a certificate after it', async (t) => {
  const [one, two] = [await pki.issue('one', a1), await pki.issue('two', a1)]
  const [first, second] = [await connected(t, one, strict), await connected(t, two, strict)]
  const after = await pki.issue('after-both', a1)
  for (const agent of [first, second]) t.match(await show(agent, proved(agent, after)), { status: 200 })
  const ended = event(second.http, 'close')
  await revoke(two)
  await within(ended, 'the one that came from the second', 5_000)
  await relisted(1)
})

t.test('a certificate follows so many at most', async (t) => {
  const agent = await connected(t, await pki.issue('first-of-many', a1), strict)
  const next = await pki.issue('next-of-many', a1)
  const many = await Promise.all(Array.from({ length: 9 }, (_, index) => pki.issue(`many-${index}`, a1)))
  for (const [index, leaf] of many.entries())
    t.match(await show(agent, proved(agent, leaf)), { status: index < 8 ? 200 : 403 }, String(index))
  t.match(await show(agent, proved(agent, next)), { status: 403, text: 'is one of too many' })
})

t.test('who shows one after the other is told to wait, and hung up on in the end', async (t) => {
  const agent = await connected(t)
  for (let count = 1; count <= 16; count++) t.match(await show(agent, ''), { status: 403 }, String(count))
  const ended = event(agent.http, 'close')
  t.match(await show(agent, proved(agent, await pki.issue('in-vain', a1))), { status: 429 })
  for (let count = 1; count <= 20 && !agent.http.closed; count++) await show(agent, '').catch(() => undefined)
  await within(ended, 'it is hung up on', 5_000)
})

t.test('an agent that resets what it shows ends nothing but that', async (t) => {
  const [agent, other] = [await connected(t), await connected(t)]
  const request = agent.http.request({ ':method': 'POST', ':path': NEW_CERTIFICATE_PATH })
  request.on('error', () => undefined)
  request.write('{}')
  request.close(constants.NGHTTP2_NO_ERROR)
  t.match(await show(agent, proved(agent, await pki.issue('after-reset', a1))), { status: 200 })
  t.match(await show(other, proved(other, await pki.issue('beside-reset', a1))), { status: 200 })
})

t.test('who is no agent yet shows nothing', async (t) => {
  const socket = await connectAgentPort(t, server)
  t.equal(socket.authorized, true)
  const agent = await openWireAgent(t, server, { path: NEW_CERTIFICATE_PATH })
  t.match(await agent.ended(), { code: 12 })
})
