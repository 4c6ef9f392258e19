import t from 'tap'
import type { ServerState } from '../../src/proxy-server/metrics.ts'
import { createServerMetrics } from '../../src/proxy-server/prometheus.ts'
import { expose } from '../platform/exposition.ts'

const KONNECTIVITY = 'konnectivity_network_proxy_server_'
const OURS = 'culvert_server_'

function setup(state: Partial<ServerState> = {}) {
  return createServerMetrics({
    agents: () => 0,
    backends: () => ({ destHost: 0, default: 0 }),
    connections: () => 0,
    dials: () => 0,
    bufferedBytes: () => 0,
    certificateSeconds: () => ({}),
    tlsAlarms: () => ({ frontend: false, agent: false }),
    policyAlarm: () => false,
    ...state,
  })
}

t.test('has the families of konnectivity, by name and type', async (t) => {
  const { families } = await expose(setup().registry)
  const expected = {
    dial_duration_seconds: 'histogram',
    frontend_write_duration_seconds: 'histogram',
    connection_duration_seconds: 'histogram',
    full_receive_channels: 'gauge',
    grpc_connections: 'gauge',
    http_connections: 'gauge',
    ready_backend_connections: 'gauge',
    ready_backends: 'gauge',
    pending_backend_dials: 'gauge',
    established_connections: 'gauge',
    dial_failure_count: 'counter',
    stream_packets_total: 'counter',
    stream_errors_total: 'counter',
  }
  const theirs = Object.entries(families).filter(([name]) => name.startsWith(KONNECTIVITY))
  t.strictSame(Object.fromEntries(theirs.map(([name, type]) => [name.slice(KONNECTIVITY.length), type])), expected)
  for (const name of Object.keys(families)) t.match(name, /^(konnectivity_network_proxy|culvert)_server_[a-z_]+$/)
})

t.test('has the buckets of konnectivity', async (t) => {
  const { buckets } = await expose(setup().registry)
  t.strictSame(buckets(`${KONNECTIVITY}dial_duration_seconds`).map(Number), [
    1e-6,
    1e-5,
    1e-4,
    0.005,
    0.025,
    0.1,
    0.5,
    2.5,
    12.5,
    Number.NaN,
  ])
  const writes = buckets(`${KONNECTIVITY}frontend_write_duration_seconds`)
  t.strictSame(writes, buckets(`${KONNECTIVITY}dial_duration_seconds`))
  t.strictSame(buckets(`${KONNECTIVITY}connection_duration_seconds`), [
    ...['1', '5', '15', '30', '60', '300', '900', '1800', '3600', '14400', '43200', '86400'],
    '+Inf',
  ])
})

t.test('shows plain gauges and histograms at zero before anything has happened', async (t) => {
  const { series } = await expose(setup().registry)
  const plain = [
    ...['http_connections', 'ready_backend_connections', 'pending_backend_dials', 'established_connections'],
    ...['dial_duration_seconds_count', 'connection_duration_seconds_count', 'frontend_write_duration_seconds_count'],
  ]
  for (const name of plain) t.equal(series[KONNECTIVITY + name], 0, name)
  t.equal(series[`${OURS}buffered_bytes`], 0)
})

t.test('shows no series with labels before it has happened', async (t) => {
  const { families, series } = await expose(setup().registry)
  const labelled = Object.keys(series).filter((name) => name.includes('{') && !name.includes('_bucket{le='))
  const own = labelled.filter((name) => (name.split('{')[0] ?? '') in families)
  t.strictSame(
    own,
    [
      `${KONNECTIVITY}ready_backends{proxy_strategy="destHost"}`,
      `${KONNECTIVITY}ready_backends{proxy_strategy="default"}`,
      `${OURS}tls_files_broken{port="frontend"}`,
      `${OURS}tls_files_broken{port="agent"}`,
    ],
    'but what an alert compares with zero',
  )
})

t.test('asks for what there is whenever somebody looks', async (t) => {
  const now = { agents: 2, connections: 4, dials: 5, bufferedBytes: 6 }
  const { registry } = setup({
    agents: () => now.agents,
    backends: () => ({ destHost: now.agents * 10, default: now.agents }),
    connections: () => now.connections,
    dials: () => now.dials,
    bufferedBytes: () => now.bufferedBytes,
    certificateSeconds: () => ({ 'server-cert': 3_600, 'cluster-cert': -5 }),
    tlsAlarms: () => ({ frontend: true, agent: false }),
  })
  const figures = (agents: number) => ({
    [`${KONNECTIVITY}ready_backend_connections`]: agents * 10, // those of the first strategy
    [`${KONNECTIVITY}ready_backends{proxy_strategy="destHost"}`]: agents * 10,
    [`${KONNECTIVITY}ready_backends{proxy_strategy="default"}`]: agents,
    [`${KONNECTIVITY}grpc_connections{service_method="Connect"}`]: agents,
    [`${KONNECTIVITY}established_connections`]: 4,
    [`${KONNECTIVITY}pending_backend_dials`]: 5,
    [`${OURS}buffered_bytes`]: 6,
    [`${OURS}certificate_expiry_seconds{flag="server-cert"}`]: 3_600,
    [`${OURS}certificate_expiry_seconds{flag="cluster-cert"}`]: -5,
    [`${OURS}tls_files_broken{port="frontend"}`]: 1,
    [`${OURS}tls_files_broken{port="agent"}`]: 0,
  })
  t.match((await expose(registry)).series, figures(2))
  now.agents = 0
  t.match((await expose(registry)).series, figures(0), 'none any more is zero, not absent')
})

