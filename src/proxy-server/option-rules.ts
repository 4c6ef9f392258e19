/**
 * What proxy-server refuses or warns of on its command line. Rules that konnectivity has come first, in its order and in its
 * words, so that what looks for those finds them; ours follow.
 */
import { parseLabels } from '../kubernetes/core/labels.ts'
import { isTrustDomain } from '../pki/identity.ts'
import { readRange } from '../platform/address-range.ts'
import { cipherSuiteProblem } from '../platform/cipher-suites.ts'
import { formatDuration } from '../platform/duration.ts'
import { isLocal } from '../platform/local-names.ts'
import { logWarning } from '../platform/log-options.ts'
import { isMetadataText } from '../platform/metadata-text.ts'
import { fileRule, folderAt, noSuchFile, pairRules } from '../platform/option-files.ts'
import type { Rule } from '../platform/options.ts'
import { shown } from '../platform/schema-words.ts'
import { readTokenFile } from '../platform/secret-file.ts'
import { tlsVersionWarning } from '../platform/tls-version.ts'
import { isReplicaAddress, replicaName } from '../tunnel/server-list.ts'
import { MIN_TOKEN_CHARS } from './admin-token.ts'
import { isStrategy } from './core/strategies.ts'
import { type ServerOptions, serverOptions } from './options.ts'

/** The highest port that is not ephemeral, by IANA. */
const MAX_PORT = 49_151
/** With what workers and leases put before and behind it, it is still an id of a list of servers and the name of a lease. */
const MAX_SERVER_ID_CHARS = 200
const quoted = JSON.stringify

const theirs: Rule<ServerOptions>[] = [
  ...pairRules(serverOptions, 'server', 'serverKey', 'serverCert'),
  fileRule(serverOptions, 'serverCaCert', (path) => `error checking server CA cert ${path}, got ${noSuchFile(path)}`),
  ...pairRules(serverOptions, 'cluster', 'clusterKey', 'clusterCert'),
  fileRule(serverOptions, 'clusterCaCert', (path) => `error checking cluster CA cert ${path}, got ${noSuchFile(path)}`),
  modeRule,
  ({ udsName, serverPort }) =>
    udsName !== '' && serverPort !== 0 ? `server port should be set to 0 not ${serverPort} for UDS` : undefined,
  ({ udsName, serverKey }) => (udsName !== '' && serverKey !== '' ? 'server key should not be set for UDS' : undefined),
  ({ udsName, serverCert }) =>
    udsName !== '' && serverCert !== '' ? 'server cert should not be set for UDS' : undefined,
  ({ udsName, serverCaCert }) =>
    udsName !== '' && serverCaCert !== '' ? 'server ca cert should not be set for UDS' : undefined,
  ({ udsName, serverCaCert }) =>
    udsName === '' && serverCaCert === ''
      ? 'server ca cert must be set when in TCP mode (uds-name is empty)'
      : undefined,
  ({ serverPort, serverListenAny }) => (serverListenAny ? undefined : ephemeralProblem('server', serverPort)),
  ({ agentPort }) => ephemeralProblem('agent', agentPort),
  ({ adminPort }) => ephemeralProblem('admin', adminPort),
  ({ healthPort }) => ephemeralProblem('health', healthPort),
  ({ serverPort, udsName, serverListenAny }) =>
    udsName !== '' || serverListenAny ? undefined : reservedProblem('server', serverPort),
  ({ agentPort }) => (agentPort === 0 ? undefined : reservedProblem('agent', agentPort)),
  ({ adminPort }) => (adminPort === 0 ? undefined : reservedProblem('admin', adminPort)),
  ({ healthPort }) => (healthPort === 0 ? undefined : reservedProblem('health', healthPort)),
  ({ enableProfiling, enableContentionProfiling }) =>
    enableContentionProfiling && !enableProfiling
      ? 'if --enable-contention-profiling is set, --enable-profiling must also be set'
      : undefined,
  (options) =>
    asksForTokens(options) && options.clusterCaCert !== '' && options.tenancy === 'single' // as the reference has it
      ? '--cluster-ca-cert can not be used when agent authentication is enabled'
      : undefined,
  (options) => missingForTokens(options, '--agent-namespace', options.agentNamespace),
  (options) => missingForTokens(options, '--agent-service-account', options.agentServiceAccount),
  (options) => missingForTokens(options, '--authentication-audience', options.authenticationAudience),
  fileRule(serverOptions, 'kubeconfig', (path) => `checking KubeconfigPath ${quoted(path)}, got ${noSuchFile(path)}`),
  strategyRule,
  ({ xfrChannelSize }) => channelProblem(xfrChannelSize),
  ({ frontendWriteChannelSize }) => channelProblem(frontendWriteChannelSize),
  ({ cipherSuites }) => cipherSuiteProblem(cipherSuites),
  ({ enableLeaseController, leaseLabel }) => (enableLeaseController ? labelsProblem(leaseLabel) : undefined),
  ({ gracefulShutdownTimeoutMs }) =>
    gracefulShutdownTimeoutMs < 0
      ? `graceful-shutdown-timeout must be >= 0, got ${formatDuration(gracefulShutdownTimeoutMs)}`
      : undefined,
  ({ backendDialTimeoutMs }) =>
    backendDialTimeoutMs < 0
      ? `backend-dial-timeout must be >= 0, got ${formatDuration(backendDialTimeoutMs)}`
      : undefined,
]

