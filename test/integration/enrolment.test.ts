/**
 * Agents that come with a join token and nothing else: they get a certificate over the agent port, keep it, and renew it. What is no
 * good token, or comes twice, gets nothing; a hub that is not the token's hears nothing.
 */
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls, createServer, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { revoke } from '../../src/pki/commands/revoke.ts'
import {
  ENROLMENT_ALPN,
  type EnrolmentAnswer,
  readAnswer,
  writeAuthorities,
  writeRequest,
} from '../../src/pki/enrolment-wire.ts'
import { createJoinToken, plainFingerprint, readJoinToken, writeJoinToken } from '../../src/pki/join-token.ts'
import { updateList } from '../../src/pki/revocation-list.ts'
import { createSigningRequest } from '../../src/pki/signing-request.ts'
import { writePair } from '../../src/pki/store.ts'
import { create } from '../../src/pki/token-commands/create.ts'
import { listTokens } from '../../src/pki/token-store.ts'
import { run } from '../pki/commands/command.ts'
import { auditHas } from './audit-log.ts'
import { type Leaf, makePki, type Pki, saveLeaf, temporaryFolder } from './certificates.ts'
import { echoOver, openTunnel } from './client.ts'
import { event, within } from './deadline.ts'
import { fetchFrom, figure, figureBecomes } from './figures.ts'
import { startFrontDoor } from './front-door.ts'
import { launch, type Program } from './program.ts'
import { echo, listenTarget } from './target.ts'
import { AGENTS_NAME } from './through-front-door.ts'
import { type Server, startServer } from './tunnel.ts'
import { openWireAgent } from './wire-agent.ts'

/** Nearly all of it is waiting. */
t.jobs = 3
const together = { buffered: true }
const target = await listenTarget(t, echo)

type Hub = Server & { readonly tokens: string }

async function startHub(t: Test, flags: readonly string[] = [], own?: Pki): Promise<Hub> {
  const pki = own ?? (await makePki(t))
  const { certificateFile, keyFile } = writePair(pki.folder, 'ca', { ...pki.authority }, 'replace')
  const tokens = join(pki.folder, 'join-tokens')
  const enrolment = [
    `--enrolment-ca-cert=${certificateFile}`,
    `--enrolment-ca-key=${keyFile}`,
    `--join-tokens=${tokens}`,
  ]
  return { ...(await startServer(t, { pki, flags: [...enrolment, ...flags] })), tokens }
}

/** @param more flags of `culvert token create` */
async function tokenOf({ pki, tokens }: Hub, more: readonly string[] = [], nowUnixMs?: number): Promise<string> {
  const argv = ['--cluster', 'eu-1', '--ca', pki.caFile, '--tokens', tokens, ...more]
  const outcome = await run(create, argv, nowUnixMs)
  return outcome.kind === 'done' ? (outcome.lines[0] ?? '') : ''
}

type Joining = Program & {
  readonly folder: string
  readonly files: Record<'token' | 'cert' | 'key' | 'ca' | 'ports', string>
}

function joinWith(
  t: Test,
  agentPort: number,
  token: string | undefined,
  folder = temporaryFolder(t),
  more: readonly string[] = [],
): Joining {
  const file = (name: string): string => join(folder, name)
  const files = {
    token: file('token'),
    cert: file('agent.crt'),
    key: file('agent.key'),
    ca: file('ca.crt'),
    ports: file('ports'),
  }
  if (token !== undefined) writeFileSync(files.token, `${token}\n`, { mode: 0o600 })
  const flags = [
    `--proxy-server-port=${agentPort}`,
    `--join-token-file=${files.token}`,
    `--agent-cert=${files.cert}`,
    `--agent-key=${files.key}`,
    `--ca-cert=${files.ca}`,
    `--ports-file=${files.ports}`,
    '--health-server-host=127.0.0.1',
    '--health-server-port=0',
    '--admin-server-port=0',
    '--sync-interval=50ms',
    ...more,
  ]
  return { ...launch(t, { name: 'proxy-agent', flags }), folder, files }
}

const enrolments = (kind: string, outcome: string): string =>
  `culvert_server_enrolments_total{kind="${kind}",outcome="${outcome}"}`
const spoken = ({ log, lines }: Program): string => [...lines, ...log.map((line) => JSON.stringify(line))].join('\n')

