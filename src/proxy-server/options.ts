/**
 * The flags of proxy-server: konnectivity's, by its names, and ours. Limits are those of docs/protocol.md, section 9.
 * Rules that konnectivity has are reported in its words.
 */
import { randomUUID } from 'node:crypto'
import { isTrustDomain } from '../pki/identity.ts'
import { logOptions } from '../platform/log-options.ts'
import { isMetadataText } from '../platform/metadata-text.ts'
import { filesAreReadable } from '../platform/option-files.ts'
import { boolean, bytes, duration, file, integer, list, oneOf, text } from '../platform/option-types.ts'
import type { Rule, Values } from '../platform/options.ts'
import { tlsVersionNames, tlsVersionWarning } from '../platform/tls-version.ts'

const konnectivity = {
  serverCert: file({ default: '', help: 'Certificate of the frontend, PEM.' }),
  serverKey: file({ default: '', help: 'Key of that certificate, PEM.' }),
  serverCaCert: file({ default: '', help: 'CA whose certificates the clients of the frontend must have, PEM.' }),
  clusterCert: file({ default: '', help: 'Certificate of the agent port, PEM.' }),
  clusterKey: file({ default: '', help: 'Key of that certificate, PEM.' }),
  clusterCaCert: file({
    default: '',
    help: 'CA whose certificates agents must have, PEM. Without it anyone may be an agent.',
  }),
  mode: text({
    default: 'grpc',
    help: 'Protocol of the frontend. Only http-connect exists so far, so it must be given.',
  }),
  udsName: text({ default: '', help: 'Serve the frontend on this Unix socket instead of TCP; needs --server-port=0.' }),
  deleteExistingUdsFile: boolean({ default: 'true', help: 'Remove a socket that an earlier run left behind.' }),
  serverPort: integer({ default: '8090', help: 'Port of the frontend; 0 with --uds-name or --server-listen-any.' }),
  serverBindAddress: text({ default: '', help: 'Address of the frontend. Empty: all.' }),
  agentPort: integer({ default: '8091', help: 'Port on which agents connect. 0: any free one.' }),
  agentBindAddress: text({ default: '', help: 'Address of the agent port. Empty: all.' }),
  adminPort: integer({ default: '8095', help: 'Port of the admin endpoints. 0: any free one.' }),
  adminBindAddress: text({ default: '127.0.0.1', help: 'Address of the admin port. Empty: all.' }),
  healthPort: integer({ default: '8092', help: 'Port of health and metrics. 0: any free one.' }),
  healthBindAddress: text({ default: '', help: 'Address of the health port. Empty: all.' }),
  serverId: text({
    default: { shown: 'a new uuid', make: randomUUID },
    environment: 'PROXY_SERVER_ID',
    help: 'Name of this server towards agents, unique among the replicas.',
  }),
  serverCount: integer({ default: '1', min: 1, help: 'Number of replicas: agents connect until they hold that many.' }),
  proxyStrategies: list({ default: 'default', help: 'How an agent is chosen. Only default exists so far.' }),
  tlsMinVersion: oneOf(tlsVersionNames, {
    default: '',
    help: 'Oldest TLS version accepted, at least 1.2, which is also the default.',
  }),
  gracefulShutdownTimeoutMs: duration({ default: '25s', help: 'Longest time for open tunnels to end after SIGTERM.' }),
  backendDialTimeoutMs: duration({ default: '30s', help: 'Longest wait for an agent to reach a target. 0: for ever.' }),
}

const listening = { group: 'Listening' }
const ours = {
  serverListenAny: boolean({
    ...listening,
    default: 'false',
    help: 'Frontend on any free TCP port, whatever --server-port says.',
  }),
  portsFile: text({
    ...listening,
    default: '',
    help: 'File that receives the ports in use, as JSON, once all listen.',
  }),
  trustDomain: text({
    ...listening,
    default: '',
    help: 'Trust domain whose SPIFFE URIs in certificates decide what a peer may be. Empty: any trust domain.',
  }),
}