const ours: Rule<ServerOptions>[] = [
  fileRule(serverOptions, 'clusterCrlFile', missingCrl('--cluster-crl-file')),
  fileRule(serverOptions, 'serverCrlFile', missingCrl('--server-crl-file')),
  ...pairRules(serverOptions, 'enrolment', 'enrolmentCaKey', 'enrolmentCaCert'),
  ({ enrolmentCaCert, clusterCaCert }) =>
    enrolmentCaCert !== '' && clusterCaCert === ''
      ? '--enrolment-ca-cert needs --cluster-ca-cert: without it agents need no certificate'
      : undefined,
  ({ enrolmentCaCert, joinTokens }) =>
    joinTokens !== '' && enrolmentCaCert === ''
      ? '--join-tokens needs --enrolment-ca-cert and --enrolment-ca-key, which issue what a token is for'
      : undefined,
  ({ joinTokens }) =>
    joinTokens !== '' && folderAt(joinTokens) === 'no folder'
      ? `--join-tokens: expected a folder that can be read, got ${joinTokens}`
      : undefined,
  ({ clusterCrlFile, clusterCaCert }) =>
    clusterCrlFile !== '' && clusterCaCert === ''
      ? '--cluster-crl-file needs --cluster-ca-cert: without it agents show no certificate that could be revoked'
      : undefined,
  ({ serverCrlFile, udsName, adminCaCert }) =>
    serverCrlFile !== '' && udsName !== '' && adminCaCert === ''
      ? '--server-crl-file is of no use with --uds-name: clients of a socket show no certificate'
      : undefined,
  fileRule(serverOptions, 'agentPolicyFile'),
  ({ tenancy, agentPolicyFile }) =>
    tenancy === 'multi' && agentPolicyFile !== ''
      ? '--agent-policy-file is of no cluster: with --tenancy=multi give each a policy in --clusters'
      : undefined,
  fileRule(serverOptions, 'replicasFile'),
  ({ replicasFile, replicaServerName }) =>
    replicasFile !== '' && replicaServerName !== ''
      ? '--replicas-file and --replica-server-name exclude each other: the list is in the file or in the leases'
      : undefined,
  ({ replicaServerName, enableLeaseController }) =>
    replicaServerName !== '' && !enableLeaseController
      ? '--replica-server-name needs --enable-lease-controller: it is told in the lease'
      : undefined,
  ({ replicaServerName }) =>
    replicaServerName === '' || replicaName(replicaServerName) !== undefined
      ? undefined
      : `--replica-server-name: expected a DNS name such as hub-0.hub.example, got ${quoted(replicaServerName)}`,
  ({ replicaAddress, replicaServerName }) =>
    replicaAddress !== '' && replicaServerName === '' ? '--replica-address needs --replica-server-name' : undefined,
  ({ replicaAddress }) =>
    replicaAddress === '' || isReplicaAddress(replicaAddress)
      ? undefined
      : `--replica-address: expected host, host:port or [IPv6 address]:port, got ${quoted(replicaAddress)}`,
  ({ udsName, serverListenAny }) =>
    udsName !== '' && serverListenAny ? '--uds-name and --server-listen-any exclude each other' : undefined,
  ({ proxyProtocolFrom }) => frontDoorsProblem(proxyProtocolFrom),
  ({ udsName, serverCert, serverKey }) =>
    udsName === '' && serverCert === '' && serverKey === ''
      ? '--server-cert and --server-key must be set: the frontend over TCP speaks TLS only'
      : undefined,
  ({ clusterCert, clusterKey }) =>
    clusterCert === '' && clusterKey === ''
      ? '--cluster-cert and --cluster-key must be set: the agent port speaks TLS only'
      : undefined,
  ({ tenancy, clusters }) =>
    tenancy === 'multi' && clusters === '' ? '--clusters must be set with --tenancy=multi' : undefined,
  ({ tenancy, clusters }) =>
    tenancy === 'single' && clusters !== '' ? '--clusters has no meaning without --tenancy=multi' : undefined,
  (options) =>
    options.tenancy === 'multi' && options.clusterCaCert === '' && !asksForTokens(options)
      ? '--cluster-ca-cert, or --authentication-audience for tokens, must be set with --tenancy=multi: anyone could be an agent of any cluster'
      : undefined,
  ({ tenancy, udsName }) =>
    tenancy === 'multi' && udsName !== ''
      ? '--uds-name is of no cluster: with --tenancy=multi name a socket for each in --clusters'
      : undefined,
  ({ serverId }) =>
    serverId !== '' && serverId.length <= MAX_SERVER_ID_CHARS && isMetadataText(serverId)
      ? undefined
      : `--server-id: expected 1 to ${MAX_SERVER_ID_CHARS} characters of printable ASCII without spaces at its ends, got ${shown(serverId)}`,
  ({ trustDomain }) =>
    trustDomain === '' || isTrustDomain(trustDomain)
      ? undefined
      : `--trust-domain: expected lower-case letters, digits, dots, dashes and underscores, got ${quoted(trustDomain)}`,
  fileRule(serverOptions, 'adminCert'),
  fileRule(serverOptions, 'adminKey'),
  ({ adminCert, adminKey }) =>
    (adminCert === '') === (adminKey === '') ? undefined : '--admin-cert and --admin-key belong together',
  fileRule(serverOptions, 'adminCaCert'),
  ({ adminCaCert, adminCert }) =>
    adminCaCert !== '' && adminCert === '' ? '--admin-ca-cert needs --admin-cert and --admin-key' : undefined,
  ({ adminTokenFile, adminCert, adminBindAddress }) =>
    adminTokenFile !== '' && adminCert === '' && !isLocal(adminBindAddress)
      ? '--admin-token-file needs --admin-cert and --admin-key beyond this machine: a token is not shown in clear'
      : undefined,
  ({ adminTokenFile }) => (adminTokenFile === '' ? undefined : tokenProblem(adminTokenFile)),
  ({ connectionBufferBytes, streamBufferBytes }) =>
    connectionBufferBytes > streamBufferBytes
      ? '--connection-buffer-bytes must not be over --stream-buffer-bytes'
      : undefined,
  ({ streamBufferBytes, processBufferBytes }) =>
    streamBufferBytes > processBufferBytes
      ? '--stream-buffer-bytes must not be over --process-buffer-bytes'
      : undefined,
]

