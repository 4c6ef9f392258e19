/** The flags of proxy-agent: konnectivity's, by its names, and ours. What refuses a command line is in option-rules.ts. */
import { idleKlogOptions } from '../platform/klog-options.ts'
import { logOptions } from '../platform/log-options.ts'
import { boolean, file, integerOr, list, oneOf, text } from '../platform/option-types.ts'
import type { Values } from '../platform/options.ts'
import { tlsVersionNames, tlsVersionRefusal } from '../platform/tls-version.ts'
import { MAX_LANES } from './core/lane-count.ts'
import { idleOptions, konnectivityOptions } from './konnectivity-options.ts'
import { lifetimeOptions, limitOptions } from './limit-options.ts'

const ours = {
  portsFile: text({
    group: 'Listening',
    default: '',
    help: 'File that receives the ports in use, as JSON, once all listen.',
  }),
  auditLogFile: text({
    group: 'Audit',
    default: '',
    help: 'File that gets a line for each decision and each end of a connection: docs/audit.md. Empty: none.',
  }),
  joinTokenFile: text({
    group: 'TLS',
    default: '',
    help: 'Join token of "culvert token create". Without a usable certificate the agent makes its key, gets a certificate for the token, and stores them as --agent-key, --agent-cert and, if there is none, --ca-cert; from then on it renews the certificate by itself.',
  }),
  lanes: integerOr('auto', {
    group: 'Connections to servers',
    default: 'auto',
    min: 0,
    max: MAX_LANES,
    help: 'Further connections to each server that carry bulk, opened when there is some; auto: 4 where the round trip is 10 ms or more.',
  }),
  followReplicaAddresses: boolean({
    group: 'Connections to servers',
    default: 'false',
    help: 'Connect to replicas also at the addresses that servers list. Without it replicas are reached through --proxy-server-host, by their names. Either way their certificates must have those names.',
  }),
  crlFile: file({
    group: 'TLS',
    default: '',
    help: 'Revocation lists (CRLs) of the CAs of --ca-cert, PEM or DER: servers on them are refused and, within 5 s, left, as are then those whose certificate expires while the agent is connected; without it an agent stays with these (docs/certificates.md). Looked at again every second.',
  }),
  cipherSuites: list({
    group: 'TLS',
    default: '',
    help: 'Cipher suites offered, by their names in Go, such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256. Empty: the usual ones.',
  }),
  tlsMinVersion: oneOf(tlsVersionNames, {
    group: 'TLS',
    default: '',
    help: 'Oldest TLS version spoken, at least 1.2, which is also the default.',
    refusal: tlsVersionRefusal,
  }),
}

/** What may be dialled for a server. */
const policy = { group: 'Policy' }
const policyOptions = {
  policyFile: file({
    ...policy,
    default: '',
    help: 'Policy that says what may be dialled (docs/policy.md): what it does not allow is refused. Looked at again every 5 s. Empty: everything but link-local addresses.',
  }),
  hubRanges: list({
    ...policy,
    default: '',
    help: 'Address ranges of the hub, such as 192.0.2.0/24, that are never dialled, whatever a policy says.',
  }),
}

export const agentOptions = {
  ...konnectivityOptions,
  ...logOptions,
  ...ours,
  ...policyOptions,
  ...lifetimeOptions,
  ...limitOptions,
  ...idleOptions,
  ...idleKlogOptions,
}
export type AgentOptions = Values<typeof agentOptions>
