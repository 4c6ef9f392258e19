/**
 * The Prometheus form of what proxy-server counts (metrics.ts): konnectivity's names where they exist, ours
 * (`culvert_server_…`) for the rest.
 */
import { Counter, collectDefaultMetrics, Histogram, Registry } from 'prom-client'
import type { Refusal } from '../platform/endpoints.ts'
import { createStreamFigures, type StreamEndCode } from '../platform/stream-figures.ts'
import { labelledGauge, labelValue, type MergedAs, tallyCounter, tallyGauge } from '../platform/tallies.ts'
import type { ByteCount } from '../tunnel/endpoint.ts'
import { createPacketCount } from '../tunnel/packet.ts'
import type { ServerMetrics, ServerState, StreamEnd } from './metrics.ts'

const PREFIX = 'konnectivity_network_proxy_server_'
const DIAL_BUCKETS = [0.000001, 0.00001, 0.0001, 0.005, 0.025, 0.1, 0.5, 2.5, 12.5]
const LIFETIME_BUCKETS = [1, 5, 15, 30, 60, 300, 900, 1800, 3600, 14_400, 43_200, 86_400]

/** How konnectivity would name the ends that are errors: by the gRPC code with which its read fails. */
const STREAM_END_CODES: Partial<Record<StreamEnd, StreamEndCode>> = {
  lost: 'Canceled',
  heartbeat_timeout: 'Canceled', // as its own keepalive does
  protocol_error: 'Internal',
  too_large: 'ResourceExhausted',
  unmapped: 'Canceled',
}

