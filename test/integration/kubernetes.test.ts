/** Leases and tokens by the real programs, beside an API server by hand, which says and withholds what a real one would not. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type ApiStandIn, apiStandIn, kubeconfig, leaseList, storedLease } from '../kubernetes/api-stand-in.ts'
import { makePki, temporaryFolder } from './certificates.ts'
import { echoOver, openTunnel } from './client.ts'
import { eventually, within } from './deadline.ts'
import { AGENT, fetchFrom, figure, figureBecomes } from './figures.ts'
import { launch } from './program.ts'
import { closedPort, echo, listenTarget } from './target.ts'
import { launchAgent, type Server, startAgent, startServer, startTunnel } from './tunnel.ts'

const LEASES = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases'
const NAME = 'konnectivity-proxy-server-s-1'
const TOKEN = 'hunter2.hunter2.hunter2'
/** Less than a server waits for the API server at its end. */
const AT_ONCE_MS = 4_900
const pki = await makePki(t)
const target = await listenTarget(t, echo)

const leaseFlags = (t: Test, server: string): string[] => [
  '--enable-lease-controller',
  '--server-id=s-1',
  `--kubeconfig=${kubeconfig(t, server)}`,
]

/** Answers the lists of the collector and hands on all other requests. */
async function nextBesideLists(api: ApiStandIn): ReturnType<ApiStandIn['next']> {
  for (;;) {
    const asked = await api.next()
    if (asked.method !== 'GET') return asked
    asked.answer(200, leaseList('1'))
  }
}

/** A server that holds its lease. */
async function announced(t: Test): Promise<{ api: ApiStandIn; server: Server }> {
  const api = await apiStandIn(t)
  const server = await startServer(t, { pki, flags: leaseFlags(t, api.access.server.href) })
  const created = await nextBesideLists(api)
  t.match(created, { method: 'POST', path: LEASES, headers: { authorization: 'Bearer secret-of-the-kubeconfig' } })
  created.answer(201, storedLease(NAME, '7', Date.now()))
  await figureBecomes(server, 'culvert_server_lease_held', 1)
  return { api, server }
}

t.test('a server withdraws its lease at the first SIGTERM, while what is open goes on', async (t) => {
  const { api, server } = await announced(t)
  await startAgent(t, server)
  const socket = await openTunnel(server, target.address)
  server.signal('SIGTERM')
  const removal = await nextBesideLists(api)
  t.match(removal, { method: 'DELETE', path: `${LEASES}/${NAME}` })
  removal.answer(200, {})
  await server.logged('lease withdrawn')
  await echoOver(socket, 'still here')
  socket.destroy()
  t.strictSame(await server.ended, { code: 0, signal: null })
})

t.test('a server with workers holds a lease for each and withdraws them all', async (t) => {
  const api = await apiStandIn(t)
  const server = await startServer(t, { pki, flags: [...leaseFlags(t, api.access.server.href), '--workers=2'] })
  const names = [`${NAME}-w1`, `${NAME}-w2`]
  const created: string[] = []
  for (const _name of names) {
    const asked = await nextBesideLists(api)
    const { name } = (asked.body as { metadata: { name: string } }).metadata
    created.push(`${asked.method} ${name}`)
    asked.answer(201, storedLease(name, '7', Date.now()))
  }
  t.strictSame(
    created.toSorted(), // they come at once, each over a connection of its own
    names.map((name) => `POST ${name}`),
  )
  await figureBecomes(server, 'culvert_server_lease_held', 1)
  server.signal('SIGTERM')
  const removed: string[] = []
  for (const _name of names) {
    const asked = await nextBesideLists(api)
    removed.push(`${asked.method} ${asked.path}`)
    asked.answer(200, {})
  }
  t.strictSame(
    removed.toSorted(),
    names.map((name) => `DELETE ${LEASES}/${name}`),
  )
  t.strictSame(await server.ended, { code: 0, signal: null })
})

t.test('a server ends in order though the API server does not answer', async (t) => {
  const { api, server } = await announced(t)
  server.signal('SIGTERM')
  t.equal((await nextBesideLists(api)).method, 'DELETE')
  t.strictSame(await server.ended, { code: 0, signal: null })
})

t.test('a second signal does not wait for the API server', async (t) => {
  const { api, server } = await announced(t)
  server.signal('SIGTERM')
  t.equal((await nextBesideLists(api)).method, 'DELETE')
  server.signal('SIGTERM')
  t.match(await within(server.ended, 'its end', AT_ONCE_MS), { code: 1 })
})