t.test('an agent joins by a token, keeps what it got, and needs no token again', together, async (t) => {
  const auditLog = join(temporaryFolder(t), 'audit.log')
  const hub = await startHub(t, [`--audit-log-file=${auditLog}`])
  const token = await tokenOf(hub, ['--name', 'first'])
  const agent = joinWith(t, hub.agentPort, token)
  await Promise.all([agent.logged('connected'), hub.logged('agent connected')])
  t.match(
    hub.log.find(({ msg }) => msg === 'certificate issued'),
    { kind: 'join', who: 'agent first of cluster eu-1 in hub.example' },
  )
  t.match(await (await fetchFrom(hub.adminPort, '/v1/clusters')).text(), /"principal": "cluster\/eu-1\/agent\/first"/)
  const tunnel = await openTunnel(hub, target.address)
  await echoOver(tunnel, 'by an agent that joined')

  const { cert, key, ca } = agent.files
  t.strictSame(
    [cert, key, ca].map((file) => statSync(file).mode & 0o777),
    [0o644, 0o600, 0o644],
  )
  t.equal(readFileSync(ca, 'utf8').trim(), hub.pki.authority.certificatePem.trim())
  const certificate = new X509Certificate(readFileSync(cert))
  const hours = (certificate.validToDate.getTime() - Date.now()) / 3_600_000
  t.ok(hours > 23.9 && hours <= 24, `${hours} hours`)
  t.match(listTokens(hub.tokens, Date.now()), [{ state: 'used', name: 'first' }])

  agent.signal('SIGKILL')
  await agent.ended
  const again = joinWith(t, hub.agentPort, undefined, agent.folder) // the token's file is there, but of no use any more
  await again.logged('connected')
  t.equal(await figure(hub, enrolments('join', 'issued')), 1)
  const years = (await figure(hub, 'culvert_server_certificate_expiry_seconds{flag="enrolment-ca-cert"}')) / 31_536_000
  t.ok(years > 9.9 && years < 10.1, `the CA is good for ${years} years`)

  const second = joinWith(t, hub.agentPort, token)
  t.match(await second.ended, { code: 1 })
  t.match(spoken(second), /gave no certificate: the join token has been used before/)
  t.notOk(existsSync(second.files.cert))
  t.equal(await figure(hub, enrolments('join', 'used_token')), 1)
  const source = /^127\.0\.0\.1:\d+$/
  const principal = 'cluster/eu-1/agent/first'
  t.match(await auditHas(auditLog, { event: 'certificate', verdict: 'allowed' }), [
    { rule: 'join', cluster: 'eu-1', principal, source },
  ])
  t.match(await auditHas(auditLog, { event: 'certificate', verdict: 'refused' }), [
    { rule: 'join', source, reason: /used before/ },
  ])
  t.notOk(readFileSync(auditLog, 'utf8').includes(readJoinToken(token).secret), 'the audit log has no secret')
  for (const program of [hub, agent, again, second]) {
    t.notOk(spoken(program).includes(readJoinToken(token).secret), `${program.name} keeps the secret`)
  }
  t.notOk(spoken(agent).includes(readFileSync(key, 'utf8').split('\n')[1] ?? ''), 'and the key')
})

t.test('tokens that are expired, foreign, tampered with or made up let nobody in', together, async (t) => {
  const [hub, other] = [await startHub(t), await startHub(t)]
  const good = readJoinToken(await tokenOf(hub))
  const refused = async (what: string, token: string, said: RegExp, outcome?: string): Promise<void> => {
    const agent = joinWith(t, hub.agentPort, token)
    if (outcome === undefined)
      await within(Promise.race([agent.ended, agent.logged('could not join the hub, trying again')]), what)
    else t.match(await agent.ended, { code: 1 }, what)
    t.match(spoken(agent), said, what)
    t.notOk(existsSync(agent.files.cert), what)
    if (outcome !== undefined)
      await figureBecomes(hub, enrolments('join', outcome), outcome === 'expired_token' ? 1 : ++unknown)
  }
  let unknown = 0
  const expired = await tokenOf(hub, ['--ttl', '1m'], Date.now() - 61_000)
  await refused('expired', expired, /the join token has expired: make a new one/, 'expired_token')
  const elsewhere = { ...createJoinToken(good.authority) }
  await refused('made up', writeJoinToken(elsewhere), /is not one of this hub/, 'unknown_token')
  const changed = writeJoinToken({ ...good, secret: elsewhere.secret })
  await refused('another secret', changed, /is not one of this hub/, 'unknown_token')
  await refused(
    'of another hub',
    await tokenOf(other),
    /the hub is not the one of the join token: its CA has another fingerprint/,
  )
  const damaged = `${writeJoinToken(good).slice(0, -1)}x`
  await refused('not whole', damaged, /a join token that was changed or is not whole/)
  await refused('none', 'hello', /is no join token of "culvert token create"/)
  t.equal(await figure(hub, enrolments('join', 'issued')), 0)
})

