import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { helpText } from '../../src/platform/option-help.ts'
import { type Environment, flagOf, readOptions } from '../../src/platform/options.ts'
import { limitOptions } from '../../src/proxy-server/limit-options.ts'
import { serverRules, serverWarnings } from '../../src/proxy-server/option-rules.ts'
import { type ServerOptions, serverOptions } from '../../src/proxy-server/options.ts'
import { temporaryFolder } from '../integration/certificates.ts'

const read = (argv: string[], environment: Environment = {}) =>
  readOptions(serverOptions, argv, serverRules, environment)

/** A command line that is accepted, over TCP; `more` comes after it. */
function complete(t: Test, ...more: string[]): string[] {
  const folder = t.testdir({ pem: '' })
  const files = ['server-cert', 'server-key', 'server-ca-cert', 'cluster-cert', 'cluster-key', 'cluster-ca-cert']
  return ['--mode=http-connect', ...files.map((flag) => `--${flag}=${join(folder, 'pem')}`), ...more]
}
function overSocket(t: Test, ...more: string[]): string[] {
  const pem = join(t.testdir({ pem: '' }), 'pem')
  const cluster = [`--cluster-cert=${pem}`, `--cluster-key=${pem}`]
  return ['--mode=http-connect', '--uds-name=@frontend', '--server-port=0', ...cluster, ...more]
}
function valuesOf(argv: string[], environment: Environment = {}): ServerOptions {
  const result = read(argv, environment)
  if (result.ok !== true) throw new Error(JSON.stringify(result))
  return result.values
}
function problemsOf(argv: string[]): readonly string[] {
  const result = read(argv)
  return result.ok === false ? [...result.misread, ...result.problems] : []
}

t.test('has the names and defaults of konnectivity', async (t) => {
  const { serverId, ...values } = valuesOf(complete(t))
  t.match(serverId, /^[0-9a-f]{8}-[0-9a-f-]{27}$/)
  t.match(values, {
    udsName: '',
    deleteExistingUdsFile: true,
    serverPort: 8090,
    serverBindAddress: '',
    agentPort: 8091,
    agentBindAddress: '',
    adminPort: 8095,
    adminBindAddress: '127.0.0.1',
    healthPort: 8092,
    healthBindAddress: '',
    serverCount: 1,
    proxyStrategies: ['default'],
    tlsMinVersion: '',
    keepaliveTimeMs: 3_600_000,
    frontendKeepaliveTimeMs: 3_600_000,
    enableProfiling: false,
    enableContentionProfiling: false,
    agentNamespace: '',
    agentServiceAccount: '',
    authenticationAudience: '',
    kubeconfig: '',
    kubeconfigQps: 0,
    kubeconfigBurst: 0,
    kubeApiContentType: 'application/vnd.kubernetes.protobuf',
    cipherSuites: [],
    xfrChannelSize: 10,
    frontendWriteChannelSize: 10,
    warnOnChannelLimit: true,
    enableLeaseController: false,
    leaseNamespace: 'kube-system',
    leaseLabel: 'k8s-app=konnectivity-server',
    gracefulShutdownTimeoutMs: 25_000,
    backendDialTimeoutMs: 30_000,
  })
})

t.test('has the limits of the protocol as its defaults', async (t) => {
  t.match(valuesOf(complete(t)), {
    maxMessageBytes: 4_194_304,
    maxPendingDialsPerStream: 10_000,
    maxPendingDialsPerFrontend: 10_000,
    maxConnectionsPerStream: 100_000,
    connectHeadBytes: 16_384,
    connectHeadTimeoutMs: 10_000,
    earlyDataBytes: 65_536,
    tlsHandshakeTimeoutMs: 10_000,
    agentStreamTimeoutMs: 10_000,
    maxHeaderListBytes: 16_384,
    unknownFramesPerMinute: 1_000,
    handshakesPerSecond: 200,
    heartbeatTimeoutMs: 12_000,
    streamBufferBytes: 67_108_864,
    processBufferBytes: 268_435_456,
    maxStreamsPerIdentity: 5_000,
    maxFrontendConnections: 200_000,
    slowConsumerBytes: 655_360,
    slowConsumerTimeMs: 10_000,
    connectionBufferBytes: 4_194_304,
  })
})

