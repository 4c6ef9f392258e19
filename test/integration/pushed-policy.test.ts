/** A policy of the hub: judged by the server, pushed to the agents, which judge what names resolve to. It can only narrow. */
import { renameSync, writeFileSync } from 'node:fs'
import { connect } from 'node:http2'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { offered, writeExtensions } from '../../src/tunnel/extensions.ts'
import { auditHas } from './audit-log.ts'
import { makePki, temporaryFolder } from './certificates.ts'
import { askFor, echoOver, openTunnel } from './client.ts'
import { eventually } from './deadline.ts'
import { fetchFrom, figure } from './figures.ts'
import { echo, listenTarget } from './target.ts'
import { type Agent, type Server, startAgent, startServer } from './tunnel.ts'
import { connectAgentPort, joinWireAgent, openStream, type WireAgent } from './wire-agent.ts'

const pki = await makePki(t)
const target = await listenTarget(t, echo)
const { port } = target
/** Without heartbeats, of which an agent by hand sends none: it would be left for that. */
const offers = {
  'culvert-extensions': writeExtensions(new Set([...offered].filter((name) => name !== 'heartbeat'))),
}

/** A server with this policy, in a file that can be written anew. */
async function start(t: Test, policy: string, flags: readonly string[] = []) {
  const file = join(temporaryFolder(t), 'policy.yaml')
  const write = (text: string): void => {
    writeFileSync(`${file}.new`, text)
    renameSync(`${file}.new`, file)
  }
  write(policy)
  const server = await startServer(t, { pki, flags: [`--agent-policy-file=${file}`, ...flags] })
  return { server, write }
}

async function works(server: Server, address: string): Promise<void> {
  const socket = await openTunnel(server, address)
  await echoOver(socket, 'allowed')
  socket.destroy()
}

type Pushed = { readonly state?: string; readonly version?: string }
type Fleet = { readonly clusters: readonly { readonly agents: readonly { readonly policy?: Pushed }[] }[] }
const fleetOf = async (server: Server): Promise<Fleet> =>
  (await (await fetchFrom(server.adminPort, '/v1/clusters')).json()) as Fleet
const pushed = async (server: Server): Promise<Pushed> => (await fleetOf(server)).clusters[0]?.agents[0]?.policy ?? {}
const accepted = (server: Server): Promise<Pushed> =>
  eventually(
    'the agent takes the policy',
    () => pushed(server),
    ({ state }) => state === 'accepted',
  )
const refusedByAgent = (agent: Agent, why: string): Promise<number> =>
  figure(agent, `culvert_agent_refused_dials_total{why="${why}"}`)

t.test('addresses and names are denied by the server, 403, without an agent', async (t) => {
  const { server } = await start(t, `rules:\n  - allow: { cidr: 127.0.0.1 }\n  - deny: { name: "*.secret" }\n`)
  t.match(await askFor(server, `127.0.0.2:${port}`), {
    status: 403,
    reason: /not allowed by the policy of the cluster: no rule allows it/,
    headers: { 'proxy-status': /error=http_request_denied/ },
  })
  t.match(await askFor(server, `[::ffff:127.0.0.2]:${port}`), { status: 403 })
  t.match(await askFor(server, `a.SECRET.:${port}`), { status: 403, reason: /rule 2, deny \*\.secret/ })
  t.match(await askFor(server, `0x7f000001:${port}`), { status: 403, reason: /no name or address with a port/ })
  t.match(await askFor(server, target.address), { status: 500 }, 'allowed, but there is no agent')
  t.equal(await figure(server, 'culvert_server_denied_dials_total{why="policy"}'), 4)
  t.equal(await figure(server, 'culvert_server_policy_decision_seconds_count{verdict="denied"}'), 4)
  t.equal(await figure(server, 'culvert_server_policy_decision_seconds_count{verdict="allowed"}'), 1)
})

