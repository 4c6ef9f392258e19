/**
 * The flags of proxy-agent: konnectivity's, by its names, and ours. Limits are those of docs/protocol.md, section 9.
 * Rules that konnectivity has are reported in its words.
 */
import { randomUUID } from 'node:crypto'
import { formatDuration } from '../platform/duration.ts'
import { ipBytes } from '../platform/ip-address.ts'
import { logOptions } from '../platform/log-options.ts'
import { isMetadataText } from '../platform/metadata-text.ts'
import { filesAreReadable } from '../platform/option-files.ts'
import { bytes, duration, file, list, oneOf, port, text } from '../platform/option-types.ts'
import type { Rule, Values } from '../platform/options.ts'
import { tlsVersionNames, tlsVersionWarning } from '../platform/tls-version.ts'

const konnectivity = {
  agentCert: file({ default: '', help: 'Certificate with which the agent connects, PEM.' }),
  agentKey: file({ default: '', help: 'Key of that certificate, PEM.' }),
  caCert: file({ default: '', help: 'CA of the proxy server, PEM. Must be given.' }),
  proxyServerHost: text({
    default: '127.0.0.1',
    help: 'Host of the proxy server, also the name its certificate must have.',
  }),
  proxyServerPort: port({ default: '8091', help: 'Port on which the proxy server takes agents.' }),
  alpnProto: list({ default: '', help: 'Further ALPN protocols to offer, before h2.' }),
  healthServerHost: text({ default: '', help: 'Address of the health port. Empty: all.' }),
  healthServerPort: port({ default: '8093', anyFree: true, help: 'Port of health and metrics. 0: any free one.' }),
  adminServerPort: port({ default: '8094', anyFree: true, help: 'Port of the admin endpoints. 0: any free one.' }),
  adminBindAddress: text({ default: '127.0.0.1', help: 'Address of the admin port. Empty: all.' }),
  agentId: text({
    default: { shown: 'a new uuid', make: randomUUID },
    environment: 'PROXY_AGENT_ID',
    help: 'Name of this agent towards the server.',
  }),
  agentIdentifiers: text({
    default: '',
    help: 'What the agent can reach, as a query string: ipv4=10.0.0.1&host=node-1&default-route=true',
  }),
  syncIntervalMs: duration({ default: '1s', min: 1, help: 'First wait before connecting again.' }),
  syncIntervalCapMs: duration({ default: '10s', min: 1, help: 'Longest wait before connecting again.' }),
}

const listening = { group: 'Listening' }
const ours = {
  portsFile: text({
    ...listening,
    default: '',
    help: 'File that receives the ports in use, as JSON, once all listen.',
  }),
  tlsMinVersion: oneOf(tlsVersionNames, {
    group: 'TLS',
    default: '',
    help: 'Oldest TLS version spoken, at least 1.2, which is also the default.',
  }),
}

const lifetime = { group: 'Heartbeats and lifetime' }
const lifetimes = {
  heartbeatIntervalMs: duration({ ...lifetime, default: '5s', min: 1, help: 'Time between two heartbeats.' }),
  heartbeatTimeoutMs: duration({
    ...lifetime,
    default: '12s',
    min: 1,
    help: 'Silence after which the server is dead; at least twice --heartbeat-interval.',
  }),
  drainTimeoutMs: duration({
    ...lifetime,
    default: '25s',
    help: 'Longest time for open connections to end after SIGTERM.',
  }),
}

const limiting = { group: 'Limits' }
const limits = {
  endpointDialTimeoutMs: duration({
    ...limiting,
    default: '5s',
    min: 1,
    help: 'Longest wait for a target to accept, its name resolved.',
  }),
  maxMessageBytes: bytes({
    ...limiting,
    default: '4MiB',
    min: 1_024,
    max: 268_435_456,
    help: 'Longest message of the server.',
  }),
  streamBufferBytes: bytes({
    ...limiting,
    default: '64MiB',
    min: 1_048_576,
    help: 'Bytes held for all connections of one server.',
  }),
  processBufferBytes: bytes({ ...limiting, default: '256MiB', min: 1_048_576, help: 'Bytes held in all.' }),
  slowConsumerBytes: bytes({
    ...limiting,
    default: '640KiB',
    min: 1,
    help: 'A target over its buffer, from a stock server, that takes less than this is hung up.',
  }),
  slowConsumerTimeMs: duration({ ...limiting, default: '10s', min: 1, help: 'The time in which it has to take that.' }),
  connectionBufferBytes: bytes({
    ...limiting,
    default: '4MiB',
    min: 65_536,
    help: 'Bytes held for one connection through a stock server.',
  }),
}

