/**
 * All that may differ between what konnectivity's programs and ours show at /metrics, and why. docs/compatibility.md has the
 * same rows, in the same order. A difference that no row covers fails the test, and so does a row that covers none.
 */
import { ABSENT, type Unlike } from './metrics-compare.ts'
import type { Moment, Side } from './metrics-story.ts'
import type { Pairing, Way } from './pairing.ts'

export type Difference = Unlike & {
  readonly side: Side
  readonly moment: Moment
  readonly mode: Way['mode']
  readonly pairing: Pairing
}

export type Row = {
  readonly figure: string
  readonly konnectivity: string
  readonly culvert: string
  readonly why: string
  readonly covers: (difference: Difference) => boolean
  /** It depends on how the machine shares its time whether there is one. */
  readonly atTimes?: true
}

const isOneOf =
  (...names: string[]) =>
  ({ what }: Unlike): boolean =>
    names.includes(what)

/** Packets of one of these types, in one of these segments if some are named. */
const arePackets =
  (types: RegExp, ...segments: string[]) =>
  ({ what }: Unlike): boolean => {
    const [, type = '', segment = ''] = /^stream_packets_total\{packet_type="(\w+)",segment="(\w+)"\}$/.exec(what) ?? []
    return types.test(type) && (segments.length === 0 || segments.includes(segment))
  }

const bothOurs = ({ pairing }: Difference): boolean => pairing.server === 'ours' && pairing.agent === 'ours'
const AFTER_BULK: readonly Moment[] = ['while a client does not read', 'after the rest', 'agent killed']