t.test('gives every option a flag of its own', async (t) => {
  const flags = Object.entries(serverOptions).map(([key, option]) => flagOf(key, option))
  t.equal(new Set(flags).size, flags.length)
  t.ok(
    flags.includes('backend-dial-timeout') && flags.includes('max-message-bytes') && flags.includes('server-ca-cert'),
  )
})

t.test('takes its id from PROXY_SERVER_ID unless the flag says otherwise', async (t) => {
  t.equal(valuesOf(complete(t), { PROXY_SERVER_ID: 'pod-1' }).serverId, 'pod-1')
  t.equal(valuesOf(complete(t, '--server-id=me'), { PROXY_SERVER_ID: 'pod-1' }).serverId, 'me')
})

t.test('speaks either mode, grpc unless told otherwise', async (t) => {
  t.equal(valuesOf(complete(t, '--mode=grpc')).mode, 'grpc')
  t.equal(valuesOf(complete(t).filter((flag) => !flag.startsWith('--mode'))).mode, 'grpc')
  t.strictSame(problemsOf(complete(t, '--mode=socks')), [
    `mode must be set to either 'grpc' or 'http-connect' not "socks"`,
  ])
})

t.test('keeps to the ports that konnectivity allows, in its words', async (t) => {
  for (const name of ['server', 'agent', 'admin', 'health']) {
    t.strictSame(problemsOf(complete(t, `--${name}-port=1023`)), [
      `please do not try to use reserved port 1023 for the ${name} port`,
    ])
    t.strictSame(problemsOf(complete(t, `--${name}-port=49152`)), [
      `please do not try to use ephemeral port 49152 for the ${name} port`,
    ])
    t.strictSame(problemsOf(complete(t, `--${name}-port=1024`)), [])
    t.strictSame(problemsOf(complete(t, `--${name}-port=49151`)), [])
  }
})

t.test('takes port 0 as any free port, for the frontend only where --server-listen-any says so', async (t) => {
  const { agentPort, healthPort, adminPort } = valuesOf(
    complete(t, '--agent-port=0', '--health-port=0', '--admin-port=0'),
  )
  t.strictSame([agentPort, healthPort, adminPort], [0, 0, 0])
  t.strictSame(problemsOf(complete(t, '--server-port=0')), [
    'please do not try to use reserved port 0 for the server port',
  ])
  t.strictSame(problemsOf(complete(t, '--server-port=0', '--server-listen-any')), [])
  t.equal(
    valuesOf(complete(t, '--server-listen-any')).serverListenAny,
    true,
    'beside the default port, which is ignored',
  )
})

t.test('serves a Unix socket without port and without certificates', async (t) => {
  t.match(valuesOf(overSocket(t)), { udsName: '@frontend', serverPort: 0, serverCert: '' })
  const pem = join(t.testdir({ pem: '' }), 'pem')
  t.strictSame(problemsOf([...overSocket(t), '--server-port=8090', `--server-ca-cert=${pem}`, '--server-listen-any']), [
    'server port should be set to 0 not 8090 for UDS',
    'server ca cert should not be set for UDS',
    '--uds-name and --server-listen-any exclude each other',
  ])
})

t.test('needs certificates where it speaks TLS', async (t) => {
  t.strictSame(problemsOf(['--mode=http-connect']), [
    'server ca cert must be set when in TCP mode (uds-name is empty)',
    '--server-cert and --server-key must be set: the frontend over TCP speaks TLS only',
    '--cluster-cert and --cluster-key must be set: the agent port speaks TLS only',
  ])
})

