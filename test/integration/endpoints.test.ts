/** What the running programs answer to people and probes. */
import { get as httpGet, type IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { readVersion } from '../../src/platform/version.ts'
import { echoOver, openTunnel } from './client.ts'
import { event, eventually } from './deadline.ts'
import { AGENT, type Figures, fetchFrom, readFigures, SERVER } from './figures.ts'
import { echo, listenTarget } from './target.ts'
import { launchAgent, startServer, startTunnel } from './tunnel.ts'

const lonely = await startServer(t)
const { server, agent } = await startTunnel(
  t,
  { pki: lonely.pki },
  {
    flags: ['--agent-id=a-1', '--heartbeat-interval=500ms', '--agent-identifiers=host=node-1&ipv4=10.0.0.1'],
  },
)
const target = await listenTarget(t, echo)
const socket = await openTunnel(server, target.address)
t.teardown(() => socket.destroy())
await echoOver(socket, 'twelve bytes')

async function answer(port: number, path: string, init?: RequestInit): Promise<{ status: number; body: string }> {
  const response = await fetchFrom(port, path, init)
  return { status: response.status, body: await response.text() }
}

/** By another name than the one that was connected to, which fetch does not do. */
async function get(port: number, path: string, host: string): Promise<{ status: number; body: string }> {
  const request = httpGet({ host: '127.0.0.1', port, path, headers: { Host: host }, agent: false })
  const response = await event<IncomingMessage>(request, 'response')
  return { status: response.statusCode ?? 0, body: await text(response) }
}

/** Without its labels. */
const namesOf = (figures: Figures): Set<string> =>
  new Set([...figures.series.keys()].map((series) => series.replace(/\{.*/, '')))

t.test('before any agent a server is alive and not ready', async (t) => {
  const { healthPort, adminPort } = lonely
  const report = '[+]ping ok\n[-]agent-connected failed: no connection to any proxy agent\n[+]not-shutting-down ok\n'
  t.strictSame(await answer(healthPort, '/healthz'), { status: 200, body: 'ok' })
  for (const path of ['/readyz', '/ready']) {
    t.strictSame(await answer(healthPort, path), { status: 500, body: 'no connection to any proxy agent' })
  }
  t.strictSame(await answer(healthPort, '/readyz?verbose'), { status: 500, body: report })
  t.strictSame(JSON.parse((await answer(adminPort, '/v1/clusters')).body), { clusters: [] })
})

t.test('before any server an agent is alive and not ready', async (t) => {
  const agent = await launchAgent(t, { pki: server.pki, agentPort: 1 })
  const report = '[+]ping ok\n[-]server-connected failed: no servers connected\n'
  t.strictSame(await answer(agent.healthPort, '/healthz'), { status: 200, body: 'ok' })
  t.strictSame(await answer(agent.healthPort, '/readyz'), { status: 503, body: report })
})

t.test('with a tunnel both are ready, and say so in detail when asked', async (t) => {
  t.strictSame(await answer(server.healthPort, '/readyz'), { status: 200, body: 'ok' })
  t.strictSame(await answer(server.healthPort, '/readyz?verbose'), {
    status: 200,
    body: '[+]ping ok\n[+]agent-connected ok\n[+]not-shutting-down ok\ncheck passed\n',
  })
  t.strictSame(await answer(agent.healthPort, '/readyz'), { status: 200, body: 'ok' })
  t.strictSame(await answer(agent.healthPort, '/readyz?verbose'), {
    status: 200,
    body: '[+]ping ok\n[+]server-connected ok\ncheck passed\n',
  })
})

t.test('/v1/clusters is the record of the last heartbeats', async (t) => {
  const read = async () => JSON.parse((await answer(server.adminPort, '/v1/clusters')).body)
  const { clusters } = await eventually(
    'a second heartbeat has come',
    read,
    ({ clusters: [one] }) => one.agents[0].heartbeatSeq > 1,
  )
  t.equal(clusters.length, 1)
  t.match(clusters[0], {
    id: 'default',
    agents: [
      {
        agentId: 'a-1',
        principal: 'cluster/eu-1/agent/a1',
        identifiers: { ipv4: ['10.0.0.1'], ipv6: [], host: ['node-1'], cidr: [], defaultRoute: false },
        remoteAddress: /127\.0\.0\.1$/,
        extensions: ['flow-control', 'half-close', 'heartbeat', 'close-reason', 'ping', 'going-away'],
        draining: false,
        connections: 1,
        pendingDials: 0,
        heartbeatSeq: Number,
        roundTripMs: Number,
        clockSkewMs: Number,
        connectedAt: /^\d{4}-\d\d-\d\dT/,
        lastHeardAt: /^\d{4}-\d\d-\d\dT/,
        health: { agentVersion: readVersion(), uptimeMs: Number, openConnections: Number, certificateDaysLeft: 364 },
      },
    ],
  })
  const [{ health }] = clusters[0].agents
  for (const figure of ['apiServerReady', 'nodes', 'pivotPhase'])
    t.notOk(figure in health, `${figure} is not known: absent`)
})

t.test("the server's metrics are konnectivity's by name, and ours", async (t) => {
  const figures = await readFigures(server)
  t.match(Object.fromEntries(figures.series), {
    [`${SERVER}ready_backend_connections`]: 1,
    [`${SERVER}ready_backends{proxy_strategy="default"}`]: 1,
    [`${SERVER}grpc_connections{service_method="Connect"}`]: 1,
    [`${SERVER}http_connections`]: 1,
    [`${SERVER}established_connections`]: 1,
    [`${SERVER}pending_backend_dials`]: 0,
    [`${SERVER}dial_duration_seconds_count`]: 1,
    [`${SERVER}stream_packets_total{segment="to_agent",packet_type="DIAL_REQ"}`]: 1,
    [`${SERVER}stream_packets_total{segment="from_agent",packet_type="DIAL_RSP"}`]: 1,
    'culvert_server_payload_bytes_total{segment="to_agent"}': 12,
    'culvert_server_payload_bytes_total{segment="from_agent"}': 12,
    'culvert_server_tls_files_broken{port="frontend"}': 0,
    'culvert_server_tls_files_broken{port="agent"}': 0,
  })
  t.ok(figures.of('culvert_server_certificate_expiry_seconds{flag="server-cert"}') > 86_400)
  const names = namesOf(figures)
  t.ok(names.has('process_cpu_seconds_total') && names.has('nodejs_heap_size_used_bytes'))
  for (const absent of ['dial_failure_count', 'stream_errors_total'])
    t.notOk(names.has(SERVER + absent), `${absent}: not yet`)
})

t.test("the agent's metrics are konnectivity's by name, and ours", async (t) => {
  const figures = await readFigures(agent)
  t.match(Object.fromEntries(figures.series), {
    [`${AGENT}open_server_connections`]: 1,
    [`${AGENT}known_server_count`]: 1,
    [`${AGENT}open_endpoint_connections`]: 1,
    [`${AGENT}dial_duration_seconds_count`]: 1,
    'culvert_agent_payload_bytes_total{segment="from_agent"}': 12,
    'culvert_agent_payload_bytes_total{segment="to_agent"}': 12,
    culvert_agent_tls_files_broken: 0,
  })
  t.notOk(namesOf(figures).has(`${AGENT}endpoint_dial_failure_total`), 'not yet')
})

t.test('the admin ports: metrics of the server, and for those of the agent the way to its health port', async (t) => {
  t.match(await answer(server.adminPort, '/metrics'), { status: 200, body: /^# HELP / })
  const moved = await fetchFrom(agent.adminPort, '/metrics', { redirect: 'manual' })
  t.equal(moved.status, 301)
  t.equal(moved.headers.get('location'), `//127.0.0.1:${agent.healthPort}/metrics`)
  const followed = await fetchFrom(agent.adminPort, '/metrics')
  t.match(await followed.text(), /^# HELP /)
})

t.test('what is not there is 404, and who is called by another name than the own is not answered', async (t) => {
  for (const port of [server.healthPort, server.adminPort, agent.healthPort, agent.adminPort]) {
    t.strictSame(await answer(port, '/'), { status: 404, body: '404 page not found\n' })
  }
  for (const port of [server.adminPort, agent.adminPort]) {
    const body = /call it by an IP address or as localhost/
    t.match(await get(port, '/metrics', 'rebound.example'), { status: 403, body })
    for (const host of ['localhost', `localhost:${port}`, `127.0.0.1:${port}`, '[::1]']) {
      t.match(await get(port, '/metrics', host), { status: port === server.adminPort ? 200 : 301 }, host)
    }
  }
  for (const port of [server.healthPort, agent.healthPort]) {
    t.match(await get(port, '/healthz', 'server.kube-system.svc'), { status: 200 })
  }
  for (const method of ['OPTIONS', 'POST']) {
    t.match(await answer(server.healthPort, '/readyz', { method }), { status: 200, body: 'ok' }, 'as konnectivity')
  }
})
