/**
 * Agents that come with a join token and nothing else: they get a certificate over the agent port, keep it, and renew it. What is no
 * good token, or comes twice, gets nothing.
 */
import { X509Certificate } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync, rmdirSync, statSync, writeFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { createServer } from 'node:tls'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { ENROLMENT_ALPN, writeRequest } from '../../src/pki/enrolment-wire.ts'
import { statedFamily } from '../../src/pki/family.ts'
import { createJoinToken, plainFingerprint, readJoinToken, writeJoinToken } from '../../src/pki/join-token.ts'
import { plainSerial } from '../../src/pki/revocation-list.ts'
import { writePair } from '../../src/pki/store.ts'
import { listTokens } from '../../src/pki/token-store.ts'
import { auditHas } from './audit-log.ts'
import { makePki, temporaryFolder } from './certificates.ts'
import { echoOver, openTunnel } from './client.ts'
import { within } from './deadline.ts'
import { fetchFrom, figure, figureBecomes } from './figures.ts'
import { startFrontDoor } from './front-door.ts'
import {
  connectRaw,
  converse,
  enrolments,
  type Hub,
  type Joining,
  joinWith,
  newRequest,
  spoken,
  startHub,
  tokenOf,
} from './joining.ts'
import { launch } from './program.ts'
import { echo, listenTarget } from './target.ts'
import { AGENTS_NAME } from './through-front-door.ts'
import { startServer } from './tunnel.ts'

/** Nearly all of it is waiting. */
t.jobs = 3
const together = { buffered: true }
const target = await listenTarget(t, echo)

/**
 * A hub of the same key in front of it.
 *
 * @param pass asked about each certificate that the hub gives; one that does not pass is lost, with its connection
 */
async function startRelay(t: Test, hub: Hub, pass: () => boolean): Promise<number> {
  const { cert, key } = hub.pki.server
  const relay = createServer({ cert, key, ALPNProtocols: [ENROLMENT_ALPN] }, async (socket) => {
    socket.on('error', () => undefined)
    const behind = await connectRaw(hub)
    socket.pipe(behind)
    socket.once('close', () => behind.destroy())
    behind.on('data', (chunk: Buffer) => {
      if (String(chunk).includes('"certificate"') && !pass()) socket.destroy()
      else socket.write(chunk)
    })
  })
  t.teardown(() => relay.close())
  await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', resolve))
  return (relay.address() as AddressInfo).port
}

t.test('an agent joins by a token, keeps what it got, and needs no token again', together, async (t) => {
  const auditLog = join(temporaryFolder(t), 'audit.log')
  const hub = await startHub(t, [`--audit-log-file=${auditLog}`])
  const token = await tokenOf(hub, ['--name', 'first'])
  const agent = joinWith(t, hub.agentPort, token)
  await Promise.all([agent.logged('connected'), hub.logged('agent connected')])
  const { health } = await agent.logged('running')
  t.equal((await agent.logged('health port is open')).health, health, 'the same before and after')
  t.equal((await fetchFrom(Number(health), '/readyz')).status, 200)
  t.match(await (await fetchFrom(Number(health), '/metrics')).text(), /culvert_agent_certificate_expiry_seconds/)
  t.match(
    hub.log.find(({ msg }) => msg === 'certificate issued'),
    { kind: 'join', who: 'agent first of cluster eu-1 in hub.example', token_id: readJoinToken(token).id },
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
  t.equal(await figure(hub, enrolments('none', 'left')), 1, 'who joins looks at the CA first')
  const years = (await figure(hub, 'culvert_server_certificate_expiry_seconds{flag="enrolment-ca-cert"}')) / 31_536_000
  t.ok(years > 9.9 && years < 10.1, `the CA is good for ${years} years`)

  const second = joinWith(t, hub.agentPort, token)
  t.match(await second.ended, { code: 1 })
  t.match(spoken(second), /gave no certificate: the join token has been used before/)
  t.notOk(existsSync(second.files.cert))
  t.equal(await figure(hub, enrolments('join', 'used_token')), 1)
  const source = /^127\.0\.0\.1:\d+$/
  const principal = 'cluster/eu-1/agent/first'
  const [issued] = hub.log.filter(({ msg }) => msg === 'certificate issued')
  const reason = `serial ${issued?.serial}, family ${issued?.serial}, token ${readJoinToken(token).id}`
  t.match(await auditHas(auditLog, { event: 'certificate', verdict: 'allowed' }), [
    { rule: 'join', cluster: 'eu-1', principal, source, reason },
  ])
  t.match(await auditHas(auditLog, { event: 'certificate', verdict: 'refused' }), [
    { rule: 'join', source: '127.0.0.1', reason: /used before/ },
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

t.test('an answer that was lost is given again, to the same key only', together, async (t) => {
  const hub = await startHub(t)
  const token = await tokenOf(hub)
  const { id, secret } = readJoinToken(token)
  let answers = 0
  const port = await startRelay(t, hub, () => ++answers > 1)
  const agent = joinWith(t, port, token)
  t.match(await agent.logged('could not join the hub, trying again'), {
    reason: /ended before its time|hung up/,
  })
  await agent.logged('joined the hub')
  t.equal(answers, 2)
  await hub.logged('certificate issued', 2)
  const [first, second] = hub.log.filter(({ msg }) => msg === 'certificate issued')
  const number = (text: unknown): string | undefined => plainSerial(String(text))
  t.equal(number(second?.family), number(first?.serial), 'to revoke either is to revoke both')
  const stored = new X509Certificate(readFileSync(agent.files.cert))
  t.equal(number(stored.serialNumber), number(second?.serial))
  t.equal(number(statedFamily(stored)), number(first?.serial))
  t.match(await converse(hub, writeRequest({ kind: 'join', id, secret, request: newRequest() })), { why: 'used-token' })
  t.match(listTokens(hub.tokens, Date.now()), [{ state: 'used' }])
})

t.test('what cannot be stored yet is not asked for again', together, async (t) => {
  const hub = await startHub(t)
  let agent: Joining | undefined
  const port = await startRelay(t, hub, () => {
    mkdirSync(agent!.files.cert) // in the place of the certificate, after the agent has seen that it can be written
    return true
  })
  agent = joinWith(t, port, await tokenOf(hub))
  const { cert } = agent.files
  t.match(await agent.logged('could not store what the hub gave, trying again'), { reason: /cannot be written to/ })
  rmdirSync(cert)
  await agent.logged('joined the hub')
  t.ok(new X509Certificate(readFileSync(cert)))
  t.equal(await figure(hub, enrolments('join', 'issued')), 1)
})

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
  await agent.logged('certificate renewed')
  t.ok((await figure(hub, enrolments('renewal', 'issued'))) > 0) // and soon once more
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
    const { health } = await agent.logged('health port is open')
    t.equal((await fetchFrom(Number(health), '/healthz')).status, 200, 'it lives')
    const ready = await fetchFrom(Number(health), '/readyz')
    t.equal(ready.status, 503)
    t.match(await ready.text(), '[-]server-connected failed: joining the hub')

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
