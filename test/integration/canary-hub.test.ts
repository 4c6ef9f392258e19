/**
 * Secrets on a hub of many clusters: join tokens, tokens of agents that an API server reviews, the token of the admin port, private keys, what
 * clients send. None of them may be in anything that either end says, nor in the output of the commands that look at a hub.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { readJoinToken, writeJoinToken } from '../../src/pki/join-token.ts'
import { culvert } from '../cli/run-culvert.ts'
import { type Asked, apiStandIn, kubeconfig, status as refusalStatus } from '../kubernetes/api-stand-in.ts'
import { auditHas } from './audit-log.ts'
import { argumentsOf, canary, endpointsOf, holdsNoSecret, piecesOf, type Said, withSecrets } from './canaries.ts'
import { makePki, temporaryFolder } from './certificates.ts'
import { ask, connectFrontend, connectHead, ESTABLISHED, echoOver, openTunnel, readBytes } from './client.ts'
import { eventually } from './deadline.ts'
import { fetchFrom } from './figures.ts'
import { type Events, followEvents } from './fleet-events.ts'
import { startHub as startTenantHub } from './hub.ts'
import { joinWith, spoken, startHub, tokenOf } from './joining.ts'
import { type Program, readPorts } from './program.ts'
import { closedPort, echo, listenTarget } from './target.ts'
import { type Agent, launchAgent, type Server } from './tunnel.ts'
import { openWireAgent } from './wire-agent.ts'

const [ofHub, ofAgent] = [
  ['-v=9', '--shutdown-quiet-time=100ms'],
  ['-v=9', '--drain-quiet-time=100ms'],
]
const USER = 'system:serviceaccount:eu-1:agent'
const POLICY = 'rules: [{allow: {cidr: 127.0.0.0/8}}, {deny: {name: "*.secret"}}]'
const CLUSTERS = `
id: eu-1
agents: {users: ["${USER}"]}
frontends: {users: [alice]}
policy: {${POLICY}}
---
id: eu-2
`
const pki = await makePki(t)
const stranger = await pki.issue('stranger', { identity: { role: 'apiserver', cluster: 'xx-9' } })
const keys = [pki.authority.keyPem, ...[pki.server, pki.agent, pki.apiserver, stranger].map(({ key }) => key)]
const target = await listenTarget(t, echo)

type Ends = {
  readonly hub: Server
  readonly hubLog: string
  readonly agent: Pick<Agent, keyof Program | 'healthPort' | 'adminPort'>
  readonly agentLog: string
  readonly events: Events
}

/** Whoever asks the hub's admin port shows its token, where it has one. */
async function saidBy(t: Test, { hub, hubLog, agent, agentLog, events }: Ends): Promise<Said> {
  const said = {
    ...(await endpointsOf('hub', [hub.healthPort, hub.adminPort])),
    ...(await endpointsOf('agent', [agent.healthPort, agent.adminPort])),
    'a cluster': await (await fetchFrom(hub.adminPort, '/v1/clusters/eu-1', byAdmin)).text(),
    events: JSON.stringify(events.seen),
    'arguments of the hub': argumentsOf(hub),
    'arguments of the agent': argumentsOf(agent),
  }
  t.match(said['a cluster'], /"id": "eu-1"/)
  for (const program of [agent, hub]) program.signal('SIGTERM')
  await Promise.all([agent.ended, hub.ended])
  return {
    ...said,
    'log of the hub': spoken(hub),
    'log of the agent': spoken(agent),
    'audit log of the hub': readFileSync(hubLog, 'utf8'),
    'audit log of the agent': readFileSync(agentLog, 'utf8'),
  }
}

const byAdmin = { headers: { Authorization: `Bearer ${canary('admin')}` } }

const refusals = (events: Events, pattern: RegExp): Promise<unknown> =>
  eventually(
    `the events tell of ${pattern}`,
    () => events.seen.filter(({ type, data }) => type === 'refused' && pattern.test(data)),
    (found) => found.length > 0,
  )