t.test('shows no agents as zero when the only one came and went between two looks', async (t) => {
  const { metrics, registry } = setup()
  metrics.streamEnded('closed')
  t.match((await expose(registry)).series, {
    [`${KONNECTIVITY}grpc_connections{service_method="Connect"}`]: 0,
  })
})

t.test('forgets a certificate that is no longer in use', async (t) => {
  const certificates: Record<string, number> = { 'server-cert': 1 }
  const { registry } = setup({ certificateSeconds: () => certificates })
  await expose(registry)
  delete certificates['server-cert']
  t.strictSame((await expose(registry)).of(`${OURS}certificate_expiry_seconds`), [])
})

t.test('counts what happens, in seconds where it is a time', async (t) => {
  const { metrics, registry } = setup()
  metrics.dialSucceeded(30)
  metrics.connectionEnded(61_000, 'finished')
  metrics.connectionEnded(1, 'reset')
  metrics.roundTrip(2)
  metrics.frontendWrote(4)
  metrics.dialFailed('no_agent')
  metrics.dialFailed('no_agent')
  metrics.dialFailed('frontend_close')
  metrics.dialRefused('stream')
  metrics.headRefused('method')
  metrics.clientForbidden('agent')
  metrics.handshakeFailed('frontend', 'slow')
  metrics.agentRefused('metadata')
  metrics.streamEnded('heartbeat_timeout')
  metrics.badProbe('slow')
  const { series } = await expose(registry)
  t.match(series, {
    [`${KONNECTIVITY}dial_duration_seconds_sum`]: 0.03,
    [`${KONNECTIVITY}dial_duration_seconds_bucket{le="0.025"}`]: 0,
    [`${KONNECTIVITY}dial_duration_seconds_bucket{le="0.1"}`]: 1,
    [`${KONNECTIVITY}frontend_write_duration_seconds_sum`]: 0.004,
    [`${KONNECTIVITY}frontend_write_duration_seconds_bucket{le="0.0001"}`]: 0,
    [`${KONNECTIVITY}frontend_write_duration_seconds_bucket{le="0.005"}`]: 1,
    [`${KONNECTIVITY}connection_duration_seconds_sum`]: 61.001,
    [`${KONNECTIVITY}connection_duration_seconds_count`]: 2,
    [`${OURS}connection_ends_total{how="finished"}`]: 1,
    [`${OURS}connection_ends_total{how="reset"}`]: 1,
    [`${OURS}round_trip_seconds_sum`]: 0.002,
    [`${KONNECTIVITY}dial_failure_count{reason="no_agent"}`]: 2,
    [`${KONNECTIVITY}dial_failure_count{reason="frontend_close"}`]: 1,
    [`${OURS}refused_dials_total{limit="stream"}`]: 1,
    [`${OURS}refused_heads_total{why="method"}`]: 1,
    [`${OURS}forbidden_clients_total{port="agent"}`]: 1,
    [`${OURS}failed_handshakes_total{port="frontend",why="slow"}`]: 1,
    [`${OURS}refused_agents_total{why="metadata"}`]: 1,
    [`${OURS}agent_stream_ends_total{how="heartbeat_timeout"}`]: 1,
    [`${OURS}bad_probes_total{why="slow"}`]: 1,
  })
  t.equal(series[`${KONNECTIVITY}dial_failure_count{reason="error_response"}`], undefined)
})

t.test('counts an answer to no dial under the name that konnectivity has for it, too', async (t) => {
  const { metrics, registry } = setup()
  metrics.violation('unknown-dial')
  metrics.violation('unknown-type')
  const { series, of } = await expose(registry)
  t.equal(series[`${OURS}violations_total{kind="unknown_dial"}`], 1)
  t.equal(series[`${OURS}violations_total{kind="unknown_type"}`], 1)
  t.equal(series[`${KONNECTIVITY}dial_failure_count{reason="unrecognized_response"}`], 1)
  t.strictSame(of(`${KONNECTIVITY}dial_failure_count`), [
    `${KONNECTIVITY}dial_failure_count{reason="unrecognized_response"}`,
  ])
})