t.test('a hub that is not the one of the token is told nothing', together, async (t) => {
  const pki = await makePki(t)
  const stranger = await createAuthority({ trustDomain: 'hub.example' })
  const names = { ipAddresses: ['127.0.0.1'] }
  const cases: readonly (readonly [string, Leaf, string, RegExp])[] = [
    [
      'shows the CA, but has no certificate of it',
      await pki.issue('s', { identity: { role: 'server', id: 's' }, ...names }, stranger),
      pki.authority.certificatePem,
      /was not issued by the CA of that fingerprint/,
    ],
    [
      'an agent that would be a hub',
      await pki.issue('a', { identity: { role: 'agent', cluster: 'eu-1', name: 'a' }, ...names }),
      pki.authority.certificatePem,
      /is not for servers/,
    ],
    [
      'a server of another name',
      await pki.issue('n', { identity: { role: 'server', id: 's' }, dnsNames: ['elsewhere.example'] }),
      pki.authority.certificatePem,
      /does not match certificate's altnames/,
    ],
    ['shows another CA', pki.server, stranger.certificatePem, /its CA has another fingerprint/],
  ]
  for (const [what, leaf, shown, said] of cases) {
    const heard: Buffer[] = []
    const hub = createServer({ cert: leaf.cert, key: leaf.key, ALPNProtocols: [ENROLMENT_ALPN] }, (socket) => {
      socket.on('error', () => undefined)
      socket.on('data', (chunk: Buffer) => heard.push(chunk))
      socket.write(writeAuthorities(shown))
    })
    t.teardown(() => hub.close())
    await new Promise<void>((resolve) => hub.listen(0, '127.0.0.1', resolve))
    const fingerprint = plainFingerprint(new X509Certificate(pki.authority.certificatePem).fingerprint256)
    const token = writeJoinToken(createJoinToken(fingerprint))
    const agent = joinWith(t, (hub.address() as AddressInfo).port, token)
    t.match(await agent.logged('could not join the hub, trying again'), { reason: said }, what)
    t.equal(Buffer.concat(heard).length, 0, what)
    agent.signal('SIGTERM')
    t.match(await agent.ended, { code: 0 })
  }
})

/** A client of the enrolment port that says what the test wants. */
async function converse(
  hub: Pick<Hub, 'agentPort' | 'pki'>,
  text: string | Buffer,
  leaf?: Leaf,
): Promise<EnrolmentAnswer | undefined> {
  const socket = await connectRaw(hub, leaf)
  let heard = ''
  socket.on('data', (chunk) => {
    heard += String(chunk)
  })
  socket.write(text)
  await within(new Promise((resolve) => socket.once('close', resolve)), 'the hub answers and hangs up')
  return readAnswer(heard.split('\n')[1] ?? '')
}

async function connectRaw({ agentPort, pki }: Pick<Hub, 'agentPort' | 'pki'>, leaf?: Leaf): Promise<TLSSocket> {
  const socket = connectTls({
    host: '127.0.0.1',
    port: agentPort,
    ca: pki.authority.certificatePem,
    ...(leaf && { cert: leaf.cert, key: leaf.key }),
    ALPNProtocols: ['h2', ENROLMENT_ALPN], // as an agent with --alpn-proto=h2
  })
  socket.on('error', () => undefined)
  await event(socket, 'secureConnect')
  return socket
}

const newRequest = (): string => createSigningRequest(generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey)

t.test('of many who come with one token at once, to several processes, one gets in', together, async (t) => {
  const hub = await startHub(t, ['--workers=2', '--enrolments-per-second=1000'])
  const { id, secret } = readJoinToken(await tokenOf(hub))
  const asked = Array.from({ length: 20 }, () =>
    converse(hub, writeRequest({ kind: 'join', id, secret, request: newRequest() })),
  )
  const answers = await Promise.all(asked)
  t.equal(answers.filter((answer) => answer?.kind === 'issued').length, 1)
  t.equal(answers.filter((answer) => answer?.kind === 'refused' && answer.why === 'used-token').length, 19)
})