for (const workers of [1, 2]) {
  t.test(`an agent that joins, its clients and the admin port: workers ${workers}`, async (t) => {
    const folder = temporaryFolder(t)
    const file = (name: string): string => join(folder, name)
    writeFileSync(file('clusters.yaml'), CLUSTERS)
    writeFileSync(file('admin-token'), canary('admin'))
    writeFileSync(file('wrong-token'), canary('wrong-admin'))
    const hub = await startHub(
      t,
      [
        '--tenancy=multi',
        `--clusters=${file('clusters.yaml')}`,
        '--trust-domain=hub.example',
        `--admin-token-file=${file('admin-token')}`,
        `--audit-log-file=${file('hub.log')}`,
        `--workers=${workers}`,
        ...ofHub,
      ],
      pki,
    )
    const events = await followEvents(t, hub, byAdmin.headers)
    const answers: Record<string, string> = {}

    const [used, unused] = [await tokenOf(hub), await tokenOf(hub)]
    const agent = joinWith(t, hub.agentPort, used, temporaryFolder(t), [
      `--audit-log-file=${file('cell.log')}`,
      ...ofAgent,
    ])
    await Promise.all([agent.logged('connected', workers), hub.logged('agent connected', workers)])
    await hub.logged('certificate issued')
    const forged = writeJoinToken({ ...readJoinToken(unused), secret: canary('join').padEnd(43, 'x') })
    for (const [what, token, why] of [
      ['a token that is used', used, /has been used before/],
      ['a forged token', forged, /is not one of this hub/],
      ['no token', canary('no-join-token'), /is no join token/],
    ] as const) {
      const refused = joinWith(t, hub.agentPort, token, temporaryFolder(t), ['-v=9'])
      t.match(await refused.ended, { code: 1 }, what)
      t.match(spoken(refused), why)
      answers[`log of an agent with ${what}`] = spoken(refused)
    }
    await auditHas(file('hub.log'), { event: 'certificate', verdict: 'refused' }, 2)
    const apiserver = await openWireAgent(t, hub, {
      leaf: pki.apiserver,
      headers: { agentid: 'x', authorization: `Bearer ${canary('agent')}` },
    })
    t.match(await apiserver.ended(), { code: 16 })
    await refusals(events, /it is an apiserver certificate/)

    const client = await connectFrontend(hub)
    const [sent, early] = [withSecrets(connectHead(target.address)), canary('early')]
    const answer = readBytes(client, ESTABLISHED.length + early.length)
    client.write(sent + early)
    t.equal((await answer).toString(), ESTABLISHED + early, 'headers like these are taken')
    await echoOver(client, canary('payload'))
    client.destroy()
    for (const [what, head, status, leaf] of [
      ['a dial that fails', connectHead(await closedPort()), 502, pki.apiserver],
      ['a target that is denied', connectHead('a.secret:443'), 403, pki.apiserver],
      ['a target with a password', connectHead(`alice:${canary('password')}@127.0.0.1:443`), 400, pki.apiserver],
      ['another cluster', connectHead(target.address), 403, stranger],
      ['another role', connectHead(target.address), 403, pki.agent],
      ['another method', `GET /?token=${canary('url')} HTTP/1.1\r\nHost: x\r\n\r\n`, 405, pki.apiserver],
      ['no HTTP', `${canary('garbage')}\r\n\r\n`, 400, pki.apiserver],
    ] as const) {
      const found = await ask(hub, withSecrets(head), leaf)
      t.equal(found.status, status, what)
      answers[what] = JSON.stringify(found)
    }
    await auditHas(file('hub.log'), { event: 'end', cluster: 'eu-1' })
    await auditHas(file('hub.log'), { event: 'frontend', verdict: 'refused', reason: /the cluster xx-9/ })
    await auditHas(file('cell.log'), { event: 'dial', outcome: 'failed' })

    writeFileSync(file('clusters.yaml'), pki.server.key) // looked at every few seconds
    const [url, shows] = [`--server=http://127.0.0.1:${hub.adminPort}`, `--token-file=${file('admin-token')}`]
    for (const [argv, expected] of [
      [['status', url, shows, '-o', 'json'], { code: 0, stdout: /"id": "eu-1"/ }],
      [['status', url, shows, '-o', 'wide'], { code: 0, stdout: /\neu-1 +established/ }],
      [['clusters', url, shows, '-o', 'yaml'], { code: 0, stdout: /id: eu-1\n/ }],
      [['status', url, `--token-file=${file('wrong-token')}`], { code: 1, stderr: /answers 401/ }],
      [['token', 'list', '--tokens', hub.tokens, '-o', 'json'], { code: 0, stdout: /"state": "used"/ }],
    ] as const) {
      const ended = await culvert(...argv)
      t.match(ended, expected)
      answers[argv.join(' ')] = JSON.stringify(ended)
    }
    Object.assign(
      answers,
      await endpointsOf('hub by somebody', [hub.adminPort], { Authorization: `Bearer ${canary('wrong-admin')}` }),
    )

    await hub.logged('clusters are broken, the ones before stay in use')
    const ports = readPorts(agent.files.ports)
    const said = await saidBy(t, {
      ...{ hub, hubLog: file('hub.log'), agentLog: file('cell.log'), events },
      agent: { ...agent, healthPort: ports.health ?? 0, adminPort: ports.admin ?? 0 },
    })
    const ofThis = [used, unused].flatMap((token) => [token, readJoinToken(token).secret])
    const pieces = [...keys, readFileSync(agent.files.key, 'utf8')].flatMap(piecesOf)
    holdsNoSecret(t, { ...answers, ...said }, [...ofThis, ...pieces])
  })
}

