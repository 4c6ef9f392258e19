/**
 * What proxy-agent counts, in its own words, and the Prometheus form of it: konnectivity's names where they exist, ours
 * (`culvert_agent_…`) for the rest. Label values come from closed sets.
 */
import { Counter, collectDefaultMetrics, Histogram, Registry } from 'prom-client'
import type { Refusal } from '../platform/endpoints.ts'
import { createStreamFigures, type StreamEndCode } from '../platform/stream-figures.ts'
import { labelledGauge, labelValue, tallyCounter, tallyGauge } from '../platform/tallies.ts'
import type { ByteCount } from '../tunnel/endpoint.ts'
import type { ForcedReason } from '../tunnel/forced.ts'
import { createPacketCount, type PacketCount } from '../tunnel/packet.ts'
import type { Violation } from '../tunnel/violations.ts'
import type { WhyRefused } from './dialer.ts'

/** How a lane ended: in order; with its connection; silent for too long; for bytes that made no sense. */
export type LaneEnd = 'finished' | 'lost' | 'dead' | 'broken'
/** Why an attempt to open one failed: no connection; another server, or too late; no answer; an answer that makes no sense. */
export type LaneFailure = 'connect' | 'refused' | 'slow' | 'broken'

export type AgentMetrics = {
  readonly packets: PacketCount
  readonly bytes: ByteCount
  /** @param ms from the request to the connected socket */
  readonly connectionOpened: (ms: number) => void
  readonly connectionEnded: () => void
  /** One that this agent broke for a rule or a limit of its own, besides being ended. */
  readonly connectionForced: (reason: ForcedReason) => void
  readonly dialFailed: (reason: 'timeout' | 'unknown') => void
  /** Besides being failed. */
  readonly dialRefused: (why: WhyRefused) => void
  /** @param ms that it took to judge a target: a name, an address, or each address of a name */
  readonly targetJudged: (ms: number) => void
  /** An attempt to reach a server failed. */
  readonly connectFailed: () => void
  /** A stream that stood was lost; not one that we ended. `OK`: the server ended it in order. */
  readonly streamLost: (code: StreamEndCode) => void
  /** A list of replicas could not be used. */
  readonly listRefused: () => void
  readonly laneOpened: () => void
  readonly laneEnded: (how: LaneEnd) => void
  /** An attempt to open a lane failed. */
  readonly laneFailed: (why: LaneFailure) => void
  readonly violation: (violation: Violation) => void
  readonly roundTrip: (ms: number) => void
  /** A request on the health or admin port that could not be read. */
  readonly badProbe: (why: Refusal) => void
}

/** What is read when somebody looks, instead of being counted along the way. */
export type AgentState = {
  readonly servers: () => number
  readonly knownServers: () => number
  readonly connections: () => number
  readonly bufferedBytes: () => number
  readonly certificateSeconds: () => Readonly<Record<string, number>>
  readonly tlsAlarm: () => boolean
  readonly policyAlarm: () => boolean
}

const PREFIX = 'konnectivity_network_proxy_agent_'
const DIAL_BUCKETS = [0.005, 0.025, 0.1, 0.5, 2.5, 10, 30]