t.test(
  'whoever asks for what it may not have, or makes no sense, is refused and costs no token',
  together,
  async (t) => {
    const pki = await makePki(t)
    await updateList(pki.folder, pki.authority, { serials: [], lifetimeMs: 3_600_000, nowUnixMs: Date.now() })
    const list = join(pki.folder, 'crl.pem')
    const hub = await startHub(t, [`--cluster-crl-file=${list}`], pki)
    const { id, secret } = readJoinToken(await tokenOf(hub))
    const request = newRequest()
    const joinWith = (text: string): string => writeRequest({ kind: 'join', id, secret, request: text })
    const broken = request.replace(/[A-Z](?=[a-z])/, 'Z')
    t.match(await converse(hub, joinWith('no request')), { kind: 'refused', why: 'malformed' })
    t.match(await converse(hub, joinWith(broken)), { kind: 'refused', why: 'malformed' })
    for (const text of [
      'hello\n',
      '{}\n',
      'null\n',
      '{"join":{"id":"../../../etc","secret":"x"},"request":""}\n',
      '{"renew":true,"join":{},"request":""}\n',
    ]) {
      t.match(await converse(hub, text), { kind: 'refused', why: 'malformed' }, text)
    }
    t.match(await converse(hub, 'x'.repeat(20_000)), { kind: 'refused', reason: /over the limit of 16384 bytes/ })
    const renew = writeRequest({ kind: 'renew', request })
    t.match(await converse(hub, renew), { why: 'not-accepted', reason: /none was sent/ })
    const user = await pki.issue('alice', { identity: { role: 'user', name: 'alice' } })
    t.match(await converse(hub, renew, user), { why: 'not-accepted', reason: /it is a user certificate/ })
    t.match(await converse(hub, renew, await pki.issue('plain', {})), { why: 'not-accepted', reason: /names no agent/ })
    const old = {
      identity: { role: 'agent', cluster: 'eu-1', name: 'old' } as const,
      nowUnixMs: Date.now() - 172_800_000,
      lifetimeMs: 86_400_000,
    }
    t.match(await converse(hub, renew, await pki.issue('old', old)), { why: 'not-accepted', reason: /it has expired/ })
    t.match(await converse(hub, renew, pki.agent), { kind: 'issued' })
    const serials = [new X509Certificate(pki.agent.cert).serialNumber.toLowerCase()]
    await updateList(pki.folder, pki.authority, { serials, lifetimeMs: 3_600_000, nowUnixMs: Date.now() })
    await hub.logged('revocation lists changed')
    t.match(await converse(hub, renew, pki.agent), { why: 'not-accepted', reason: /it was revoked/ })

    const silent = await connectRaw(hub)
    silent.resume()
    await event(silent, 'close')
    await figureBecomes(hub, enrolments('none', 'slow'), 1)
    t.match(await converse(hub, joinWith(request)), { kind: 'issued' }, 'the token is still good')
    t.equal(await figure(hub, enrolments('join', 'malformed')), 2)
  },
)

t.test('nobody joins, or renews in, a cluster that the hub does not list', together, async (t) => {
  const pki = await makePki(t)
  const folder = temporaryFolder(t)
  const [clusters, auditLog] = [join(folder, 'clusters.yaml'), join(folder, 'audit.log')]
  writeFileSync(clusters, 'id: eu-2\n')
  const tenancy = ['--tenancy=multi', `--clusters=${clusters}`, '--trust-domain=hub.example']
  const hub = await startHub(t, [...tenancy, `--audit-log-file=${auditLog}`], pki)
  const token = await tokenOf(hub)
  const refused = joinWith(t, hub.agentPort, token)
  t.match(await refused.ended, { code: 1 })
  t.match(spoken(refused), /gave no certificate: the cluster eu-1 is not one of this hub/)
  t.equal(await figure(hub, enrolments('join', 'not_accepted')), 1)
  const reason = 'the cluster eu-1 is not one of this hub'
  t.match(await auditHas(auditLog, { event: 'certificate', reason }), [{ rule: 'join', verdict: 'refused' }])
  const renew = writeRequest({ kind: 'renew', request: newRequest() })
  const agent = await pki.issue('of-eu-1', { identity: { role: 'agent', cluster: 'eu-1', name: 'a' } })
  t.match(await converse(hub, renew, agent), { kind: 'refused', why: 'not-accepted', reason })

  writeFileSync(clusters, 'id: eu-2\n---\nid: eu-1\n')
  await hub.logged('clusters changed')
  const joined = joinWith(t, hub.agentPort, token)
  await joined.logged('connected')
  t.match(await converse(hub, renew, agent), { kind: 'issued' })
})