t.test('counts packets by direction and type, and payload bytes by direction', async (t) => {
  const { metrics, registry } = setup()
  metrics.packets.sent.DIAL_REQ += 2
  metrics.packets.received.UNKNOWN++
  metrics.bytes.fromSockets += 100
  const name = `${KONNECTIVITY}stream_packets_total`
  const first = await expose(registry)
  t.strictSame(first.of(name), [
    `${name}{segment="from_agent",packet_type="UNKNOWN"}`,
    `${name}{segment="to_agent",packet_type="DIAL_REQ"}`,
  ])
  t.strictSame(first.of(`${OURS}payload_bytes_total`), [`${OURS}payload_bytes_total{segment="to_agent"}`])
  metrics.packets.sent.DIAL_REQ++
  metrics.bytes.toSockets += 7
  t.match((await expose(registry)).series, {
    [`${name}{segment="to_agent",packet_type="DIAL_REQ"}`]: 3,
    [`${OURS}payload_bytes_total{segment="to_agent"}`]: 100,
    [`${OURS}payload_bytes_total{segment="from_agent"}`]: 7,
  })
})

t.test('counts the streams of gRPC frontends and their packets from the first one on', async (t) => {
  const { metrics, registry } = setup()
  const streams = `${KONNECTIVITY}grpc_connections{service_method="Proxy"}`
  const packets = `${KONNECTIVITY}stream_packets_total`
  metrics.frontendStreamOpened()
  metrics.frontendStreamOpened()
  metrics.frontendPackets.received.DIAL_REQ++
  metrics.frontendPackets.sent.DIAL_RSP++
  metrics.frontendStreamEnded('OK')
  const { series, of } = await expose(registry)
  t.equal(series[streams], 1)
  t.strictSame(of(packets), [
    `${packets}{segment="from_client",packet_type="DIAL_REQ"}`,
    `${packets}{segment="to_client",packet_type="DIAL_RSP"}`,
  ])
  t.strictSame(of(`${KONNECTIVITY}stream_errors_total`), [], 'an end in order is no error')
  metrics.frontendStreamEnded('Canceled')
  t.match((await expose(registry)).series, {
    [streams]: 0,
    [`${KONNECTIVITY}stream_errors_total{segment="from_client",code="Canceled",packet_type="Unknown"}`]: 1,
  })
})

t.test('shows how many gRPC frontends and how many agents are not read, once that has happened', async (t) => {
  const { metrics, registry } = setup()
  const full = `${KONNECTIVITY}full_receive_channels`
  t.strictSame((await expose(registry)).of(full), [])
  metrics.frontendPaused(1)
  metrics.frontendPaused(1)
  t.equal((await expose(registry)).series[`${full}{service_method="Proxy"}`], 2)
  metrics.agentPaused(1)
  metrics.frontendPaused(-1)
  metrics.frontendPaused(-1)
  const { series } = await expose(registry)
  t.strictSame([series[`${full}{service_method="Proxy"}`], series[`${full}{service_method="Connect"}`]], [0, 1])
})

t.test('shows how many CONNECT requests are being served', async (t) => {
  const { metrics, registry } = setup()
  for (const change of [1, 1, -1] as const) metrics.connectServed(change)
  t.equal((await expose(registry)).series[`${KONNECTIVITY}http_connections`], 1)
})

t.test('counts what clients do wrong apart from what agents do wrong', async (t) => {
  const { metrics, registry } = setup()
  metrics.clientViolation('unknown-dial')
  const { series, of } = await expose(registry)
  t.equal(series[`${OURS}client_violations_total{kind="unknown_dial"}`], 1)
  t.strictSame([...of(`${OURS}violations_total`), ...of(`${KONNECTIVITY}dial_failure_count`)], [])
})

t.test('two servers in one process count apart', async (t) => {
  const [one, other] = [setup(), setup()]
  one.metrics.dialFailed('no_agent')
  t.strictSame((await expose(other.registry)).of(`${KONNECTIVITY}dial_failure_count`), [])
})

t.test('names the streams that broke as konnectivity does, and no stream that ended in order', async (t) => {
  const { metrics, registry } = setup()
  for (const how of ['closed', 'shutdown', 'lost', 'heartbeat_timeout', 'protocol_error', 'too_large'] as const) {
    metrics.streamEnded(how)
  }
  const { series } = await expose(registry)
  const errors = Object.entries(series).filter(([name]) => name.startsWith(`${KONNECTIVITY}stream_errors_total`))
  t.strictSame(Object.fromEntries(errors.map(([name, value]) => [/code="(\w+)"/.exec(name)?.[1], value])), {
    Canceled: 2,
    Internal: 1,
    ResourceExhausted: 1,
  })
  for (const [name] of errors) t.match(name, 'segment="from_agent"')
})