export function createAgentMetrics(state: AgentState): { metrics: AgentMetrics; registry: Registry } {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })

  const gauge = (name: string, help: string, read: () => number): void => tallyGauge(registry, name, help, read)
  gauge(`${PREFIX}open_server_connections`, 'Servers that are connected.', state.servers)
  gauge(`${PREFIX}known_server_count`, 'Servers that there are, as one of them said last.', state.knownServers)
  gauge(`${PREFIX}open_endpoint_connections`, 'Connections to targets that are open.', state.connections)
  let lanes = 0
  gauge('culvert_agent_open_lanes', 'Lanes to servers that are open.', () => lanes)
  gauge('culvert_agent_buffered_bytes', 'Bytes that wait for targets or for servers.', state.bufferedBytes)
  gauge('culvert_agent_tls_files_broken', '1 while the TLS files are broken and the ones before are in use.', () =>
    state.tlsAlarm() ? 1 : 0,
  )
  gauge('culvert_agent_policy_file_broken', '1 while the policy file is broken and the one before is in use.', () =>
    state.policyAlarm() ? 1 : 0,
  )
  const expiryHelp = 'Seconds until a certificate in use expires, by flag.'
  labelledGauge(registry, 'culvert_agent_certificate_expiry_seconds', expiryHelp, 'flag', state.certificateSeconds)

  const packets = createPacketCount()
  const bytes: ByteCount = { fromSockets: 0, toSockets: 0 }
  const { streamEnded } = createStreamFigures(registry, PREFIX, {
    from_agent: packets.sent,
    to_agent: packets.received,
  })
  const byteHelp = 'Payload bytes of tunnelled connections.'
  tallyCounter(registry, 'culvert_agent_payload_bytes_total', byteHelp, ['segment'], () => [
    { labels: { segment: 'from_agent' }, value: bytes.fromSockets },
    { labels: { segment: 'to_agent' }, value: bytes.toSockets },
  ])

  const dialSeconds = new Histogram({
    name: `${PREFIX}dial_duration_seconds`,
    help: 'Time to connect to a target, where that succeeded.',
    buckets: DIAL_BUCKETS,
    registers,
  })
  const roundTripSeconds = new Histogram({
    name: 'culvert_agent_round_trip_seconds',
    help: 'Round trip to servers that exchange heartbeats.',
    buckets: [0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5],
    registers,
  })
  const judgeSeconds = new Histogram({
    name: 'culvert_agent_policy_decision_seconds',
    help: 'Time to judge a target that is to be dialled.',
    buckets: [0.00001, 0.0001, 0.001, 0.01, 0.1],
    registers,
  })
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[]): Counter<L> =>
    new Counter({ name, help, labelNames: [...labelNames], registers })
  const dialFailures = counter(`${PREFIX}endpoint_dial_failure_total`, 'Targets not reached, by reason.', ['reason'])
  const refusedDials = counter('culvert_agent_refused_dials_total', 'Dials refused without a try, by why.', ['why'])
  const serverFailures = counter(`${PREFIX}server_connection_failure_count`, 'Streams of servers that broke.', [
    'direction',
  ])
  const failedConnects = counter('culvert_agent_failed_connects_total', 'Attempts that reached no server.', [])
  const ends = counter('culvert_agent_connection_ends_total', 'Ends of tunnelled connections.', [])
  const forced = counter('culvert_agent_forced_closes_total', 'Connections broken for a limit, by reason.', ['reason'])
  const laneEnds = counter('culvert_agent_lane_ends_total', 'Ends of lanes, by kind.', ['how'])
  const failedLanes = counter('culvert_agent_failed_lanes_total', 'Attempts that became no lane.', ['why'])
  const badLists = counter('culvert_agent_refused_server_lists_total', 'Lists of replicas that could not be used.', [])
  const violations = counter('culvert_agent_violations_total', 'Frames that broke the protocol, by kind.', ['kind'])
  const probes = counter('culvert_agent_bad_probes_total', 'Unreadable requests on health and admin ports.', ['why'])

  const metrics: AgentMetrics = {
    packets,
    bytes,
    connectionOpened: (ms) => dialSeconds.observe(ms / 1000),
    connectionEnded: () => ends.inc(),
    connectionForced: (reason) => forced.inc({ reason: labelValue(reason) }),
    dialFailed: (reason) => dialFailures.inc({ reason }),
    dialRefused: (why) => refusedDials.inc({ why }),
    targetJudged: (ms) => judgeSeconds.observe(ms / 1000),
    connectFailed: () => failedConnects.inc(),
    streamLost(code) {
      if (code !== 'OK') serverFailures.inc({ direction: 'from_server' })
      streamEnded('to_agent', code)
    },
    listRefused: () => badLists.inc(),
    laneOpened() {
      lanes++
    },
    laneEnded(how) {
      lanes--
      laneEnds.inc({ how })
    },
    laneFailed: (why) => failedLanes.inc({ why }),
    violation: (kind) => violations.inc({ kind: labelValue(kind) }),
    roundTrip: (ms) => roundTripSeconds.observe(ms / 1000),
    badProbe: (why) => probes.inc({ why: labelValue(why) }),
  }
  return { metrics, registry }
}