t.test('reports a file that cannot be read beside all other mistakes', async (t) => {
  const missing = join(t.testdir(), 'missing.pem')
  t.strictSame(problemsOf(complete(t, `--cluster-key=${missing}`, '--agent-port=80', '--server-count=x')), [
    'invalid argument "x" for "--server-count" flag: expected a whole number',
    `error checking cluster key ${missing}, got stat ${missing}: no such file or directory`,
    'please do not try to use reserved port 80 for the agent port',
  ])
})

t.test('takes the strategies of konnectivity, in any order', async (t) => {
  t.strictSame(valuesOf(complete(t, '--proxy-strategies=default,')).proxyStrategies, ['default'])
  t.strictSame(valuesOf(complete(t, '--proxy-strategies=destHost,defaultRoute,default')).proxyStrategies, [
    'destHost',
    'defaultRoute',
    'default',
  ])
  t.strictSame(problemsOf(complete(t, '--proxy-strategies=')), ['ProxyStrategies cannot be empty'])
  t.strictSame(problemsOf(complete(t, '--proxy-strategies=default,random')), [
    'invalid proxy strategies: unknown proxy strategy: random',
  ])
})

t.test('asks for all three parts of agent authentication, or for none, and for no CA beside it', async (t) => {
  const withoutCa = complete(t, '--cluster-ca-cert=')
  const whole = ['--agent-namespace=kube-system', '--agent-service-account=agent', '--authentication-audience=server']
  t.strictSame(problemsOf([...withoutCa, ...whole]), [])
  t.strictSame(problemsOf(complete(t, ...whole)), [
    '--cluster-ca-cert can not be used when agent authentication is enabled',
  ])
  for (const [index, flag] of ['agent-namespace', 'agent-service-account', 'authentication-audience'].entries()) {
    t.strictSame(problemsOf([...withoutCa, ...whole.toSpliced(index, 1)]), [
      `--${flag} cannot be empty when agent authentication is enabled`,
    ])
  }
})

t.test('refuses the rest of what konnectivity refuses, in its words and in its order', async (t) => {
  const pem = join(t.testdir({ pem: '' }), 'pem')
  t.strictSame(
    problemsOf([
      ...overSocket(t),
      '--backend-dial-timeout=-1s',
      '--graceful-shutdown-timeout=-1.5s',
      '--enable-lease-controller',
      '--lease-label=a=b,c',
      '--cipher-suites=TLS_AES_128_GCM_SHA256,TLS_RSA_WITH_AES_128_CBC_SHA',
      '--frontend-write-channel-size=-1',
      '--xfr-channel-size=0',
      '--kubeconfig=/nonexistent/config',
      '--enable-contention-profiling',
      `--server-cert=${pem}`,
      `--cluster-cert=`,
    ]),
    [
      `cannot have server key empty when server cert is set to ${JSON.stringify(pem)}`,
      `cannot have cluster cert empty when cluster key is set to ${JSON.stringify(pem)}`,
      'server cert should not be set for UDS',
      'if --enable-contention-profiling is set, --enable-profiling must also be set',
      'checking KubeconfigPath "/nonexistent/config", got stat /nonexistent/config: no such file or directory',
      'channel size 0 must be greater than 0',
      'channel size -1 must be greater than 0',
      "cipher suite TLS_RSA_WITH_AES_128_CBC_SHA not supported, doesn't exist or considered as insecure",
      'invalid label format: c',
      'graceful-shutdown-timeout must be >= 0, got -1.5s',
      'backend-dial-timeout must be >= 0, got -1s',
    ],
  )
  t.strictSame(problemsOf(complete(t, '--enable-lease-controller', '--lease-label=')), ['empty string provided'])
  t.strictSame(problemsOf(complete(t, '--lease-label=')), [], 'who makes no leases may have no label')
})

