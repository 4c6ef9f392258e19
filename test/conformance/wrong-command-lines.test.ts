/** Wrong command lines, given to konnectivity's programs and to ours: the same first sentence, the same exit code. */
import { join } from 'node:path'
import t from 'tap'
import { problemText } from '../../src/platform/option-help.ts'
import { type OptionTable, type Rule, readOptions, type Values } from '../../src/platform/options.ts'
import { agentRules } from '../../src/proxy-agent/option-rules.ts'
import { agentOptions } from '../../src/proxy-agent/options.ts'
import { serverRules } from '../../src/proxy-server/option-rules.ts'
import { serverOptions } from '../../src/proxy-server/options.ts'
import { program } from '../programs/programs.ts'
import { errorsIn, refusalOf } from './command-line.ts'

const entry = (role: string): string => join(import.meta.dirname, '../../src/cli', `proxy-${role}.ts`)

/** What a program of ours prints about a command line. */
function answerOf<Table extends OptionTable>(role: 'server' | 'agent', table: Table, rules: Rule<Values<Table>>[]) {
  return (argv: readonly string[]): string => {
    const read = readOptions(table, argv, rules)
    return read.ok === false ? problemText(role, read) : ''
  }
}
const roles = [
  { role: 'server', name: 'proxy-server', answer: answerOf('server', serverOptions, serverRules) },
  { role: 'agent', name: 'proxy-agent', answer: answerOf('agent', agentOptions, agentRules) },
] as const

/** Command lines with a mistake, or several. */
const folder = t.testdir({ pem: '', config: '' })
const pem = join(folder, 'pem')
const gone = join(folder, 'gone')
const onSocket = [`--uds-name=${join(folder, 's')}`, '--server-port=0', `--cluster-cert=${pem}`, `--cluster-key=${pem}`]
const onTcp = ['cert', 'key', 'ca-cert'].flatMap((kind) => [`--server-${kind}=${pem}`, `--cluster-${kind}=${pem}`])
const withToken = ['--agent-namespace=a', '--agent-service-account=b', '--authentication-audience=c']
const both: readonly string[][] = [
  ['--no-such-flag'],
  ['--no-such-flag=1', '--keepalive-time=x'],
  ['-z'],
  ['-zv'],
  ['--=x'],
  ['---'],
  ['--log_file=x'],
  ['--kubeconfig'],
  ['-v'],
  ['stray', '--no-such-flag', '--', '--help'],
  ['--help=false', '--no-such-flag'],
  ['-h=false', '-z'],
]
const wrong: Readonly<Record<'server' | 'agent', readonly (readonly string[])[]>> = {
  server: [
    ...both,
    [],
    ['--mode=socks', ...onTcp],
    ['--mode=', ...onSocket],
    [...onTcp, `--server-key=${gone}`],
    [...onTcp, `--server-cert=${gone}`, `--cluster-key=${gone}`],
    [...onTcp, `--server-ca-cert=${gone}`],
    [...onTcp, `--cluster-key=${gone}`],
    [...onTcp, `--cluster-cert=${gone}`],
    [...onTcp, `--cluster-ca-cert=${gone}`],
    [...onTcp, '--server-key='],
    [...onTcp, '--server-cert='],
    [...onTcp, '--server-ca-cert='],
    [...onTcp, '--cluster-key='],
    [...onTcp, '--cluster-cert='],
    [...onSocket, '--server-port=8090'],
    [...onSocket, ...onTcp],
    [...onSocket, `--server-ca-cert=${pem}`],
    ...['server', 'agent', 'admin', 'health'].flatMap((port) =>
      ['1023', '49152', '-1', '70000'].map((value) => [...onTcp, `--${port}-port=${value}`]),
    ),
    ...['010', '1_0', '0x_50', '0X1f', '0b11', '0o17', '0O17', '0_1', '-0x1', '+0_7', '0xfFFF_F'].map((value) => [
      ...onTcp,
      `--agent-port=${value}`,
    ]),
    ['--help=0'],
    ['-h=false'],
    [...onTcp, '--server-port=0'],
    [...onTcp, '--agent-port=80', '--server-port=60000'],
    [...onTcp, '--enable-contention-profiling'],
    [...onTcp, ...withToken],
    ...withToken.map((flag) => [...onSocket, flag]),
    ...withToken.map((flag) => [...onSocket, ...withToken.filter((other) => other !== flag)]),
    [...onTcp, `--kubeconfig=${gone}`],
    [...onTcp, '--proxy-strategies='],
    [...onTcp, '--proxy-strategies=default,random,destHost'],
    [...onTcp, '--proxy-strategies=destHost, default'],
    [...onTcp, '--proxy-strategies= '],
    [...onTcp, '--proxy-strategies=,'],
    [...onTcp, '--proxy-strategies=default', '--proxy-strategies='],
    [...onTcp, '--proxy-strategies=random', '--proxy-strategies=default', '--server-port=1'],
    [...onTcp, '--xfr-channel-size=0'],
    [...onTcp, '--xfr-channel-size=-5'],
    [...onTcp, '--tls-min-version=TLS12'],
    [...onTcp, '--cipher-suites=TLS_AES_128_GCM_SHA256,TLS_RSA_WITH_RC4_128_SHA,x'],
    [...onTcp, '--cipher-suites', 'x', '--cipher-suites=y'],
    [...onTcp, '--cipher-suites=TLS_AES_128_GCM_SHA256, TLS_AES_256_GCM_SHA384'],
    [...onTcp, '--cipher-suites=TLS_AES_128_GCM_SHA256,'],
    [...onTcp, '--cipher-suites=,'],
    [...onTcp, '--cipher-suites="x,y",z'],
    [...onTcp, '--cipher-suites="x""y"'],
    [...onTcp, '--cipher-suites=', '--cipher-suites=y'],
    [...onTcp, '--cipher-suites="TLS_AES_128_GCM_SHA256"\n', '--server-port=1'],
    ...['a=b,', 'a==b', ',a=b', ' '].map((label) => [...onTcp, '--enable-lease-controller', `--lease-label=${label}`]),
    [...onTcp, '--enable-lease-controller', '--lease-label=a=b,c'],
    [...onTcp, '--enable-lease-controller', '--lease-label='],
    [...onTcp, '--lease-label=', '--backend-dial-timeout=-1s'],
    [...onTcp, '--graceful-shutdown-timeout=-1s'],
    [...onTcp, '--backend-dial-timeout=-1h1.5s'],
  ],
  agent: [
    ...both,
    [`--agent-key=${gone}`],
    [`--agent-cert=${gone}`],
    [`--ca-cert=${gone}`],
    [`--agent-key=${pem}`],
    [`--agent-cert=${pem}`],
    ['--proxy-server-port=0'],
    ['--proxy-server-port=-1'],
    ['--proxy-server-port=-0x1'],
    ['--proxy-server-port=0b0'],
    ['--health-server-port=-1'],
    ['--admin-server-port=-1'],
    ['--xfr-channel-size=0'],
    ['--enable-contention-profiling'],
    ['--sync-interval=11s'],
    ['--sync-interval=1h0m0.5s', '--sync-interval-cap=90s'],
    [`--service-account-token-path=${gone}`],
    ['--agent-identifiers=ipv4=10.0.0.1&mac=1'],
    ['--agent-identifiers=host=a;ipv4=b'],
    ['--agent-identifiers=host=%zz'],
    ['--agent-identifiers=h%o=a'],
    ['--agent-identifiers=host=%4'],
    [`--kubeconfig=${gone}`],
    ['--server-count-source=min'],
    ['--xfr-channel-size=0', '--proxy-server-port=0', `--agent-key=${gone}`],
  ],
}
/** Values that are not of their type: the flag and the value are named in the same words, what was expected in our own. */
const unreadable: Readonly<Record<'server' | 'agent', readonly string[]>> = {
  server: [
    '--server-port=x',
    '--delete-existing-uds-file=maybe',
    '--keepalive-time=5',
    '--kubeconfig-qps=many',
    '-v=x',
    '-vx',
    '--v=',
    '-v=',
    ...['0x3', '1_0', '2147483648', '-2147483649'].map((value) => `-v=${value}`),
    ...['', ' 5', '08', '0x', '0_', '1_', '_1', '1__0', '0x5__0', '9223372036854775808', '-9223372036854775809'].map(
      (value) => `--server-count=${value}`,
    ),
    '--help=x',
    '-h=x',
    '--help=',
    '--cipher-suites=a"b',
    '--cipher-suites="a',
    '--cipher-suites="a"b',
    '--cipher-suites= "a"',
  ],
  agent: [
    '--proxy-server-port=1.5',
    '--sync-forever=2',
    '--sync-interval=',
    '--vmodule=x',
    '--stderrthreshold=x',
    '--log-file-max-size=-1',
    '--log-file-max-size=+1',
    '--log-file-max-size=0x',
    '--log-file-max-size=18446744073709551616',
    '--stderrthreshold=0x1',
    '--stderrthreshold=99999999999',
    '--vmodule=a=-1',
    '--vmodule=a=0x1',
    '--vmodule=a=99999999999',
    '--alpn-proto=a"b',
    '--log-backtrace-at=x',
  ],
}