export function createServerMetrics(state: ServerState): { metrics: ServerMetrics; registry: Registry } {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })

  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> =>
    new Counter({ name, help, labelNames: [...labelNames], registers })

  const gauge = (name: string, help: string, read: () => number): void => tallyGauge(registry, name, help, read)
  const gauges = (
    name: string,
    help: string,
    label: string,
    read: () => Readonly<Record<string, number>>,
    mergedAs?: MergedAs,
  ): void => labelledGauge(registry, name, help, label, read, mergedAs)

  const firstHelp = 'Agents that can be chosen, by the first strategy.'
  gauge(`${PREFIX}ready_backend_connections`, firstHelp, () => Object.values(state.backends())[0] ?? 0)
  const backendsHelp = 'Agents that can be chosen, by strategy; for destHost the hosts that they named.'
  gauges(`${PREFIX}ready_backends`, backendsHelp, 'proxy_strategy', state.backends)
  let connects = 0
  gauge(`${PREFIX}http_connections`, 'CONNECT requests that are being served.', () => connects)
  gauge(`${PREFIX}pending_backend_dials`, 'Dials that no agent has answered yet.', state.dials)
  gauge(`${PREFIX}established_connections`, 'Tunnelled connections that are open.', state.connections)
  let lanes = 0
  gauge('culvert_server_open_lanes', 'Lanes of agents that are open.', () => lanes)
  gauge('culvert_server_buffered_bytes', 'Bytes that wait for clients or for agents.', state.bufferedBytes)
  const streams: Partial<Record<'Proxy' | 'Connect', number>> = {} // a method is absent until its first stream
  gauges(`${PREFIX}grpc_connections`, 'Open gRPC streams, by method.', 'service_method', () => {
    if (state.agents() > 0) streams.Connect = 0
    return { ...streams, ...(streams.Connect !== undefined && { Connect: state.agents() }) }
  })
  const paused: Partial<Record<'Proxy' | 'Connect', number>> = {}
  const pausedHelp = 'gRPC streams that are not read until what waits of them has been taken, by method.'
  gauges(`${PREFIX}full_receive_channels`, pausedHelp, 'service_method', () => paused)
  certificateGauge(registry, state.certificateSeconds)
  const brokenHelp = '1 while the TLS files of a port are broken and the ones before are in use.'
  const alarms = (): Record<string, number> =>
    Object.fromEntries(Object.entries(state.tlsAlarms()).map(([port, up]) => [port, up ? 1 : 0]))
  gauges('culvert_server_tls_files_broken', brokenHelp, 'port', alarms, 'max')

  const policyHelp = '1 while the policy file is broken and the one before is in use.'
  tallyGauge(registry, 'culvert_server_policy_file_broken', policyHelp, () => (state.policyAlarm() ? 1 : 0), 'max')

  const packets = createPacketCount()
  const bytes: ByteCount = { fromSockets: 0, toSockets: 0 }
  const frontendPackets = createPacketCount()
  const { streamEnded } = createStreamFigures(registry, PREFIX, {
    from_client: frontendPackets.received,
    to_client: frontendPackets.sent,
    from_agent: packets.received,
    to_agent: packets.sent,
  })
  const byteHelp = 'Payload bytes of tunnelled connections.'
  tallyCounter(registry, 'culvert_server_payload_bytes_total', byteHelp, ['segment'], () => [
    { labels: { segment: 'to_agent' }, value: bytes.fromSockets },
    { labels: { segment: 'from_agent' }, value: bytes.toSockets },
  ])

  const dialSeconds = new Histogram({
    name: `${PREFIX}dial_duration_seconds`,
    help: 'Time from the dial to the answer of the agent, where it connected.',
    buckets: DIAL_BUCKETS,
    registers,
  })
  const writeSeconds = new Histogram({
    name: `${PREFIX}frontend_write_duration_seconds`,
    help: 'Time until a client had taken what was written to it, one write at a time of each.',
    buckets: DIAL_BUCKETS,
    registers,
  })
  const lifetimeSeconds = new Histogram({
    name: `${PREFIX}connection_duration_seconds`,
    help: 'How long tunnelled connections lasted.',
    buckets: LIFETIME_BUCKETS,
    registers,
  })
  const roundTripSeconds = new Histogram({
    name: 'culvert_server_round_trip_seconds',
    help: 'Round trip to agents that exchange heartbeats.',
    buckets: [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5],
    registers,
  })
  const judgeSeconds = new Histogram({
    name: 'culvert_server_policy_decision_seconds',
    help: 'Time to judge a dial by the policy, by verdict.',
    labelNames: ['verdict'],
    buckets: [0.00001, 0.0001, 0.001, 0.01, 0.1],
    registers,
  })
  const dialFailures = counter(`${PREFIX}dial_failure_count`, 'Dials that failed, by reason.', ['reason'])
  const refusedDials = counter('culvert_server_refused_dials_total', 'Dials over a limit, by limit.', ['limit'])
  const deniedDials = counter('culvert_server_denied_dials_total', 'Dials that the policy denies, by why.', ['why'])
  const policyAnswers = counter('culvert_server_policy_answers_total', 'Answers of agents to a policy.', ['state'])
  const ends = counter('culvert_server_connection_ends_total', 'Ends of tunnelled connections, by kind.', ['how'])
  const heads = counter('culvert_server_refused_heads_total', 'Requests that are no good CONNECT, by fault.', ['why'])
  const forbidden = counter('culvert_server_forbidden_clients_total', 'Certificates not accepted, by port.', ['port'])
  const dropped = counter('culvert_server_dropped_clients_total', 'Clients turned away, the frontend being full.', [])
  const forced = counter('culvert_server_forced_closes_total', 'Connections broken for a limit, by reason.', ['reason'])
  const handshakes = counter('culvert_server_failed_handshakes_total', 'TLS handshakes that failed or never began.', [
    'port',
    'why',
  ])
  const refusedAgents = counter('culvert_server_refused_agents_total', 'Streams that did not become an agent.', ['why'])
  const streamEnds = counter('culvert_server_agent_stream_ends_total', 'Ends of agent streams, by kind.', ['how'])
  const laneEnds = counter('culvert_server_lane_ends_total', 'Ends of lanes, by kind.', ['how'])
  const refusedLanes = counter('culvert_server_refused_lanes_total', 'Connections that became no lane.', ['why'])
  const violations = counter('culvert_server_violations_total', 'Frames of agents that broke the protocol, by kind.', [
    'kind',
  ])
  const clientViolations = counter(
    'culvert_server_client_violations_total',
    'Packets of gRPC frontends that broke the protocol, by kind.',
    ['kind'],
  )
  const metrics: ServerMetrics = {
    packets,
    frontendPackets,
    bytes,
    dialSucceeded: (ms) => dialSeconds.observe(ms / 1000),
    dialFailed: (reason) => dialFailures.inc({ reason }),
    dialRefused: (limit) => refusedDials.inc({ limit }),
    dialJudged: (verdict, ms) => judgeSeconds.observe({ verdict: labelValue(verdict) }, ms / 1000),
    dialDenied: (why) => deniedDials.inc({ why }),
    policyAnswered: (state) => policyAnswers.inc({ state }),
    connectionEnded(ms, how) {
      lifetimeSeconds.observe(ms / 1000)
      ends.inc({ how })
    },
    headRefused: (why) => heads.inc({ why: labelValue(why) }),
    clientForbidden: (port) => forbidden.inc({ port }),
    cutOff: cutOffCounter(registry),
    frontendStreamOpened() {
      streams.Proxy = (streams.Proxy ?? 0) + 1
    },
    frontendStreamEnded(code) {
      streams.Proxy = (streams.Proxy ?? 0) - 1
      streamEnded('from_client', code)
    },
    frontendWrote: (ms) => writeSeconds.observe(ms / 1000),
    frontendPaused(change) {
      paused.Proxy = (paused.Proxy ?? 0) + change
    },
    agentPaused(change) {
      paused.Connect = (paused.Connect ?? 0) + change
    },
    connectServed(change) {
      connects += change
    },
    frontendDropped: () => dropped.inc(),
    connectionForced: (reason) => forced.inc({ reason: labelValue(reason) }),
    handshakeFailed: (port, why) => handshakes.inc({ port, why }),
    agentRefused: (why) => refusedAgents.inc({ why }),
    streamEnded(how) {
      streams.Connect ??= 0
      streamEnds.inc({ how })
      streamEnded('from_agent', STREAM_END_CODES[how] ?? 'OK')
    },
    laneOpened() {
      lanes++
    },
    laneEnded(how) {
      lanes--
      laneEnds.inc({ how })
    },
    laneRefused: (why) => refusedLanes.inc({ why }),
    violation(kind) {
      violations.inc({ kind: labelValue(kind) })
      if (kind === 'unknown-dial') dialFailures.inc({ reason: 'unrecognized_response' })
    },
    clientViolation: (kind) => clientViolations.inc({ kind: labelValue(kind) }),
    roundTrip: (ms) => roundTripSeconds.observe(ms / 1000),
    badProbe: probeCounter(registry),
  }
  return { metrics, registry }
}

/** Connections whose certificate was good and no longer is. */
export function cutOffCounter(registry: Registry): ServerMetrics['cutOff'] {
  const name = 'culvert_server_cut_off_connections_total'
  const help = 'Connections ended for their certificate.'
  const ended = new Counter({ name, help, labelNames: ['port', 'why'], registers: [registry] })
  return (port, why) => ended.inc({ port, why })
}

/** Requests on the health or admin port that could not be read, or that nobody may make who made them. */
export function probeCounter(registry: Registry): (why: Refusal) => void {
  const name = 'culvert_server_bad_probes_total'
  const help = 'Requests on health and admin ports that were unreadable, or not allowed.'
  const probes = new Counter({ name, help, labelNames: ['why'], registers: [registry] })
  return (why) => probes.inc({ why: labelValue(why) })
}

/** @param seconds by flag, in this process */
export function certificateGauge(registry: Registry, seconds: () => Record<string, number>): void {
  const help = 'Seconds until a certificate in use expires, by flag.'
  labelledGauge(registry, 'culvert_server_certificate_expiry_seconds', help, 'flag', seconds, 'min')
}