export const agentOptions = { ...konnectivity, ...ours, ...logOptions, ...lifetimes, ...limits }
export type AgentOptions = Values<typeof agentOptions>

export const agentRules: Rule<AgentOptions>[] = [
  ({ caCert }) => (caCert === '' ? '--ca-cert must be set: the server is known by its certificate' : undefined),
  ({ agentCert, agentKey }) =>
    (agentCert === '') === (agentKey === '') ? undefined : '--agent-cert and --agent-key must be set together',
  ({ proxyServerHost }) => hostProblem(proxyServerHost),
  ({ agentId }) =>
    isMetadataText(agentId)
      ? undefined
      : `--agent-id: expected printable ASCII without spaces at its ends, got ${JSON.stringify(agentId)}`,
  ({ agentIdentifiers }) => identifiersProblem(agentIdentifiers),
  ({ alpnProto }) =>
    alpnProto.some((name) => Buffer.byteLength(name) > MAX_ALPN_BYTES)
      ? `--alpn-proto: expected names of at most ${MAX_ALPN_BYTES} bytes`
      : undefined,
  ({ syncIntervalMs, syncIntervalCapMs }) =>
    syncIntervalMs > syncIntervalCapMs
      ? `sync interval ${formatDuration(syncIntervalMs)} must be less than sync interval cap ${formatDuration(syncIntervalCapMs)}`
      : undefined,
  ({ heartbeatIntervalMs, heartbeatTimeoutMs }) =>
    heartbeatTimeoutMs < 2 * heartbeatIntervalMs
      ? `--heartbeat-timeout must be at least twice --heartbeat-interval, got ${formatDuration(heartbeatTimeoutMs)} for ${formatDuration(heartbeatIntervalMs)}`
      : undefined,
  ({ connectionBufferBytes, streamBufferBytes }) =>
    connectionBufferBytes > streamBufferBytes
      ? '--connection-buffer-bytes must not be over --stream-buffer-bytes'
      : undefined,
  ({ streamBufferBytes, processBufferBytes }) =>
    streamBufferBytes > processBufferBytes
      ? '--stream-buffer-bytes must not be over --process-buffer-bytes'
      : undefined,
  ...filesAreReadable(agentOptions),
]

/** What an operator should know about options that are accepted; for the log, at every start. */
export function agentWarnings({ tlsMinVersion }: AgentOptions): string[] {
  return [tlsVersionWarning(tlsMinVersion)].filter((line) => line !== undefined)
}

/** RFC 7301, section 3.1. */
const MAX_ALPN_BYTES = 255

/** Refuses here what would fail at each attempt to connect, or end the program. */
function hostProblem(given: string): string | undefined {
  if (given === '') return '--proxy-server-host must not be empty'
  const isName = /^[\w.-]+$/.test(given) && URL.canParse(`https://${given}`)
  if (isName || ipBytes(given) !== undefined) return undefined
  return `--proxy-server-host: expected a host name or an IP address, without port and brackets, got ${JSON.stringify(given)}`
}

const IDENTIFIERS = ['ipv4', 'ipv6', 'host', 'cidr', 'default-route']

function identifiersProblem(given: string): string | undefined {
  // What a server's parser, or HTTP/2 before it, refuses and URLSearchParams lets through.
  if (given.includes(';') || /%(?![0-9a-fA-F]{2})/.test(given) || !isMetadataText(given)) {
    return `agent address is invalid: expected a query string such as ipv4=10.0.0.1&host=node-1, got ${JSON.stringify(given)}`
  }
  const unknown = [...new URLSearchParams(given).keys()].filter((name) => !IDENTIFIERS.includes(name))
  return unknown.length === 0 ? undefined : `agent address is invalid: unknown address type: ${unknown.join(', ')}`
}