t.test('a name that resolves to a denied address is denied by the agent', async (t) => {
  const rules = 'rules:\n  - allow: { name: localhost }\n  - allow: { cidr: 127.0.0.1 }\n  - deny: { cidr: "::1" }\n'
  const { server, write } = await start(t, rules)
  const agent = await startAgent(t, server)
  await accepted(server)
  await works(server, `localhost:${port}`)
  await works(server, target.address)
  const before = await accepted(server)
  write('rules:\n  - allow: { name: localhost }\n  - deny: { cidr: [127.0.0.0/8, "::1"] }\n')
  await agent.logged('policy of the server is in force', 2)
  const after = await accepted(server)
  t.not(after.version, before.version)
  t.match(await askFor(server, `localhost:${port}`), {
    status: 502,
    body: /not allowed by the policy of the server: rule 2, deny 127\.0\.0\.0\/8, ::1\/128$/,
  })
  t.equal(await refusedByAgent(agent, 'hub_policy'), 1)
  t.match(await askFor(server, target.address), { status: 403 })
  t.equal(await figure(server, 'culvert_server_policy_answers_total{state="accepted"}'), 2)
  t.equal(await figure(server, 'culvert_server_policy_agents{cluster="default",state="in_force"}'), 1)
})

t.test('only narrows what the agent’s own policy allows', async (t) => {
  const own = join(temporaryFolder(t), 'own.yaml')
  writeFileSync(own, 'rules: [{ allow: { cidr: 127.0.0.2 } }]')
  const { server } = await start(t, 'rules: [{ allow: {} }]')
  const agent = await startAgent(t, server, { flags: [`--policy-file=${own}`] })
  await accepted(server)
  t.match(await askFor(server, target.address), { status: 502, body: /not allowed by the policy of this agent/ })
  t.equal(await refusedByAgent(agent, 'policy'), 1)
})

t.test('rules for some clients only are kept by the server', async (t) => {
  const { server } = await start(
    t,
    `rules:\n  - allow: { cidr: 127.0.0.1 }\n    from: cluster/eu-1/apiserver\n  - allow: { cidr: 127.0.0.9 }\n    from: user/bob\n`,
  )
  await startAgent(t, server)
  await works(server, target.address)
  t.match(await askFor(server, `127.0.0.9:${port}`), { status: 403, reason: /no rule allows it/ })
  t.match(await askFor(server, `localhost:${port}`), { status: 403, reason: /the agent cannot judge for who asks/ })
})

t.test('a broken policy keeps the one before', async (t) => {
  const { server, write } = await start(t, 'rules: [{ allow: { cidr: 127.0.0.1 } }]')
  await startAgent(t, server)
  write('rules: [{ permit: {} }]')
  t.match(await server.logged('policy is broken, the one before stays in force'), {
    reason: /rules\.0\.permit: expected one of/,
  })
  t.equal(await figure(server, 'culvert_server_policy_file_broken'), 1)
  await works(server, target.address)
  t.match(await askFor(server, `127.0.0.2:${port}`), { status: 403 })
})

t.test('a worker that crashes while the policy is broken is replaced, with the policy in force', async (t) => {
  const { server, write } = await start(t, 'rules: [{ allow: { cidr: 127.0.0.1 } }]', ['--workers=2'])
  write('rules: [{ permit: {} }]')
  await server.logged('policy is broken, the one before stays in force', 2)
  for (const { pid } of server.log.filter(({ msg }) => msg === 'worker started')) process.kill(Number(pid), 'SIGKILL')
  await server.logged('worker serving', 4)
  t.match(await askFor(server, target.address), { status: 500 }, 'allowed, but there is no agent')
  t.match(await askFor(server, `127.0.0.2:${port}`), { status: 403 })
  await server.logged('policy is broken, the one before stays in force', 4)
})