export const serverRules: Rule<ServerOptions>[] = [...theirs, ...ours]

/** What an operator should know about options that are accepted; for the log, at every start. */
export function serverWarnings(options: ServerOptions): string[] {
  const { tenancy, tlsMinVersion, clusterCaCert, agentNamespace } = options
  const anyone = 'without --cluster-ca-cert or --agent-namespace anyone who reaches the agent port may be an agent'
  return [
    tlsVersionWarning(tlsMinVersion),
    tenancy === 'single' && clusterCaCert === '' && agentNamespace === '' ? anyone : undefined,
    options.proxyProtocolFrom.some((text) => readRange(text)?.bits === 0)
      ? '--proxy-protocol-from takes everybody for a front door: whoever connects says where he comes from'
      : undefined,
    options.joinTokens !== '' && folderAt(options.joinTokens) === 'nothing'
      ? `--join-tokens: there is no folder ${options.joinTokens} yet: until "culvert token create --tokens" makes it nobody can join`
      : undefined,
    logWarning(options),
  ].filter((line) => line !== undefined)
}

function frontDoorsProblem(given: readonly string[]): string | undefined {
  const wrong = given.filter((text) => readRange(text) === undefined)
  if (wrong.length === 0) return undefined
  return `--proxy-protocol-from: expected addresses and ranges such as 192.0.2.0/24, got ${wrong.map((text) => quoted(text)).join(', ')}`
}