t.test('refuses buffers that do not fit into each other, and a trust domain that is none', async (t) => {
  t.strictSame(
    problemsOf(complete(t, '--connection-buffer-bytes=65MiB', '--process-buffer-bytes=63MiB', '--trust-domain=A/b')),
    [
      '--trust-domain: expected lower-case letters, digits, dots, dashes and underscores, got "A/b"',
      '--connection-buffer-bytes must not be over --stream-buffer-bytes',
      '--stream-buffer-bytes must not be over --process-buffer-bytes',
    ],
  )
})

t.test('serves many clusters only when it can tell them apart', async (t) => {
  const multi = (...flags: string[]) => problemsOf(complete(t, '--tenancy=multi', ...flags))
  t.strictSame(multi('--clusters=clusters.yaml'), [])
  t.strictSame(multi(), ['--clusters must be set with --tenancy=multi'])
  t.strictSame(problemsOf(complete(t, '--clusters=clusters.yaml')), [
    '--clusters has no meaning without --tenancy=multi',
  ])
  t.strictSame(multi('--clusters=c', '--cluster-ca-cert='), [
    '--cluster-ca-cert, or --authentication-audience for tokens, must be set with --tenancy=multi: anyone could be an agent of any cluster',
  ])
  t.strictSame(
    multi('--clusters=c', '--cluster-ca-cert=', '--authentication-audience=hub'),
    [],
    'the clusters list users',
  )
  t.strictSame(multi('--clusters=c', '--authentication-audience=hub'), [], 'agents show a certificate and a token')
  t.strictSame(multi('--clusters=c', '--cluster-ca-cert=', '--agent-namespace=kube-system'), [
    '--authentication-audience cannot be empty when agent authentication is enabled',
  ])
  t.match(problemsOf(complete(t, '--tenancy=double')), [/expected one of single, multi/])
})