/** What the API server says of a token, and how its agent is refused then. */
type Review = readonly [
  where: string,
  answer: (token: string) => [status: number, body: object | string],
  code: number,
  message: RegExp,
]

t.test('agents whose tokens an API server reviews', async (t) => {
  const api = await apiStandIn(t)
  const folder = temporaryFolder(t)
  const [hubLog, agentLog, tokenFile] = [join(folder, 'hub.log'), join(folder, 'cell.log'), join(folder, 'token')]
  const access = `--kubeconfig=${kubeconfig(t, api.access.server.href)}`
  const hub = await startTenantHub(
    t,
    () => CLUSTERS,
    ['--authentication-audience=hub', access, `--audit-log-file=${hubLog}`, ...ofHub],
    pki,
  )
  const events = await followEvents(t, hub)
  /** As long as those of service accounts, of which an answer may be cut in the middle. */
  const tokenOfAgent = (where: string): string => `${canary(where)}.${'payload-and-signature'.repeat(40)}`
  const reviewed = async (token: string): Promise<Asked> => {
    const asked = await api.next()
    t.match(asked.headers, { authorization: 'Bearer secret-of-the-kubeconfig' })
    t.equal((asked.body as { spec: { token: string } }).spec.token, token, 'the token has come to the API server')
    return asked
  }
  const as = (username: string) => ({ status: { authenticated: true, user: { username }, audiences: ['hub'] } })

  writeFileSync(tokenFile, tokenOfAgent('token'))
  const agent = await launchAgent(t, hub, {
    flags: [`--service-account-token-path=${tokenFile}`, `--audit-log-file=${agentLog}`, ...ofAgent],
  })
  ;(await reviewed(tokenOfAgent('token'))).answer(201, as(USER))
  await Promise.all([agent.logged('connected'), hub.logged('agent connected')])
  const tunnel = await openTunnel(hub, target.address)
  await echoOver(tunnel, canary('payload'))
  tunnel.destroy()

  for (const [where, answer, code, message] of [
    [
      'short',
      (token) => [201, { status: { error: `bad token ${token.slice(0, 40)}` } }],
      2,
      /bad token \(the token\)$/,
    ],
    ['long', (token) => [201, { status: { error: `bad token ${token} of ${token}` } }], 2, /bad token \(the token\)$/],
    [
      'refused',
      (token) => [422, refusalStatus(422, 'Invalid', `spec.token: ${token}`)],
      2,
      /the API server cannot be asked/,
    ],
    ['no-json', (token) => [201, `{"spec":{"token":"${token}"`], 2, /the API server cannot be asked/],
    ['nobody', () => [201, as('system:serviceaccount:eu-9:agent')], 16, /the user of its token is of no cluster/],
  ] as const satisfies readonly Review[]) {
    const token = tokenOfAgent(where)
    const wire = await openWireAgent(t, hub, { headers: { agentid: where, authorization: `Bearer ${token}` } })
    const [status, body] = answer(token)
    ;(await reviewed(token)).answer(status, body)
    t.match(await wire.ended(), { code, message }, where)
  }
  const unasked = await openWireAgent(t, hub, { headers: { agentid: 'x', authorization: `Basic ${canary('basic')}` } })
  t.match(await unasked.ended(), { code: 2, message: /does not have "Bearer " prefix/ })
  t.match(await hub.logged('tokens of agents cannot be reviewed'), { reason: /spec\.token: \(the token\)$/ })
  await refusals(events, /bad token \(the token\)/)
  await auditHas(hubLog, { event: 'agent', verdict: 'refused', reason: /bad token \(the token\)/ })
  await auditHas(agentLog, { event: 'end' })
  const secrets = ['secret-of-the-kubeconfig', 'payload-and-signature', ...keys.flatMap(piecesOf)]
  holdsNoSecret(t, await saidBy(t, { hub, hubLog, agent, agentLog, events }), secrets)
})