export const rows: readonly Row[] = [
  {
    figure: '`go_*`, `promhttp_*`',
    konnectivity: 'there',
    culvert: 'absent',
    why: 'of the Go runtime and its Prometheus library; `nodejs_*` says the same of ours',
    covers: isOneOf('go_*', 'promhttp_*'),
  },
  {
    figure: '`nodejs_*`',
    konnectivity: 'absent',
    culvert: 'there',
    why: 'of the Node.js runtime',
    covers: isOneOf('nodejs_*'),
  },
  {
    figure: '`culvert_*`',
    konnectivity: 'absent',
    culvert: 'there',
    why: 'what konnectivity does not count: docs/metrics.md',
    covers: isOneOf('culvert_*'),
  },
  {
    figure:
      '`process_virtual_memory_max_bytes`, `process_network_receive_bytes_total`, `process_network_transmit_bytes_total`',
    konnectivity: 'there',
    culvert: 'absent',
    why: 'the Prometheus library for Node.js does not have them; the other `process_*` mean the same',
    covers: isOneOf(
      'process_virtual_memory_max_bytes',
      'process_network_receive_bytes_total',
      'process_network_transmit_bytes_total',
    ),
  },
  {
    figure: '`process_cpu_user_seconds_total`, `process_cpu_system_seconds_total`, `process_heap_bytes`',
    konnectivity: 'absent',
    culvert: 'there',
    why: 'the Prometheus library for Node.js has them',
    covers: isOneOf('process_cpu_user_seconds_total', 'process_cpu_system_seconds_total', 'process_heap_bytes'),
  },
  {
    figure:
      '`dial_duration_seconds`, `frontend_write_duration_seconds`, `pending_backend_dials`, `established_connections`, `open_endpoint_connections`, `open_server_connections`',
    konnectivity: 'absent until the first event',
    culvert: 'there at 0',
    why: 'what has no labels is known from the start, so that an expression over it always has a value',
    covers: ({ what, stock }) =>
      stock === ABSENT &&
      /^(dial_duration_seconds|frontend_write_duration_seconds|pending_backend_dials|established_connections|open_(endpoint|server)_connections)$/.test(
        what,
      ),
  },
  {
    figure: '`connection_duration_seconds`',
    konnectivity: 'absent',
    culvert: 'there',
    why: 'konnectivity has it after v0.36.0; ours counts every kind of ending',
    covers: isOneOf('connection_duration_seconds'),
  },
  {
    figure: '`dial_failure_count{reason="no_agent"}` in http-connect mode',
    konnectivity: 'not counted',
    culvert: 'counted',
    why: 'in gRPC mode both count it',
    covers: ({ what, mode, stock, ours }) =>
      what === 'dial_failure_count{reason="no_agent"}' && mode === 'http-connect' && stock === ABSENT && ours === '1',
  },
  {
    figure: '`dial_failure_count`, when the client of a pending dial goes, in http-connect mode',
    konnectivity: '`backend_dial_timeout`, or whatever the dial comes to',
    culvert: '`frontend_close`, at once',
    why: 'konnectivity does not look at a client before its dial is answered',
    covers: ({ what, mode, stock, ours }) =>
      mode === 'http-connect' &&
      ((what === 'dial_failure_count{reason="frontend_close"}' && stock === ABSENT && ours === '1') ||
        (what === 'dial_failure_count{reason="backend_dial_timeout"}' && stock === '2' && ours === '1')),
  },
  {
    figure: '`dial_failure_count`, when the agent of a pending dial is lost, in gRPC mode',
    konnectivity: 'nothing, and no DIAL_RSP, until the client gives up: `frontend_close`',
    culvert: '`backend_close`, at once, with a DIAL_RSP',
    why: 'konnectivity leaves such a dial pending',
    covers: ({ what, mode, moment, stock, ours }) =>
      mode === 'grpc' &&
      moment === 'agent killed' &&
      ((what === 'dial_failure_count{reason="backend_close"}' && stock === ABSENT && ours === '1') ||
        (what === 'dial_failure_count{reason="frontend_close"}' && stock === '2' && ours === '1') ||
        (what === 'stream_packets_total{packet_type="DIAL_RSP",segment="to_client"}' &&
          Number(ours) === Number(stock) + 1)),
  },
  {
    figure: '`stream_packets_total{packet_type="DIAL_CLS",segment="to_agent"}`',
    konnectivity: 'absent',
    culvert: 'one for each dial that is given up',
    why: 'konnectivity keeps that from the agent, which goes on dialling',
    covers: arePackets(/^DIAL_CLS$/, 'to_agent'),
  },
  {
    figure:
      '`dial_failure_count{reason="unrecognized_response"}`, `endpoint_dial_failure_total{reason="timeout"}` and DIAL_RSP from the agent, of dials that were given up, with both ends ours',
    konnectivity: 'counted when the agent answers at last',
    culvert: 'absent',
    why: 'our agent stops such a dial and does not answer it',
    covers: (difference) =>
      bothOurs(difference) &&
      (isOneOf(
        'dial_failure_count{reason="unrecognized_response"}',
        'endpoint_dial_failure_total{reason="timeout"}',
      )(difference) ||
        arePackets(/^DIAL_RSP$/, 'from_agent')(difference)) &&
      Number.parseInt(difference.stock, 10) - (Number.parseInt(difference.ours, 10) || 0) === 2,
  },
  {
    figure: '`frontend_write_duration_seconds_count`',
    konnectivity: 'every packet for a client, also those that write nothing',
    culvert: 'writes of bytes, over http-connect one at a time of each client',
    why: 'the quantiles are alike; bulk is sampled, which costs nothing per packet',
    covers: ({ what, stock, ours }) =>
      what === 'frontend_write_duration_seconds_count' && Number(ours) > 0 && Number(ours) < Number(stock),
  },
  {
    figure: '`stream_packets_total` of types that only Culvert has, with both ends ours',
    konnectivity: 'absent',
    culvert: 'HEARTBEAT, HEARTBEAT_ACK, PING, PONG, END_OF_DATA, WINDOW_UPDATE, BLOCKED, GOING_AWAY',
    why: 'the extensions that our two ends agree on: docs/protocol.md',
    covers: (difference) =>
      bothOurs(difference) &&
      difference.stock === ABSENT &&
      arePackets(/^(HEARTBEAT|HEARTBEAT_ACK|PING|PONG|END_OF_DATA|WINDOW_UPDATE|BLOCKED|GOING_AWAY)$/)(difference),
  },
  {
    figure: '`stream_packets_total{packet_type="CLOSE_REQ"}` and `CLOSE_RSP`, exchanged with agents',
    konnectivity: 'a CLOSE_REQ also for connections that the agent has closed, which it answers',
    culvert: 'none; with both ends ours END_OF_DATA instead',
    why: 'needless packets; how many cross the end of a transfer depends on time, in both',
    covers: (difference) =>
      arePackets(/^CLOSE_(REQ|RSP)$/, 'to_agent', 'from_agent')(difference) &&
      (AFTER_BULK.includes(difference.moment) ||
        (bothOurs(difference) && difference.ours === ABSENT) ||
        // The three connections of the small exchanges that the target closes first.
        (difference.mode === 'http-connect' && Number(difference.stock) - Number(difference.ours) === 3)),
  },
  {
    figure: '`stream_packets_total{packet_type="DATA"}` of bulk',
    konnectivity: 'reads of at most 4 KiB (agent) and 32 KiB (server)',
    culvert: 'fewer and larger; over gRPC frontends more, as a packet is passed on while it arrives',
    why: 'the same bytes; of small exchanges the numbers are the same',
    covers: (difference) => AFTER_BULK.includes(difference.moment) && arePackets(/^DATA$/)(difference),
  },
  {
    figure: '`stream_packets_total` of types that nobody knows',
    konnectivity: 'by number, such as `42`',
    culvert: '`UNKNOWN`',
    why: 'so that a peer cannot make any number of series',
    covers: arePackets(/^(42|UNKNOWN)$/, 'from_client'),
  },
  {
    figure: '`stream_errors_total{segment="to_agent"}`, `stream_errors_total{segment="to_client"}`',
    konnectivity: 'packets that it sends to a peer that has gone',
    culvert: 'absent',
    why: 'ours sends nothing to who has gone; the stream that broke is counted once, as `from_agent` or `from_client` by both',
    covers: ({ what, ours }) =>
      ours === ABSENT &&
      /^stream_errors_total\{code="\w+",packet_type="(CLOSE_REQ|DATA)",segment="to_\w+"\}$/.test(what),
    atTimes: true,
  },
  {
    figure: '`full_receive_channels{service_method="Connect"}` with both ends ours',
    konnectivity: '1 while a client does not read, which stops all others of that agent',
    culvert: 'absent',
    why: 'flow control for each connection: no stream stops for one client',
    covers: (difference) =>
      bothOurs(difference) &&
      difference.what === 'full_receive_channels{service_method="Connect"}' &&
      difference.ours === ABSENT,
  },
  {
    figure: '`full_receive_channels{service_method="Proxy"}`',
    konnectivity: 'there once a channel of `--xfr-channel-size` packets was full',
    culvert: 'there once a call was not read for a moment',
    why: 'ours has no channel: it stops reading a call as soon as the tunnel takes no more',
    covers: ({ what, stock, ours }) =>
      what === 'full_receive_channels{service_method="Proxy"}' && (stock === ABSENT || ours === ABSENT),
    atTimes: true,
  },
  {
    figure: '`ready_backend_connections`, with several `--proxy-strategies`',
    konnectivity: 'of the strategy that changed last',
    culvert: 'of the first strategy',
    why: 'the one by which `/readyz` of both goes',
    covers: ({ what, stock, ours }) => what === 'ready_backend_connections' && stock !== ABSENT && ours !== ABSENT,
  },
  {
    figure:
      '`server_connection_failure_count` and `stream_errors_total` of the agent, when a server is stopped, with both ends ours',
    konnectivity: 'counted',
    culvert: 'not counted',
    why: 'the server has said that it goes: a rolling restart is no failure. A server that is killed is counted by both',
    covers: (difference) =>
      bothOurs(difference) &&
      difference.moment === 'server stopped' &&
      difference.ours === ABSENT &&
      isOneOf(
        'server_connection_failure_count{direction="from_server"}',
        'stream_errors_total{code="Unavailable",packet_type="Unknown",segment="to_agent"}',
      )(difference),
  },
]