for (const { role, name, answer } of roles) {
  const stock = await program(`konnectivity-${role}`)
  t.test(`${name} refuses a wrong command line with the text of konnectivity`, async (t) => {
    for (const argv of wrong[role]) {
      const theirs = await refusalOf(stock, argv)
      const shown = argv.join(' ').replaceAll(folder, '')
      t.match(theirs, { code: 1, errors: { length: 1 } }, shown)
      t.equal(errorsIn(answer(argv))[0], theirs.errors[0], shown)
    }
  })
  t.test(`${name} names a value that cannot be read as konnectivity does`, async (t) => {
    const upToFlag = (line = ''): string => line.replace(/(" flag: ).*$/, '$1')
    for (const flag of unreadable[role]) {
      const { errors } = await refusalOf(stock, [flag])
      t.match(errors, [/^invalid argument ".*" for ".*" flag: /], flag)
      t.equal(upToFlag(errorsIn(answer([flag]))[0]), upToFlag(errors[0]), flag)
    }
  })
  t.test(`${name} shows its help for the same words as konnectivity`, async (t) => {
    for (const argv of [['--help=true'], ['-h=1'], ['--help=false', '-h'], ['-hv3'], ['--help', '--v=0']]) {
      const [theirs, ours] = await Promise.all([
        refusalOf(stock, argv),
        refusalOf(process.execPath, [entry(role), ...argv]),
      ])
      const shown = { code: 0, errors: [] }
      t.strictSame([theirs, ours], [shown, shown], argv.join(' '))
    }
  })
  t.test(`${name} ends with the code of konnectivity, having said so`, async (t) => {
    for (const argv of [['--no-such-flag'], wrong[role].at(-1) ?? []]) {
      const theirs = await refusalOf(stock, argv)
      const ours = await refusalOf(process.execPath, [entry(role), ...argv])
      t.strictSame([ours.code, ours.errors[0]], [theirs.code, theirs.errors[0]])
    }
  })
}
