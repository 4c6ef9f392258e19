import { join } from 'node:path'
import t, { type Test } from 'tap'
import { idleKlogOptions, klogOptions } from '../../src/platform/klog-options.ts'
import { helpText } from '../../src/platform/option-help.ts'
import { type Environment, flagOf, readOptions } from '../../src/platform/options.ts'
import { agentRules, agentWarnings } from '../../src/proxy-agent/option-rules.ts'
import { type AgentOptions, agentOptions } from '../../src/proxy-agent/options.ts'

/** A command line that is accepted; `more` comes after it. */
function complete(t: Test, ...more: string[]): string[] {
  return [`--ca-cert=${join(t.testdir({ pem: '' }), 'pem')}`, ...more]
}
function valuesOf(argv: string[], environment: Environment = {}): AgentOptions {
  const result = readOptions(agentOptions, argv, agentRules, environment)
  if (result.ok !== true) throw new Error(JSON.stringify(result))
  return result.values
}
function problemsOf(argv: string[]): readonly string[] {
  const result = readOptions(agentOptions, argv, agentRules)
  return result.ok === false ? [...result.misread, ...result.problems] : []
}

t.test('has the names and defaults of konnectivity, and ours', async (t) => {
  const { agentId, caCert, ...values } = valuesOf(complete(t))
  const klog = Object.keys({ ...klogOptions, ...idleKlogOptions }) // they have a test of their own
  t.match(agentId, /^[0-9a-f]{8}-[0-9a-f-]{27}$/)
  t.strictSame(Object.fromEntries(Object.entries(values).filter(([key]) => !klog.includes(key))), {
    agentCert: '',
    agentKey: '',
    joinTokenFile: '',
    proxyServerHost: ['127.0.0.1'],
    proxyServerPort: 8091,
    alpnProto: [],
    healthServerHost: '',
    healthServerPort: 8093,
    adminServerPort: 8094,
    adminBindAddress: '127.0.0.1',
    agentIdentifiers: '',
    enableProfiling: false,
    enableContentionProfiling: false,
    probeIntervalMs: 1_000,
    keepaliveTimeMs: 3_600_000,
    serviceAccountTokenPath: '',
    warnOnChannelLimit: false,
    syncForever: false,
    xfrChannelSize: 150,
    countServerLeases: false,
    leaseNamespace: 'kube-system',
    leaseLabelSelector: 'k8s-app=konnectivity-server',
    serverCountSource: 'default',
    kubeconfig: '',
    lanes: 'auto',
    followReplicaAddresses: false,
    auditLogFile: '',
    crlFile: '',
    policyFile: '',
    hubRanges: [],
    kubeApiContentType: 'application/vnd.kubernetes.protobuf',
    cipherSuites: [],
    syncIntervalMs: 1_000,
    syncIntervalCapMs: 10_000,
    tlsMinVersion: '',
    portsFile: '',
    logFormat: 'text',
    logLevel: '',
    heartbeatIntervalMs: 5_000,
    heartbeatTimeoutMs: 12_000,
    drainTimeoutMs: 25_000,
    drainQuietTimeMs: 2_000,
    endpointDialTimeoutMs: 5_000,
    maxMessageBytes: 4_194_304,
    streamBufferBytes: 67_108_864,
    processBufferBytes: 268_435_456,
    slowConsumerBytes: 655_360,
    slowConsumerTimeMs: 10_000,
    connectionBufferBytes: 4_194_304,
  })
})

t.test('gives every option a flag of its own, explained in the help', async (t) => {
  const flags = Object.entries(agentOptions).map(([key, option]) => flagOf(key, option))
  t.equal(new Set(flags).size, flags.length)
  const help = helpText(agentOptions, { program: 'proxy-agent', summary: 'Connects out.' })
  for (const flag of flags) t.match(help, `--${flag}`)
})

t.test('takes its id from PROXY_AGENT_ID unless the flag says otherwise', async (t) => {
  t.equal(valuesOf(complete(t), { PROXY_AGENT_ID: 'node-1' }).agentId, 'node-1')
  t.equal(valuesOf(complete(t, '--agent-id=me'), { PROXY_AGENT_ID: 'node-1' }).agentId, 'me')
})

t.test('accepts the identifiers that exist, each as often as wanted', async (t) => {
  for (const given of [
    '',
    'ipv4=10.0.0.1&ipv4=10.0.0.2&ipv6=fd00%3A%3A1',
    'host=node-1&cidr=10.0.0.0/8&default-route=true',
    '&host=a&',
  ]) {
    t.equal(valuesOf(complete(t, `--agent-identifiers=${given}`)).agentIdentifiers, given)
  }
})

t.test('refuses identifiers that a server would refuse or overlook', async (t) => {
  const refusals: [string, string][] = [
    ['ipv4=10.0.0.1&mac=1&uid=2', 'agent address is invalid: unknown address type: mac, uid'],
    ['IPv4=10.0.0.1', 'agent address is invalid: unknown address type: IPv4'],
    ['host=a;ipv4=b', 'agent address is invalid: invalid semicolon separator in query'],
    ['host=%zz', 'agent address is invalid: invalid URL escape "%zz"'],
    ['host=%4', 'agent address is invalid: invalid URL escape "%4"'],
    ['h%o=a', 'agent address is invalid: invalid URL escape "%o"'],
  ]
  for (const [given, problem] of refusals) {
    t.strictSame(problemsOf(complete(t, `--agent-identifiers=${given}`)), [problem])
  }
})