t.test('both ends tell their audit logs what was denied, and by which rule', async (t) => {
  const folder = temporaryFolder(t)
  const [hub, cell] = [join(folder, 'hub.log'), join(folder, 'cell.log')]
  const rules = 'rules: [{ allow: { name: localhost } }, { deny: { cidr: [127.0.0.0/8, "::1"] } }]'
  const { server } = await start(t, rules, [`--audit-log-file=${hub}`])
  await startAgent(t, server, { flags: [`--audit-log-file=${cell}`] })
  t.match(await askFor(server, `127.0.0.1:${port}`), { status: 403 })
  t.match(await askFor(server, `localhost:${port}`), { status: 502 })
  const denied = { event: 'dial', verdict: 'refused' }
  t.match(await auditHas(hub, denied), [{ destination: `127.0.0.1:${port}`, reason: /rule 2, deny 127\.0\.0\.0\/8/ }])
  t.match(await auditHas(cell, denied), [{ destination: `localhost:${port}`, reason: /policy of the server: rule 2/ }])
})

t.test('an agent that cannot read the policy is asked only when there is no other one', async (t) => {
  const { server } = await start(t, 'rules: [{ allow: { cidr: 127.0.0.1 } }]')
  const poor = await joinWireAgent(t, server, offers)
  const { version } = await poor.next('POLICY')
  poor.send({ type: 'POLICY_ACK', version, accepted: 0, reason: 'of another time' })
  await server.logged('agent cannot read the policy, it dials nothing')
  const alone = askFor(server, target.address)
  const { random } = await poor.next('DIAL_REQ')
  poor.send({ type: 'DIAL_RSP', error: 'no policy that can be read', connectId: 0, random })
  t.match(await alone, { status: 502, body: /no policy that can be read/ })
  await startAgent(t, server)
  await eventually(
    'the other one is there',
    () => fleetOf(server),
    ({ clusters }) => clusters[0]?.agents.length === 2,
  )
  for (let dials = 0; dials < 12; dials++) await works(server, target.address)
  t.equal(poor.received.filter(({ type }) => type === 'DIAL_REQ').length, 1, 'by lot it would have been asked again')
})

t.test('a long policy reaches more agents than the budget could hold it for at once', async (t) => {
  const label = 'a'.repeat(60)
  const names = Array.from({ length: 270 }, (_, at) => `  - allow: { name: n${at}.${label}.${label}.${label} }\n`)
  const { server, write } = await start(t, 'rules: []', [
    '--process-buffer-bytes=1MiB',
    '--stream-buffer-bytes=1MiB',
    '--connection-buffer-bytes=256KiB',
  ])
  const agents = await Promise.all(
    Array.from({ length: 40 }, (_, at) => joinWireAgent(t, server, { ...offers, agentid: `a${at}` })),
  )
  for (const agent of agents) await agent.next('POLICY')
  write(`rules:\n${names.join('')}`)
  for (const agent of agents) t.ok((await agent.next('POLICY')).rules.length > 50_000)
  t.equal((await fleetOf(server)).clusters[0]?.agents.length, agents.length)
})

t.test('a policy that the budget has no room for ends the stream of its agent, and nothing else', async (t) => {
  const label = 'a'.repeat(60)
  const names = Array.from({ length: 290 }, (_, at) => `  - allow: { name: n${at}.${label}.${label}.${label} }\n`)
  const { server } = await start(t, `rules:\n${names.join('')}`, [
    '--process-buffer-bytes=1MiB',
    '--stream-buffer-bytes=1MiB',
    '--connection-buffer-bytes=256KiB',
  ])
  /** It takes no byte of what it is sent. */
  const enter = async (): Promise<Omit<WireAgent, 'leave'>> => {
    const socket = await connectAgentPort(t, server)
    const http = connect('https://127.0.0.1', { createConnection: () => socket, settings: { initialWindowSize: 0 } })
    http.on('error', () => undefined)
    t.teardown(() => http.destroy())
    return openStream(http, { headers: { agentid: 'a', ...offers } })
  }
  const agents = await Promise.all(Array.from({ length: 40 }, enter))
  await Promise.all(agents.map(({ answer }) => answer())) // all were taken
  await eventually(
    'one of them is gone from the pool',
    async () => (await fleetOf(server)).clusters[0]?.agents.length,
    (count) => count !== undefined && count > 0 && count < agents.length,
  )
})