const limiting = { group: 'Limits' }
const limits = {
  maxMessageBytes: bytes({
    ...limiting,
    default: '4MiB',
    min: 1_024,
    max: 268_435_456,
    help: 'Longest message of an agent.',
  }),
  maxPendingDialsPerStream: integer({ ...limiting, default: '10000', min: 1, help: 'Unanswered dials of one agent.' }),
  maxPendingDialsPerFrontend: integer({
    ...limiting,
    default: '10000',
    min: 1,
    help: 'Unanswered dials of one client identity.',
  }),
  maxConnectionsPerStream: integer({
    ...limiting,
    default: '100000',
    min: 1,
    help: 'Open connections through one agent.',
  }),
  connectHeadBytes: bytes({
    ...limiting,
    default: '16KiB',
    min: 64,
    max: 1_048_576,
    help: 'Longest head of a CONNECT.',
  }),
  connectHeadTimeoutMs: duration({ ...limiting, default: '10s', min: 1, help: 'Longest wait for that head.' }),
  earlyDataBytes: bytes({
    ...limiting,
    default: '64KiB',
    max: 131_072, // with one read more it still fits into the credit of a new connection
    help: 'Bytes of a client kept while its target is dialled.',
  }),
  tlsHandshakeTimeoutMs: duration({ ...limiting, default: '10s', min: 1, help: 'Longest TLS handshake, on any port.' }),
  agentStreamTimeoutMs: duration({
    ...limiting,
    default: '10s',
    min: 1,
    help: 'Longest wait for the stream of an agent that connected.',
  }),
  maxHeaderListBytes: bytes({
    ...limiting,
    default: '16KiB',
    min: 1_024,
    max: 1_048_576,
    help: 'Longest header list on the agent port.',
  }),
  unknownFramesPerMinute: integer({
    ...limiting,
    default: '1000',
    min: 0,
    help: 'Frames of unknown types before an agent is hung up.',
  }),
  handshakesPerSecond: integer({
    ...limiting,
    default: '200',
    min: 1,
    help: 'TLS handshakes begun per second on the agent port.',
  }),
  heartbeatTimeoutMs: duration({
    ...limiting,
    default: '12s',
    min: 1,
    help: 'Silence after which an agent is dead; at least twice its --heartbeat-interval.',
  }),
  streamBufferBytes: bytes({
    ...limiting,
    default: '64MiB',
    min: 1_048_576,
    help: 'Bytes held for all connections of one agent.',
  }),
  processBufferBytes: bytes({ ...limiting, default: '256MiB', min: 1_048_576, help: 'Bytes held in all.' }),
  maxStreamsPerIdentity: integer({
    ...limiting,
    default: '5000',
    min: 1,
    help: 'Agents connected with one certificate.',
  }),
  maxFrontendConnections: integer({
    ...limiting,
    default: '200000',
    min: 1,
    help: 'Clients connected to the frontend.',
  }),
  slowConsumerBytes: bytes({
    ...limiting,
    default: '640KiB',
    min: 1,
    help: 'A client over its buffer, through a stock agent, that takes less than this is hung up.',
  }),
  slowConsumerTimeMs: duration({ ...limiting, default: '10s', min: 1, help: 'The time in which it has to take that.' }),
  connectionBufferBytes: bytes({
    ...limiting,
    default: '4MiB',
    min: 65_536,
    help: 'Bytes held for one connection through a stock agent.',
  }),
}

export const serverOptions = { ...konnectivity, ...ours, ...logOptions, ...limits }
export type ServerOptions = Values<typeof serverOptions>

/** The highest port that is not ephemeral, by IANA. */
const MAX_PORT = 49_151