t.test('a server serves without its API server, and says once that it has no lease', async (t) => {
  const { server } = await startTunnel(t, { pki, flags: leaseFlags(t, `https://${await closedPort()}`) })
  const socket = await openTunnel(server, target.address)
  await echoOver(socket, 'hello')
  await eventually(
    'three renewals have failed',
    () => figure(server, 'culvert_server_lease_renewals_total{outcome="failed"}'),
    (failed) => failed >= 3,
  )
  t.match(await server.logged('lease not renewed, trying on'), { reason: /ECONNREFUSED/ })
  t.equal(server.log.filter(({ msg }) => msg === 'lease not renewed, trying on').length, 1)
  t.equal(await figure(server, 'culvert_server_lease_held'), 0)
  socket.destroy()
})

t.test('an agent wants as many servers as there are leases', async (t) => {
  const api = await apiStandIn(t)
  const server = await startServer(t, { pki })
  const flags = ['--count-server-leases', `--kubeconfig=${kubeconfig(t, api.access.server.href)}`]
  const agent = await launchAgent(t, server, { flags })
  await agent.logged('connected')
  t.equal(await figure(agent, `${AGENT}known_server_count`), 1, 'it does not wait for the API server')
  const lease = (name: string): object => storedLease(name, '7', Date.now())
  ;(await api.next()).answer(200, leaseList('1', lease('a'), lease('b'), storedLease('c', '7', 0)))
  await figureBecomes(agent, `${AGENT}known_server_count`, 2)
  t.equal((await api.next()).query.watch, 'true')
  t.equal(await figure(agent, 'culvert_agent_lease_count_current'), 1)
})

const tokenFlags = (t: Test, server: string): string[] => [
  '--cluster-ca-cert=',
  '--agent-namespace=ns',
  '--agent-service-account=sa',
  '--authentication-audience=hub',
  `--kubeconfig=${kubeconfig(t, server)}`,
]

t.test('an agent is known by its token, which nobody but the API server gets to see', async (t) => {
  const api = await apiStandIn(t)
  const server = await startServer(t, { pki, flags: tokenFlags(t, api.access.server.href) })
  const tokenFile = join(temporaryFolder(t), 'token')
  writeFileSync(tokenFile, TOKEN)
  const agent = await launchAgent(t, server, {
    flags: ['--agent-cert=', '--agent-key=', `--service-account-token-path=${tokenFile}`],
  })
  const status = { authenticated: true, user: { username: 'system:serviceaccount:ns:other' }, audiences: ['hub'] }
  const refused = await api.next()
  t.match(refused.body, { spec: { token: TOKEN, audiences: ['hub'] } })
  refused.answer(201, { spec: { token: TOKEN }, status })
  const text = 'lookup failed: incoming request from "other" service account. Expected "sa"'
  const reason = `gRPC status 2: Failed to validate authentication token, err:${text}`
  t.match(await agent.logged('could not connect'), { reason })
  t.match(await server.logged('agent refused'), { why: 'unauthenticated' })

  const username = 'system:serviceaccount:ns:sa'
  ;(await api.next()).answer(201, { status: { ...status, user: { username } } })
  await agent.logged('connected')
  const fleet = await (await fetchFrom(server.adminPort, '/v1/clusters')).text()
  t.match(fleet, `"${username}"`)
  await echoOver(await openTunnel(server, target.address), 'hello')
  for (const program of [server, agent]) {
    const said = JSON.stringify(program.log) + program.lines.join()
    t.notMatch(said, /hunter2|secret-of-the-kubeconfig/, program.name)
    t.notMatch(await (await fetchFrom(program.healthPort, '/metrics')).text(), /hunter2|secret-of/)
  }
})

t.test('a program that cannot find an API server says so at its start', async (t) => {
  const server = await startServer(t, { pki })
  const agentFlags = [`--proxy-server-port=${server.agentPort}`, `--ca-cert=${pki.caFile}`, '--count-server-leases']
  const noPod = /failed to load kubernetes client config: .*this is no pod: pass --kubeconfig/
  const outside = { KUBERNETES_SERVICE_HOST: '', KUBERNETES_SERVICE_PORT: '' }
  const cases = [
    [agentFlags, outside, noPod],
    [[...agentFlags, `--kubeconfig=${pki.caFile}`], {}, /failed to load kubernetes client config: --kubeconfig /],
  ] as const
  for (const [flags, env, message] of cases) {
    const program = launch(t, { name: 'proxy-agent', flags, env })
    t.strictSame(await program.ended, { code: 1, signal: null })
    t.match(program.lines.join('\n'), message)
  }
})
