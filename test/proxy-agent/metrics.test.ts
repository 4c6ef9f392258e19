import t from 'tap'
import { type AgentState, createAgentMetrics } from '../../src/proxy-agent/metrics.ts'
import { expose } from '../platform/exposition.ts'

const KONNECTIVITY = 'konnectivity_network_proxy_agent_'
const OURS = 'culvert_agent_'

function setup(state: Partial<AgentState> = {}) {
  return createAgentMetrics({
    servers: () => 0,
    knownServers: () => 1,
    connections: () => 0,
    bufferedBytes: () => 0,
    certificateSeconds: () => ({}),
    tlsAlarm: () => false,
    policyAlarm: () => false,
    ...state,
  })
}

t.test('has the families of konnectivity, by name and type', async (t) => {
  const { families } = await expose(setup().registry)
  const theirs = Object.entries(families).filter(([name]) => name.startsWith(KONNECTIVITY))
  t.strictSame(Object.fromEntries(theirs.map(([name, type]) => [name.slice(KONNECTIVITY.length), type])), {
    open_server_connections: 'gauge',
    known_server_count: 'gauge',
    open_endpoint_connections: 'gauge',
    stream_packets_total: 'counter',
    stream_errors_total: 'counter',
    dial_duration_seconds: 'histogram',
    endpoint_dial_failure_total: 'counter',
    server_connection_failure_count: 'counter',
  })
  for (const name of Object.keys(families)) t.match(name, /^(konnectivity_network_proxy|culvert)_agent_[a-z_]+$/)
})

t.test('has the buckets of konnectivity', async (t) => {
  const { buckets } = await expose(setup().registry)
  const seconds = ['0.005', '0.025', '0.1', '0.5', '2.5', '10', '30', '+Inf']
  t.strictSame(buckets(`${KONNECTIVITY}dial_duration_seconds`), seconds)
})

t.test('shows what has no labels at zero, and nothing else, before anything has happened', async (t) => {
  const { series } = await expose(setup().registry)
  const own = Object.keys(series).filter((name) => name.startsWith(KONNECTIVITY) || name.startsWith(OURS))
  t.strictSame(
    own.filter((name) => name.includes('{') && !name.includes('_bucket{le=')),
    [],
  )
  t.match(series, {
    [`${KONNECTIVITY}open_server_connections`]: 0,
    [`${KONNECTIVITY}known_server_count`]: 1,
    [`${KONNECTIVITY}open_endpoint_connections`]: 0,
    [`${KONNECTIVITY}dial_duration_seconds_count`]: 0,
    [`${OURS}buffered_bytes`]: 0,
    [`${OURS}tls_files_broken`]: 0,
    [`${OURS}policy_file_broken`]: 0,
    [`${OURS}policy_decision_seconds_count`]: 0,
    [`${OURS}connection_ends_total`]: 0,
  })
})

t.test('asks for what there is whenever somebody looks', async (t) => {
  const certificates: Record<string, number> = { 'agent-cert': 60 }
  const { registry } = setup({
    servers: () => 2,
    knownServers: () => 3,
    connections: () => 4,
    bufferedBytes: () => 5,
    certificateSeconds: () => certificates,
    tlsAlarm: () => true,
  })
  t.match((await expose(registry)).series, {
    [`${KONNECTIVITY}open_server_connections`]: 2,
    [`${KONNECTIVITY}known_server_count`]: 3,
    [`${KONNECTIVITY}open_endpoint_connections`]: 4,
    [`${OURS}buffered_bytes`]: 5,
    [`${OURS}tls_files_broken`]: 1,
    [`${OURS}certificate_expiry_seconds{flag="agent-cert"}`]: 60,
  })
  delete certificates['agent-cert']
  t.strictSame((await expose(registry)).of(`${OURS}certificate_expiry_seconds`), [])
})

t.test('counts what happens, in seconds where it is a time', async (t) => {
  const { metrics, registry } = setup()
  metrics.connectionOpened(30)
  metrics.connectionEnded()
  metrics.connectionForced('over-budget')
  metrics.dialFailed('timeout')
  metrics.connectFailed()
  metrics.connectFailed()
  metrics.streamLost('Unavailable')
  metrics.streamLost('OK')
  metrics.violation('unexpected')
  metrics.roundTrip(2)
  metrics.badProbe('malformed')
  metrics.packets.sent.DIAL_RSP += 3
  metrics.packets.received.DATA++
  metrics.bytes.fromSockets += 10
  metrics.bytes.toSockets += 20
  const { series } = await expose(registry)
  t.match(series, {
    [`${KONNECTIVITY}stream_errors_total{segment="to_agent",code="Unavailable",packet_type="Unknown"}`]: 1,
    [`${KONNECTIVITY}dial_duration_seconds_sum`]: 0.03,
    [`${KONNECTIVITY}dial_duration_seconds_bucket{le="0.1"}`]: 1,
    [`${OURS}connection_ends_total`]: 1,
    [`${OURS}forced_closes_total{reason="over_budget"}`]: 1,
    [`${KONNECTIVITY}endpoint_dial_failure_total{reason="timeout"}`]: 1,
    [`${OURS}failed_connects_total`]: 2,
    [`${OURS}violations_total{kind="unexpected"}`]: 1,
    [`${OURS}round_trip_seconds_sum`]: 0.002,
    [`${OURS}bad_probes_total{why="malformed"}`]: 1,
    [`${KONNECTIVITY}stream_packets_total{segment="from_agent",packet_type="DIAL_RSP"}`]: 3,
    [`${KONNECTIVITY}stream_packets_total{segment="to_agent",packet_type="DATA"}`]: 1,
    [`${OURS}payload_bytes_total{segment="from_agent"}`]: 10,
    [`${OURS}payload_bytes_total{segment="to_agent"}`]: 20,
  })
  t.equal(series[`${KONNECTIVITY}endpoint_dial_failure_total{reason="unknown"}`], undefined)
  t.equal(series[`${KONNECTIVITY}server_connection_failure_count{direction="from_server"}`], 1)
})

t.test('counts again from where it was when somebody looked', async (t) => {
  const { metrics, registry } = setup()
  const series = `${KONNECTIVITY}stream_packets_total{segment="from_agent",packet_type="DATA"}`
  for (const total of [1, 2, 3]) {
    metrics.packets.sent.DATA++
    t.equal((await expose(registry)).series[series], total)
  }
})
