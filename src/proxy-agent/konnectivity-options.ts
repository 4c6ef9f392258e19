/** The flags that konnectivity's agent has, by its names and with its defaults; docs/compatibility.md lists what differs. */
import { randomUUID } from 'node:crypto'
import { boolean, duration, file, IDLE_GROUP, integer, list, oneOf, text } from '../platform/option-types.ts'

export const konnectivityOptions = {
  agentCert: file({ default: '', help: 'Certificate with which the agent connects, PEM.' }),
  agentKey: file({ default: '', help: 'Key of that certificate, PEM.' }),
  caCert: file({ default: '', help: 'CA of the proxy server, PEM. Must be given.' }),
  proxyServerHost: list({
    default: '127.0.0.1',
    help: 'Host of the proxy server, also the name its certificate must have. Several: comma-separated or one flag each, and each may have a port of its own, as in hub-1.example:8091 or [fd00::1]:8091.',
  }),
  proxyServerPort: integer({ default: '8091', help: 'Port on which the proxy server takes agents.' }),
  alpnProto: list({ default: '', help: 'Further ALPN protocols to offer, before h2.' }),
  healthServerHost: text({ default: '', help: 'Address of the health port. Empty: all.' }),
  healthServerPort: integer({ default: '8093', help: 'Port of health and metrics. 0: any free one.' }),
  adminServerPort: integer({ default: '8094', help: 'Port of the admin endpoints. 0: any free one.' }),
  adminBindAddress: text({ default: '127.0.0.1', help: 'Address of the admin port. Empty: all.' }),
  enableProfiling: boolean({ default: 'false', help: 'Serve profiles under /debug/pprof/ on the admin port.' }),
  enableContentionProfiling: boolean({
    default: 'false',
    help: 'Serve block profiles as well; needs --enable-profiling.',
  }),
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
  probeIntervalMs: duration({
    default: '1s',
    help: 'How often silence is looked for, within 50ms and 500ms. A connection that breaks is noticed at once.',
  }),
  syncIntervalCapMs: duration({ default: '10s', min: 1, help: 'Longest wait before connecting again.' }),
  serviceAccountTokenPath: file({
    default: '',
    help: 'Token of a service account by which the server knows the agent; read anew for each connection.',
  }),
  syncForever: boolean({
    default: 'false',
    help: 'Go on connecting when as many servers are held as there are, in case there are more by now.',
  }),
  countServerLeases: boolean({
    default: 'false',
    help: 'Count the leases of the servers in the Kubernetes API to learn how many there are.',
  }),
  leaseNamespace: text({ default: 'kube-system', help: 'Namespace of those leases.' }),
  leaseLabelSelector: text({
    default: 'k8s-app=konnectivity-server',
    formerly: 'lease-label',
    help: 'Which leases there are those of the servers: a label selector.',
  }),
  serverCountSource: oneOf(['', 'default', 'max'], {
    default: 'default',
    refusal: (given) => `--server-count-source must be one of '', 'default', 'max', got ${given}`,
    help: 'Which count of servers holds: default, that of the leases where they are counted, else that of the servers; max, the larger.',
  }),
  kubeconfig: file({
    default: '',
    help: 'How to reach the Kubernetes API, for leases. Empty: as a pod does, by its service account.',
  }),
}

export const idleOptions = {
  keepaliveTimeMs: duration({
    group: IDLE_GROUP,
    default: '1h',
    help: 'A server is asked whether it is there every few seconds: see --heartbeat-interval.',
  }),
  warnOnChannelLimit: boolean({
    group: IDLE_GROUP,
    default: 'false',
    help: 'There are no channels that could be full.',
  }),
  xfrChannelSize: integer({
    group: IDLE_GROUP,
    default: '150',
    help: 'What waits is bounded in bytes, see --connection-buffer-bytes.',
  }),
  kubeApiContentType: text({
    group: IDLE_GROUP,
    default: 'application/vnd.kubernetes.protobuf',
    help: 'Requests to the Kubernetes API are JSON.',
  }),
}
