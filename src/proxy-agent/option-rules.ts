/**
 * What proxy-agent refuses or warns of on its command line. Rules that konnectivity has come first, in its order and in its
 * words, so that what looks for those finds them; ours follow.
 */
import { selectorProblem } from '../kubernetes/core/selector.ts'
import { cipherSuiteProblem } from '../platform/cipher-suites.ts'
import { formatDuration } from '../platform/duration.ts'
import { logWarning } from '../platform/log-options.ts'
import { isMetadataText } from '../platform/metadata-text.ts'
import { fileRule, noSuchFile, pairRules } from '../platform/option-files.ts'
import type { Rule } from '../platform/options.ts'
import { readServerAddress } from '../platform/server-address.ts'
import { tlsVersionWarning } from '../platform/tls-version.ts'
import { readRange } from '../policy/core/address.ts'
import { type AgentOptions, agentOptions } from './options.ts'

const MAX_PORT = 65_535
/** RFC 7301, section 3.1. */
const MAX_ALPN_BYTES = 255
const quoted = JSON.stringify

const theirs: Rule<AgentOptions>[] = [
  ...[
    ...pairRules(agentOptions, 'agent', 'agentKey', 'agentCert'),
    fileRule(agentOptions, 'caCert', (path) => `error checking agent CA cert ${path}, got ${noSuchFile(path)}`),
  ].map((rule) => (options: AgentOptions) => (options.joinTokenFile === '' ? rule(options) : undefined)),
  ({ proxyServerPort }) => portProblem('proxy server', proxyServerPort),
  ({ healthServerPort }) => (healthServerPort === 0 ? undefined : portProblem('health server', healthServerPort)),
  ({ adminServerPort }) => (adminServerPort === 0 ? undefined : portProblem('admin server', adminServerPort)),
  ({ xfrChannelSize }) => (xfrChannelSize > 0 ? undefined : `channel size ${xfrChannelSize} must be greater than 0`),
  ({ enableProfiling, enableContentionProfiling }) =>
    enableContentionProfiling && !enableProfiling
      ? 'if --enable-contention-profiling is set, --enable-profiling must also be set'
      : undefined,
  ({ syncIntervalMs, syncIntervalCapMs }) =>
    syncIntervalMs > syncIntervalCapMs
      ? `sync interval ${formatDuration(syncIntervalMs)} must be less than sync interval cap ${formatDuration(syncIntervalCapMs)}`
      : undefined,
  fileRule(
    agentOptions,
    'serviceAccountTokenPath',
    (path) => `error checking service account token path ${path}, got ${noSuchFile(path)}`,
  ),
  ({ agentIdentifiers }) => identifiersProblem(agentIdentifiers),
  fileRule(
    agentOptions,
    'kubeconfig',
    (path) => `error checking KubeconfigPath ${quoted(path)}, got ${noSuchFile(path)}`,
  ),
  ({ countServerLeases, leaseLabelSelector }) =>
    countServerLeases && leaseLabelSelector === '' ? 'empty string provided' : undefined,
]

const ours: Rule<AgentOptions>[] = [
  ({ leaseLabelSelector }) => {
    const problem = selectorProblem(leaseLabelSelector)
    return problem === undefined ? undefined : `--lease-label-selector: ${problem}`
  },
  ({ caCert }) => (caCert === '' ? '--ca-cert must be set: the server is known by its certificate' : undefined),
  ({ joinTokenFile, agentCert, agentKey }) =>
    joinTokenFile !== '' && (agentCert === '' || agentKey === '')
      ? '--join-token-file needs --agent-cert and --agent-key: where the certificate and its key are kept'
      : undefined,
  ({ joinTokenFile, serviceAccountTokenPath }) =>
    joinTokenFile !== '' && serviceAccountTokenPath !== ''
      ? '--join-token-file and --service-account-token-path exclude each other: a hub knows its agents by one or the other'
      : undefined,
  ({ proxyServerHost, proxyServerPort }) => hostsProblem(proxyServerHost, proxyServerPort),
  ({ agentId }) =>
    isMetadataText(agentId)
      ? undefined
      : `--agent-id: expected printable ASCII without spaces at its ends, got ${quoted(agentId)}`,
  ({ alpnProto }) =>
    alpnProto.some((name) => name === '' || Buffer.byteLength(name) > MAX_ALPN_BYTES)
      ? `--alpn-proto: expected names of 1 to ${MAX_ALPN_BYTES} bytes`
      : undefined,
  ({ cipherSuites }) => cipherSuiteProblem(cipherSuites),
  fileRule(agentOptions, 'policyFile'),
  fileRule(
    agentOptions,
    'crlFile',
    (path) => `--crl-file: there is no such file as ${path}; "culvert pki crl --refresh" makes an empty list`,
  ),
  ({ hubRanges }) => rangesProblem(hubRanges),
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
]

export const agentRules: Rule<AgentOptions>[] = [...theirs, ...ours]

/** What an operator should know about options that are accepted; for the log, at every start. */
export function agentWarnings(options: AgentOptions): string[] {
  return [tlsVersionWarning(options.tlsMinVersion), logWarning(options)].filter((line) => line !== undefined)
}

/** konnectivity's agent bounds ports below only; it fails later, where a port is out of TCP's range. */
function portProblem(name: string, given: number): string | undefined {
  if (given <= 0) return `${name} port ${given} must be greater than 0`
  return given > MAX_PORT ? `${name} port ${given} must not be over ${MAX_PORT}` : undefined
}

/** Refuses here what would fail at each attempt to connect, or end the program. */
function hostsProblem(given: readonly string[], port: number): string | undefined {
  if (given.length === 0) return '--proxy-server-host must not be empty'
  const wrong = given.filter((host) => readServerAddress(host, port) === undefined)
  if (wrong.length === 0) return undefined
  return `--proxy-server-host: expected host, host:port or [IPv6 address]:port, got ${wrong.map((host) => quoted(host)).join(', ')}`
}

function rangesProblem(given: readonly string[]): string | undefined {
  for (const text of given) {
    const range = readRange(text)
    if ('expected' in range) return `--hub-ranges: expected ${range.expected}, got ${quoted(text)}`
  }
  return undefined
}

const IDENTIFIERS = ['ipv4', 'ipv6', 'host', 'cidr', 'default-route']

function identifiersProblem(given: string): string | undefined {
  const problem = queryProblem(given)
  if (problem !== undefined) return `agent address is invalid: ${problem}`
  const unknown = [...new URLSearchParams(given).keys()].filter((name) => !IDENTIFIERS.includes(name))
  return unknown.length === 0 ? undefined : `agent address is invalid: unknown address type: ${unknown.join(', ')}`
}

/** What a server's parser, or HTTP/2 before it, refuses and URLSearchParams lets through; the first two in Go's words. */
function queryProblem(given: string): string | undefined {
  for (const pair of given.split('&')) {
    if (pair.includes(';')) return 'invalid semicolon separator in query'
    const [wrong] = /%(?![0-9a-fA-F]{2})[^=]{0,2}/.exec(pair) ?? []
    if (wrong !== undefined) return `invalid URL escape ${quoted(wrong)}`
  }
  if (isMetadataText(given)) return undefined
  return `expected a query string such as ipv4=10.0.0.1&host=node-1, in printable ASCII, got ${quoted(given)}`
}