t.test('needs a CA, a host, and a certificate with its key', async (t) => {
  const pem = join(t.testdir({ pem: '' }), 'pem')
  t.strictSame(problemsOf(['--proxy-server-host=', `--agent-cert=${pem}`]), [
    `cannot have agent key empty when agent cert is set to ${JSON.stringify(pem)}`,
    '--ca-cert must be set: the server is known by its certificate',
    '--proxy-server-host must not be empty',
  ])
  t.strictSame(problemsOf([`--ca-cert=${pem}`, `--agent-cert=${pem}`, `--agent-key=${pem}`]), [])
})

t.test('reports every mistake at once, in konnectivity’s words where it has some', async (t) => {
  const missing = join(t.testdir(), 'missing.pem')
  const argv = [
    `--ca-cert=${missing}`,
    '--proxy-server-port=0',
    '--health-server-port=-1',
    '--admin-server-port=65536',
    '--xfr-channel-size=0',
    '--enable-contention-profiling',
    '--service-account-token-path=/nonexistent/token',
    '--kubeconfig=/nonexistent/config',
    '--server-count-source=min',
    '--cipher-suites=TLS_RSA_WITH_RC4_128_SHA',
    '--sync-interval=11s',
    '--heartbeat-timeout=9.9s',
    '--connection-buffer-bytes=65MiB',
    '--process-buffer-bytes=63MiB',
  ]
  t.strictSame(problemsOf(argv), [
    "--server-count-source must be one of '', 'default', 'max', got min",
    `error checking agent CA cert ${missing}, got stat ${missing}: no such file or directory`,
    'proxy server port 0 must be greater than 0',
    'health server port -1 must be greater than 0',
    'admin server port 65536 must not be over 65535',
    'channel size 0 must be greater than 0',
    'if --enable-contention-profiling is set, --enable-profiling must also be set',
    'sync interval 11s must be less than sync interval cap 10s',
    'error checking service account token path /nonexistent/token, got stat /nonexistent/token: no such file or directory',
    'error checking KubeconfigPath "/nonexistent/config", got stat /nonexistent/config: no such file or directory',
    "cipher suite TLS_RSA_WITH_RC4_128_SHA not supported, doesn't exist or considered as insecure",
    '--heartbeat-timeout must be at least twice --heartbeat-interval, got 9.9s for 5s',
    '--connection-buffer-bytes must not be over --stream-buffer-bytes',
    '--stream-buffer-bytes must not be over --process-buffer-bytes',
  ])
})

t.test('refuses hosts, ids and protocols that would only fail once it connects', async (t) => {
  const host = (given: string): string =>
    `--proxy-server-host: expected host, host:port or [IPv6 address]:port, got ${JSON.stringify(given)}`
  for (const given of [
    'hub.example:0',
    '[hub.example]:8091',
    'https://hub.example',
    'a b',
    'h\u00fcb',
    '10.0.0.256',
    'fe80::1%eth0',
  ]) {
    t.strictSame(problemsOf(complete(t, `--proxy-server-host=${given}`)), [host(given)])
  }
  for (const given of ['hub.example', 'hub_0', '10.0.0.1', '::1', 'hub.example.', 'hub:8091', '[::1]:8091']) {
    t.strictSame(problemsOf(complete(t, `--proxy-server-host=${given}`)), [], given)
  }
  t.strictSame(problemsOf(complete(t, '--agent-id=a\nb', `--alpn-proto=h3,${'x'.repeat(256)}`)), [
    '--agent-id: expected printable ASCII without spaces at its ends, got "a\\nb"',
    '--alpn-proto: expected names of 1 to 255 bytes',
  ])
  t.match(problemsOf(complete(t, '--agent-identifiers=host=h\u00fcb')), [/^agent address is invalid: expected a query/])
})

t.test('takes several hosts, comma-separated or one flag each', async (t) => {
  const argv = complete(t, '--proxy-server-host=hub-0.example,hub-1.example:443', '--proxy-server-host', '[fd00::1]:1')
  t.strictSame(valuesOf(argv).proxyServerHost, ['hub-0.example', 'hub-1.example:443', '[fd00::1]:1'])
})

t.test('takes the former name of --lease-label-selector', async (t) => {
  t.equal(valuesOf(complete(t, '--lease-label=a=b')).leaseLabelSelector, 'a=b')
})

t.test('takes both sides of each rule', async (t) => {
  t.strictSame(
    problemsOf(complete(t, '--sync-interval=10s', '--heartbeat-timeout=10s', '--connection-buffer-bytes=64MiB')),
    [],
  )
  t.match(valuesOf(complete(t, '--health-server-port=0', '--admin-server-port=0')), {
    healthServerPort: 0,
    adminServerPort: 0,
  })
})

t.test('warns of a TLS version that it will not speak, and of a log without its file', async (t) => {
  t.strictSame(agentWarnings(valuesOf(complete(t))), [])
  t.match(agentWarnings(valuesOf(complete(t, '--tls-min-version=VersionTLS11', '--logtostderr=false'))), [
    /means TLS 1.2 here/,
    /the log stays on standard error/,
  ])
})
