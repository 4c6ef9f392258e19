/** The flags that konnectivity's server has, by its names and with its defaults; docs/compatibility.md lists what differs. */
import { randomUUID } from 'node:crypto'
import {
  boolean,
  duration,
  file,
  IDLE_GROUP,
  integer,
  list,
  number,
  oneOf,
  text,
  words,
} from '../platform/option-types.ts'
import { tlsVersionNames, tlsVersionRefusal } from '../platform/tls-version.ts'

export const konnectivityOptions = {
  serverCert: file({ default: '', help: 'Certificate of the frontend, PEM.' }),
  serverKey: file({ default: '', help: 'Key of that certificate, PEM.' }),
  serverCaCert: file({ default: '', help: 'CA whose certificates the clients of the frontend must have, PEM.' }),
  clusterCert: file({ default: '', help: 'Certificate of the agent port, PEM.' }),
  clusterKey: file({ default: '', help: 'Key of that certificate, PEM.' }),
  clusterCaCert: file({
    default: '',
    help: 'CA whose certificates agents must have, PEM. Without it, and without --agent-namespace, anyone may be an agent.',
  }),
  mode: text({
    default: 'grpc',
    help: 'Protocol of the frontend: grpc or http-connect, as the kube-apiserver is told to speak.',
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
  frontendKeepaliveTimeMs: duration({
    default: '1h',
    help: 'Time between two pings to a client in grpc mode, at least 1s. 0: two hours.',
  }),
  enableProfiling: boolean({ default: 'false', help: 'Serve profiles under /debug/pprof/ on the admin port.' }),
  enableContentionProfiling: boolean({
    default: 'false',
    help: 'Serve block profiles as well; needs --enable-profiling.',
  }),
  serverId: text({
    default: { shown: 'a new uuid', make: randomUUID },
    environment: 'PROXY_SERVER_ID',
    help: 'Name of this server towards agents, unique among the replicas.',
  }),
  serverCount: integer({ default: '1', help: 'Number of replicas: agents connect until they hold that many.' }),
  agentNamespace: text({
    default: '',
    help: 'Namespace of the service account whose token agents must show. Not empty: agents are asked for a token.',
  }),
  agentServiceAccount: text({ default: '', help: 'That service account.' }),
  authenticationAudience: text({ default: '', help: 'Audience that the token of an agent must be for.' }),
  kubeconfig: file({
    default: '',
    help: 'How to reach the Kubernetes API, for tokens and leases. Empty: as a pod does, by its service account.',
  }),
  kubeconfigQps: number({ default: '0', help: 'Requests per second to the Kubernetes API. 0: 5.' }),
  kubeconfigBurst: integer({ default: '0', help: 'Requests at once to the Kubernetes API. 0: 10.' }),
  proxyStrategies: words({
    default: 'default',
    refusal: 'invalid proxy strategies: proxy strategies cannot be empty',
    help: 'How an agent is chosen, tried in this order: default, destHost, defaultRoute.',
  }),
  cipherSuites: list({
    default: '',
    help: 'Cipher suites accepted, by their names in Go, such as TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256. Empty: the usual ones.',
  }),
  tlsMinVersion: oneOf(tlsVersionNames, {
    default: '',
    help: 'Oldest TLS version accepted, at least 1.2, which is also the default.',
    refusal: tlsVersionRefusal,
  }),
  enableLeaseController: boolean({
    default: 'false',
    help: 'Keep a lease in the Kubernetes API for as long as this server runs, and delete those that have expired.',
  }),
  leaseNamespace: text({ default: 'kube-system', help: 'Namespace of the leases.' }),
  leaseLabel: text({
    default: 'k8s-app=konnectivity-server',
    help: 'Labels of the leases: key=value, comma-separated.',
  }),
  gracefulShutdownTimeoutMs: duration({
    default: '25s',
    min: Number.MIN_SAFE_INTEGER,
    help: 'Longest time for open tunnels to end after SIGTERM.',
  }),
  backendDialTimeoutMs: duration({
    default: '30s',
    min: Number.MIN_SAFE_INTEGER,
    help: 'Longest wait for an agent to reach a target. 0: for ever.',
  }),
}

export const idleOptions = {
  keepaliveTimeMs: duration({
    group: IDLE_GROUP,
    default: '1h',
    help: 'Agents are asked whether they are there every few seconds: see --heartbeat-timeout.',
  }),
  kubeApiContentType: text({
    group: IDLE_GROUP,
    default: 'application/vnd.kubernetes.protobuf',
    help: 'Requests to the Kubernetes API are JSON.',
  }),
  xfrChannelSize: integer({
    group: IDLE_GROUP,
    default: '10',
    help: 'What waits is bounded in bytes, see --connection-buffer-bytes.',
  }),
  frontendWriteChannelSize: integer({
    group: IDLE_GROUP,
    default: '10',
    help: 'What waits is bounded in bytes, see --connection-buffer-bytes.',
  }),
  warnOnChannelLimit: boolean({
    group: IDLE_GROUP,
    default: 'true',
    help: 'As in konnectivity, where it is deprecated.',
  }),
}