t.test('a thief who has renewed what he stole is out when that is revoked', together, async (t) => {
  const pki = await makePki(t)
  await updateList(pki.folder, pki.authority, { serials: [], lifetimeMs: 3_600_000, nowUnixMs: Date.now() })
  const hub = await startHub(t, [`--cluster-crl-file=${join(pki.folder, 'crl.pem')}`], pki)
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const renew = writeRequest({ kind: 'renew', request: createSigningRequest(privateKey) })
  const given = await converse(hub, renew, pki.agent)
  if (given?.kind !== 'issued') throw new Error('expected a certificate')
  const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
  const stolen = saveLeaf(pki.folder, 'stolen', { certificatePem: given.certificate, keyPem })
  const thief = await openWireAgent(t, hub, { leaf: stolen })
  await thief.answer()
  const ended = event(thief.http, 'close')
  t.match(await run(revoke, [pki.agent.certFile, '--dir', pki.folder]), { kind: 'done' })
  await within(ended, 'the thief is out', 5_000)
  t.match(await converse(hub, renew, stolen), { why: 'not-accepted', reason: /it was revoked/ })
})

t.test('who says nothing takes no place of those who renew', together, async (t) => {
  const hub = await startHub(t, ['--handshakes-per-second=1000'])
  const silent = await Promise.all(Array.from({ length: 201 }, () => connectRaw(hub)))
  t.teardown(() => {
    for (const socket of silent) socket.destroy()
  })
  await figureBecomes(hub, enrolments('none', 'too_many'), 1)
  t.equal(await converse(hub, 'who comes as one more is hung up on'), undefined)
  const renew = writeRequest({ kind: 'renew', request: newRequest() })
  t.match(await converse(hub, renew, hub.pki.agent), { kind: 'issued' })
})

t.test('what comes faster than it may is told to come again', together, async (t) => {
  const hub = await startHub(t, ['--enrolments-per-second=1'])
  const { id } = readJoinToken(await tokenOf(hub))
  const wrong = writeRequest({ kind: 'join', id, secret: createJoinToken('').secret, request: newRequest() })
  const answers = await Promise.all(Array.from({ length: 5 }, () => converse(hub, wrong)))
  const why = answers.map((answer) => answer?.kind === 'refused' && answer.why)
  t.ok(why.includes('busy') && why.includes('unknown-token'), why.join())
  t.match(await converse(hub, writeRequest({ kind: 'renew', request: newRequest() }), hub.pki.agent), {
    kind: 'issued',
  })
})

t.test('an agent joins and renews through a front door that knows agents by h2', together, async (t) => {
  const made = await makePki(t)
  const named = { identity: { role: 'server', id: 'hub-0' }, dnsNames: [AGENTS_NAME] } as const
  const pki = { ...made, server: await made.issue('front', named) }
  const hub = await startHub(t, ['--enrolment-lifetime=10s'], pki)
  const router = await startFrontDoor(t, {
    routes: [
      { name: 'agents', hosts: [AGENTS_NAME], alpn: ['h2'], backends: [`127.0.0.1:${hub.agentPort}`] },
      { name: 'frontends', hosts: [AGENTS_NAME], backends: [`127.0.0.1:${hub.frontendPort}`] },
    ],
  })
  const flags = [`--proxy-server-host=${AGENTS_NAME}`]
  const agent = joinWith(t, router.port, await tokenOf(hub), temporaryFolder(t), flags)
  await agent.logged('connected')
  await figureBecomes(hub, enrolments('renewal', 'issued'), 1)
})

t.test(
  'a hub without enrolment says so to who would join, and a CA that nobody trusts is refused at the start',
  together,
  async (t) => {
    const pki = await makePki(t)
    const plain = await startServer(t, { pki })
    const fingerprint = plainFingerprint(new X509Certificate(pki.authority.certificatePem).fingerprint256)
    const agent = joinWith(t, plain.agentPort, writeJoinToken(createJoinToken(fingerprint)))
    t.match(await agent.logged('could not join the hub, trying again'), { reason: /the server gives no certificates/ })

    const other = await createAuthority({ trustDomain: 'hub.example' })
    const { certificateFile, keyFile } = writePair(temporaryFolder(t), 'ca', other, 'keep')
    const flags = [
      ...['server', 'cluster'].flatMap((port) => [
        `--${port}-cert=${pki.server.certFile}`,
        `--${port}-key=${pki.server.keyFile}`,
        `--${port}-ca-cert=${pki.caFile}`,
      ]),
      '--mode=http-connect',
      `--enrolment-ca-cert=${certificateFile}`,
      `--enrolment-ca-key=${keyFile}`,
    ]
    const refused = launch(t, { name: 'proxy-server', flags })
    t.match(await refused.ended, { code: 1 })
    t.match(spoken(refused), /is not in --cluster-ca-cert: nobody with a certificate of it would be let in/)
  },
)