export const serverRules: Rule<ServerOptions>[] = [
  modeRule,
  ({ serverPort, udsName, serverListenAny }) =>
    udsName !== '' || serverListenAny ? undefined : portProblem('server', serverPort),
  ({ agentPort }) => (agentPort === 0 ? undefined : portProblem('agent', agentPort)),
  ({ adminPort }) => (adminPort === 0 ? undefined : portProblem('admin', adminPort)),
  ({ healthPort }) => (healthPort === 0 ? undefined : portProblem('health', healthPort)),
  ({ udsName, serverPort }) =>
    udsName !== '' && serverPort !== 0
      ? `--uds-name serves the frontend on a Unix socket: --server-port must be 0, got ${serverPort}`
      : undefined,
  ({ udsName, serverListenAny }) =>
    udsName !== '' && serverListenAny ? '--uds-name and --server-listen-any exclude each other' : undefined,
  ({ udsName, serverCert, serverKey, serverCaCert }) =>
    udsName !== '' && [serverCert, serverKey, serverCaCert].some((path) => path !== '')
      ? '--uds-name serves the frontend without TLS: leave out --server-cert, --server-key and --server-ca-cert'
      : undefined,
  ({ udsName, serverCaCert }) =>
    udsName === '' && serverCaCert === ''
      ? 'server ca cert must be set when in TCP mode (uds-name is empty)'
      : undefined,
  ({ udsName, serverCert, serverKey }) =>
    udsName === '' && (serverCert === '' || serverKey === '')
      ? '--server-cert and --server-key must be set: the frontend over TCP speaks TLS only'
      : undefined,
  ({ clusterCert, clusterKey }) =>
    clusterCert === '' || clusterKey === ''
      ? '--cluster-cert and --cluster-key must be set: the agent port speaks TLS only'
      : undefined,
  strategyRule,
  ({ serverId }) =>
    isMetadataText(serverId)
      ? undefined
      : `--server-id: expected printable ASCII without spaces at its ends, got ${JSON.stringify(serverId)}`,
  ({ trustDomain }) =>
    trustDomain === '' || isTrustDomain(trustDomain)
      ? undefined
      : `--trust-domain: expected lower-case letters, digits, dots, dashes and underscores, got ${JSON.stringify(trustDomain)}`,
  ({ connectionBufferBytes, streamBufferBytes }) =>
    connectionBufferBytes > streamBufferBytes
      ? '--connection-buffer-bytes must not be over --stream-buffer-bytes'
      : undefined,
  ({ streamBufferBytes, processBufferBytes }) =>
    streamBufferBytes > processBufferBytes
      ? '--stream-buffer-bytes must not be over --process-buffer-bytes'
      : undefined,
  ...filesAreReadable(serverOptions),
]

/** What an operator should know about options that are accepted; for the log, at every start. */
export function serverWarnings({ tlsMinVersion, clusterCaCert }: ServerOptions): string[] {
  const anyone = 'without --cluster-ca-cert anyone who reaches the agent port may be an agent'
  return [tlsVersionWarning(tlsMinVersion), clusterCaCert === '' ? anyone : undefined].filter(
    (line) => line !== undefined,
  )
}

function modeRule({ mode }: ServerOptions): string | undefined {
  if (mode === 'http-connect') return undefined
  if (mode === 'grpc') return '--mode=grpc, which is also the default, is not there yet: pass --mode=http-connect'
  return `mode must be set to either 'grpc' or 'http-connect' not ${JSON.stringify(mode)}`
}

function portProblem(name: string, given: number): string | undefined {
  if (given >= 1_024 && given <= MAX_PORT) return undefined
  const kind = given < 1_024 ? 'reserved' : 'ephemeral'
  return `please do not try to use ${kind} port ${given} for the ${name} port`
}

function strategyRule({ proxyStrategies }: ServerOptions): string | undefined {
  if (proxyStrategies.length === 0) return 'proxy strategies cannot be empty'
  const unknown = proxyStrategies.filter((name) => !['default', 'destHost', 'defaultRoute'].includes(name))
  if (unknown.length > 0) return `unknown proxy strategy: ${unknown.join(', ')}`
  const missing = proxyStrategies.filter((name) => name !== 'default')
  if (missing.length === 0) return undefined
  return `--proxy-strategies: there is no ${missing.join(', ')} yet: pass --proxy-strategies=default`
}
