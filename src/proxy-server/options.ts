/** The flags of proxy-server: konnectivity's, by its names, and ours. What refuses a command line is in option-rules.ts. */
import { availableParallelism } from 'node:os'
import { idleKlogOptions } from '../platform/klog-options.ts'
import { logOptions } from '../platform/log-options.ts'
import { boolean, duration, file, integer, list, oneOf, text } from '../platform/option-types.ts'
import type { Option, Values } from '../platform/options.ts'
import { idleOptions, konnectivityOptions } from './konnectivity-options.ts'
import { limitOptions } from './limit-options.ts'

/** More would be a machine of its own kind; each is a process that every agent connects to. */
const MAX_WORKERS = 64

const group = 'Listening'
const ours = {
  workers: workerCount({
    group,
    default: '1',
    help: 'Processes that serve, each with as much of a processor as it can use; agents connect to every one of them. auto: one for each processor.',
  }),
  serverListenAny: boolean({
    group,
    default: 'false',
    help: 'Frontend on any free TCP port, whatever --server-port says.',
  }),
  portsFile: text({ group, default: '', help: 'File that receives the ports in use, as JSON, once all listen.' }),
  proxyProtocolFrom: list({
    group,
    default: '',
    help: 'Addresses and ranges of front doors, such as 192.0.2.0/24: their connections to the agent port and to a frontend over TLS begin with exactly one PROXY header (version 1 or 2), which says who comes. Empty: from nobody is one read.',
  }),
  auditLogFile: text({
    group: 'Audit',
    default: '',
    help: 'File that gets a line for each decision and each end of a connection: docs/audit.md. Empty: none.',
  }),
  adminTokenFile: file({
    group: 'Admin port',
    default: '',
    help: 'File with the token that clients of the admin port show; at least 16 characters. Read anew each time.',
  }),
  adminCert: file({
    group: 'Admin port',
    default: '',
    help: 'Certificate of the admin port, which then speaks TLS only.',
  }),
  adminKey: file({ group: 'Admin port', default: '', help: 'Its private key.' }),
  adminCaCert: file({
    group: 'Admin port',
    default: '',
    help: 'CA whose user certificates let clients use the admin port.',
  }),
  trustDomain: text({
    group,
    default: '',
    help: 'Trust domain whose SPIFFE URIs in certificates decide what a peer may be. Empty: any trust domain.',
  }),
  tenancy: oneOf(['single', 'multi'], {
    group,
    default: 'single',
    help: 'single: every certificate is of one cluster. multi: each agent and client is of the cluster that its credentials say, and reaches no other; needs --clusters.',
  }),
  clusters: text({
    group,
    default: '',
    help: 'File, or folder of files, with one YAML document for each cluster of --tenancy=multi; looked at again as the server runs. See docs/tenancy.md.',
  }),
  clusterCrlFile: text({
    group: 'Certificates',
    default: '',
    help: "Revocation lists (PEM, several one after the other, or one in DER) of the agents' CAs. Who is on one is refused, and hung up on if connected. Read again when it changes.",
  }),
  serverCrlFile: text({
    group: 'Certificates',
    default: '',
    help: "The same of the clients' CAs, and of --admin-ca-cert.",
  }),
  enrolmentCaCert: text({
    group: 'Certificates',
    default: '',
    help: 'CA that issues certificates to agents on the agent port: for a join token, and when they renew. It must be in --cluster-ca-cert.',
  }),
  enrolmentCaKey: text({ group: 'Certificates', default: '', help: 'Its key.' }),
  joinTokens: text({
    group: 'Certificates',
    default: '',
    help: 'Folder of the join tokens that "culvert token create" makes; all servers of a hub share it. Empty: agents can renew, not join.',
  }),
  enrolmentLifetimeMs: duration({
    group: 'Certificates',
    default: '24h',
    min: 1_000,
    help: 'How long a certificate that is issued so is valid.',
  }),
  enrolmentsPerSecond: integer({
    group: 'Certificates',
    default: '20',
    min: 1,
    help: 'Requests to join that are looked at per second, and as many to renew.',
  }),
  agentPolicyFile: file({
    group: 'Policy',
    default: '',
    help: 'Policy of what clients may have dialled (docs/policy.md), judged here and by the agents. Looked at again every 5 s. Empty: what the agents allow.',
  }),
  replicasFile: file({
    group: 'Replicas',
    default: '',
    help: 'List of all replicas, this one included, with the server name of each (docs/replicas.md): agents connect to each by its name. Looked at again every 5 s.',
  }),
  replicaServerName: text({
    group: 'Replicas',
    default: '',
    help: 'Server name by which agents reach this replica, told to the others in its lease: the list without a file. Needs --enable-lease-controller.',
  }),
  replicaAddress: text({
    group: 'Replicas',
    default: '',
    help: 'Address at which agents reach this replica, for agents with --follow-replica-addresses. Empty: where they reach any of them.',
  }),
  replicaSettleTimeMs: duration({
    group: 'Replicas',
    default: '30s',
    help: 'How long after its start a replica has a client wait for the first agent of its cluster, instead of failing at once.',
  }),
  shutdownQuietTimeMs: duration({
    group,
    default: '2s',
    help: 'After SIGTERM clients are served on; the frontend closes when nothing is open and no client has come for this long, or after --graceful-shutdown-timeout.',
  }),
}

export const serverOptions = {
  ...konnectivityOptions,
  ...logOptions,
  ...ours,
  ...limitOptions,
  ...idleOptions,
  ...idleKlogOptions,
}
export type ServerOptions = Values<typeof serverOptions>

function workerCount(about: {
  readonly group: string
  readonly default: string
  readonly help: string
}): Option<number> {
  const count = integer({ ...about, min: 1, max: MAX_WORKERS })
  return {
    ...count,
    takes: 'number|auto',
    parse(given) {
      if (given === 'auto') return { value: Math.min(availableParallelism(), MAX_WORKERS) }
      const read = count.parse(given)
      return 'expected' in read ? { expected: `auto or ${read.expected}` } : read
    },
  }
}