t.test('commands that read certificates, clusters and policies, and keys in the place of these', async (t) => {
  const folder = temporaryFolder(t)
  const [clusters, policy, token] = [join(folder, 'c.yaml'), join(folder, 'p.yaml'), join(folder, 'token')]
  writeFileSync(clusters, CLUSTERS)
  writeFileSync(policy, POLICY)
  writeFileSync(token, canary('token'))
  const { server, agent, caFile } = pki
  for (const [argv, expected] of [
    [['pki', 'list', pki.folder], { code: 0, stdout: /agent\.crt/ }],
    [['pki', 'list', server.keyFile], { code: 1, stderr: /holds a private key/ }],
    [['pki', 'show', caFile, agent.certFile], { code: 0, stdout: /agent a1 of cluster eu-1/ }],
    [['pki', 'show', server.keyFile, token], { code: 1, stderr: /holds a private key/ }],
    [['clusters', 'show', 'eu-1', '--clusters', clusters], { code: 0, stdout: /eu-1/ }],
    [['clusters', 'show', 'eu-1', '--clusters', clusters, '-o', 'json'], { code: 0, stdout: /"eu-1"/ }],
    [['clusters', 'show', 'eu-1', '--clusters', server.keyFile], { code: 1, stderr: /:1: cluster: expected a map/ }],
    [['clusters', 'show', 'eu-1', '--clusters', token], { code: 1, stderr: /:1: cluster: expected a map/ }],
    [['policy', 'test', '127.0.0.1:1', '--policy-file', policy], { code: 0, stdout: /allowed/ }],
    [['policy', 'test', 'a.secret:1', '--policy-file', policy, '-o', 'json'], { code: 1, stdout: /denied/ }],
    [['policy', 'test', 'a:1', '--policy-file', server.keyFile], { code: 1, stderr: /:1: expected a map/ }],
    [['policy', 'test', 'a:1', '--policy-file', token], { code: 1, stderr: /:1: expected a map/ }],
    [['status', '--token-file', server.keyFile], { code: 1, stderr: /holds more than one line/ }],
    [['clusters', '--server=https://127.0.0.1:1', '--ca-cert', server.keyFile], { code: 1, stderr: /could not ask/ }],
  ] as const) {
    const ended = await culvert(...argv)
    t.match(ended, expected, argv.join(' '))
    holdsNoSecret(t, { [argv.join(' ')]: JSON.stringify(ended) }, keys.flatMap(piecesOf))
  }
  const { message } = (await startTenantHub(t, () => server.key, [], pki).catch((error: Error) => error)) as Error
  t.match(message, /ended with 1 .*:1: cluster: expected a map/s)
  holdsNoSecret(t, { 'a hub that does not start': message }, keys.flatMap(piecesOf))
})