t.test('refuses an id that agents would not hear, and early bytes beyond the credit of a new connection', async (t) => {
  t.strictSame(problemsOf(complete(t, '--server-id=h\u00fc-0', '--early-data-bytes=131073')), [
    'invalid argument "131073" for "--early-data-bytes" flag: expected a size such as 512, 16KiB or 4MiB from 0B to 128KiB',
    '--server-id: expected 1 to 200 characters of printable ASCII without spaces at its ends, got "h\u00fc-0"',
  ])
  t.match(problemsOf(complete(t, '--server-id=')), [/^--server-id: expected 1 to 200 characters .*, got ""$/])
  t.match(problemsOf(complete(t, `--server-id=${'x'.repeat(201)}`)), [/^--server-id: .*, got "x{99}…$/])
  t.strictSame(problemsOf(complete(t, `--server-id=${'x'.repeat(200)}`)), [])
  t.strictSame(problemsOf(complete(t, '--server-id=hub 0', '--early-data-bytes=128KiB')), [])
})

t.test('refuses every limit below its range', async (t) => {
  const off = ['early-data-bytes', 'max-lanes-per-agent', 'unknown-frames-per-minute']
  for (const [key, option] of Object.entries(limitOptions)) {
    const flag = flagOf(key, option)
    const low = off.includes(flag) ? '-1' : '0'
    t.match(
      problemsOf(complete(t, `--${flag}=${low}`)),
      [new RegExp(`^invalid argument "${low}" for "--${flag}" flag: expected`)],
      flag,
    )
  }
})

t.test('refuses a folder of join tokens that is none, and warns of one that is still to be made', async (t) => {
  const folder = temporaryFolder(t)
  const pem = join(folder, 'pem')
  writeFileSync(pem, '')
  mkdirSync(join(folder, 'tokens'))
  const tokensIn = (name: string) =>
    complete(t, `--enrolment-ca-cert=${pem}`, `--enrolment-ca-key=${pem}`, `--join-tokens=${join(folder, name)}`)
  t.strictSame(problemsOf(tokensIn('pem')), [`--join-tokens: expected a folder that can be read, got ${pem}`])
  t.strictSame(problemsOf(tokensIn('later')), [])
  t.match(serverWarnings(valuesOf(tokensIn('later'))), [/^--join-tokens: there is no folder .*later yet: /])
  t.strictSame(serverWarnings(valuesOf(tokensIn('tokens'))), [])
})

t.test('warns of what it accepts but should not be', async (t) => {
  t.strictSame(serverWarnings(valuesOf(complete(t, '--tls-min-version=VersionTLS13'))), [])
  t.strictSame(serverWarnings(valuesOf(complete(t, '--tls-min-version=VersionTLS10', '--cluster-ca-cert='))), [
    '--tls-min-version=VersionTLS10 means TLS 1.2 here: older versions are not spoken',
    'without --cluster-ca-cert or --agent-namespace anyone who reaches the agent port may be an agent',
  ])
  t.match(problemsOf(complete(t, '--tls-min-version=TLS13')), [
    'unsupported TLS version "TLS13", supported values are: VersionTLS10, VersionTLS11, VersionTLS12, VersionTLS13',
  ])
})

t.test('front doors are addresses and ranges, and who takes everybody for one is warned', async (t) => {
  const given = (...ranges: string[]): string[] =>
    complete(t, ...ranges.map((range) => `--proxy-protocol-from=${range}`))
  t.strictSame(problemsOf(given('192.0.2.1,2001:db8::/64', '10.0.0.0/8')), [])
  t.strictSame(serverWarnings(valuesOf(given('10.0.0.0/8'))), [])
  t.match(problemsOf(given('10.0.0.1/8', '192.0.2.1', 'door')), [
    '--proxy-protocol-from: expected addresses and ranges such as 192.0.2.0/24, got "10.0.0.1/8", "door"',
  ])
  t.match(serverWarnings(valuesOf(given('0.0.0.0/0'))), [/everybody for a front door/])
})

t.test('explains every flag in its help', async (t) => {
  const help = helpText(serverOptions, { program: 'proxy-server', summary: 'Serves.' })
  for (const [key, option] of Object.entries(serverOptions)) t.match(help, `--${flagOf(key, option)}`)
  t.ok(help.indexOf('--server-cert') < help.indexOf('Limits:'))
})

t.test('says of a limit what it is about in either mode', async (t) => {
  const both = ['maxMessageBytes', 'maxHeaderListBytes', 'unknownFramesPerMinute', 'maxFrontendConnections'] as const
  for (const key of both) t.match(serverOptions[key].help, /in grpc mode/i, key)
  const connect = ['connectHeadBytes', 'earlyDataBytes'] as const
  for (const key of connect) t.match(serverOptions[key].help, 'in http-connect mode', key)
})

t.test('takes a list of replicas from a file or from leases, and says what either needs', async (t) => {
  const file = import.meta.filename // any that can be read
  const leases = ['--enable-lease-controller', '--replica-server-name=hub-0.example']
  t.equal(valuesOf(complete(t)).replicaSettleTimeMs, 30_000)
  for (const flags of [[`--replicas-file=${file}`], leases, [...leases, '--replica-address=hub.example:443']]) {
    t.strictSame(problemsOf(complete(t, ...flags)), [])
  }
  for (const [flags, problem] of [
    [['--replicas-file=/nowhere'], /--replicas-file: expected a file that can be read/],
    [[`--replicas-file=${file}`, ...leases], /exclude each other/],
    [['--replica-server-name=hub-0.example'], /--replica-server-name needs --enable-lease-controller/],
    [['--enable-lease-controller', '--replica-server-name=10.0.0.1'], /expected a DNS name such as/],
    [['--replica-address=hub.example'], /--replica-address needs --replica-server-name/],
    [[...leases, '--replica-address=a b'], /--replica-address: expected host/],
  ] as const) {
    t.match(problemsOf(complete(t, ...flags)), [problem])
  }
})