function tokenProblem(path: string): string | undefined {
  try {
    const { length } = readTokenFile(path)
    return length >= MIN_TOKEN_CHARS
      ? undefined
      : `--admin-token-file: the token must have ${MIN_TOKEN_CHARS} characters`
  } catch (error) {
    return `--admin-token-file: ${(error as Error).message}`
  }
}

function missingCrl(flag: string): (path: string) => string {
  return (path) => `${flag}: there is no such file as ${path}; "culvert pki crl --refresh" makes an empty list`
}

function modeRule({ mode }: ServerOptions): string | undefined {
  if (mode === 'grpc' || mode === 'http-connect') return undefined
  return `mode must be set to either 'grpc' or 'http-connect' not ${quoted(mode)}`
}

function ephemeralProblem(name: string, given: number): string | undefined {
  return given > MAX_PORT ? `please do not try to use ephemeral port ${given} for the ${name} port` : undefined
}

function reservedProblem(name: string, given: number): string | undefined {
  return given < 1_024 ? `please do not try to use reserved port ${given} for the ${name} port` : undefined
}

function asksForTokens({ agentNamespace, agentServiceAccount, authenticationAudience }: ServerOptions): boolean {
  return agentNamespace !== '' || agentServiceAccount !== '' || authenticationAudience !== ''
}

function missingForTokens(options: ServerOptions, flag: string, given: string): string | undefined {
  if (given !== '' || !asksForTokens(options)) return undefined
  if (options.tenancy === 'multi' && flag !== '--authentication-audience') return undefined // the clusters list their users
  return `${flag} cannot be empty when agent authentication is enabled`
}

function strategyRule({ proxyStrategies }: ServerOptions): string | undefined {
  if (proxyStrategies.length === 0) return 'ProxyStrategies cannot be empty'
  const unknown = proxyStrategies.find((name) => !isStrategy(name))
  return unknown === undefined ? undefined : `invalid proxy strategies: unknown proxy strategy: ${unknown}`
}

function channelProblem(size: number): string | undefined {
  return size > 0 ? undefined : `channel size ${size} must be greater than 0`
}

function labelsProblem(given: string): string | undefined {
  const parsed = parseLabels(given)
  return 'problem' in parsed ? parsed.problem : undefined
}
