/** Flags that are wrong: every mistake at once, exit code 1, and nothing listens, connects or is written before. */
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { DAY_MS } from '../../src/pki/lifetime.ts'
import { agentOptions } from '../../src/proxy-agent/options.ts'
import { serverOptions } from '../../src/proxy-server/options.ts'
import { makePki } from './certificates.ts'
import { within } from './deadline.ts'
import { launch } from './program.ts'
import { listenTarget, silent } from './target.ts'
import { agentPortFlags, frontendFlags } from './tunnel.ts'

const pki = await makePki(t)
const file = (name: string): string => join(pki.folder, name)
type Name = 'proxy-server' | 'proxy-agent'

/** The lines of a program that must refuse to start. */
async function refusal(t: Test, name: Name, flags: readonly string[]): Promise<readonly string[]> {
  const program = launch(t, { name, flags })
  t.strictSame(await within(program.ended, 'its end'), { code: 1, signal: null })
  t.strictSame(
    program.log.filter(({ msg }) => msg === 'serving' || msg === 'running'),
    [],
    'it never ran',
  )
  return program.lines
}

const has = (lines: readonly string[], part: string): boolean => lines.some((line) => line.includes(part))

const goodServer = ['--mode=http-connect', '--server-listen-any', '--agent-port=0', '--health-port=0', '--admin-port=0']
const goodAgent = ['--health-server-port=0', '--admin-server-port=0', `--ca-cert=${pki.caFile}`]

/** A value that no flag of this kind takes, by what its help calls for. */
const OUT_OF_RANGE: Readonly<Record<string, string>> = {
  number: 'many',
  port: '70000',
  duration: '-5s',
  size: '-1',
  file: '/nonexistent/file.pem',
  boolean: 'perhaps',
}
/** What konnectivity says of such a value, where that does not name the flag. */
const SAYS: Readonly<Record<string, string>> = {
  serverCert: 'error checking server cert',
  serverKey: 'error checking server key',
  serverCaCert: 'error checking server CA cert',
  clusterCert: 'error checking cluster cert',
  clusterKey: 'error checking cluster key',
  clusterCaCert: 'error checking cluster CA cert',
  agentCert: 'error checking agent cert',
  agentKey: 'error checking agent key',
  caCert: 'error checking agent CA cert',
  serviceAccountTokenPath: 'error checking service account token path',
  kubeconfig: 'checking KubeconfigPath',
  tlsMinVersion: 'unsupported TLS version',
  gracefulShutdownTimeoutMs: 'graceful-shutdown-timeout must be >= 0',
  backendDialTimeoutMs: 'backend-dial-timeout must be >= 0',
}
const flagOf = (name: string, flag?: string): string =>
  flag ?? `--${name.replace(/(?:Ms)$/, '').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`

for (const [name, options] of [
  ['proxy-server', serverOptions],
  ['proxy-agent', agentOptions],
] as const) {
  t.test(`${name} names every flag that is out of range, at once`, async (t) => {
    const wrong = Object.entries(options).flatMap(([key, option]) => {
      const { takes, flag } = option as { takes?: string; flag?: string }
      const value = takes?.includes('|') ? 'none-of-them' : OUT_OF_RANGE[takes ?? 'boolean']
      return value === undefined ? [] : [{ flag: flagOf(key, flag), value, says: SAYS[key] ?? flagOf(key, flag) }]
    })
    t.ok(wrong.length > 15, `${wrong.length} flags`)
    const lines = await refusal(
      t,
      name,
      wrong.map(({ flag, value }) => `${flag}=${value}`),
    )
    for (const { says } of wrong) t.ok(has(lines, says), says)
  })
}

t.test('proxy-server names all its files that are missing, unreadable or folders, at once', async (t) => {
  mkdirSync(file('folder'), { recursive: true })
  const lines = await refusal(t, 'proxy-server', [
    ...goodServer,
    `--server-cert=${file('missing.crt')}`,
    `--server-key=${file('missing.key')}`,
    `--server-ca-cert=${file('folder')}`,
    ...agentPortFlags(pki).slice(0, 2),
    `--cluster-ca-cert=${file('gone.crt')}`,
  ])
  for (const what of ['server cert', 'server key', 'cluster CA cert']) t.ok(has(lines, `error checking ${what}`), what)
  t.ok(has(lines, '--server-ca-cert'))
  t.notOk(has(lines, 'cluster cert'))
})

t.test('proxy-server names all its files that hold the wrong thing, at once, and shows nothing of a key', async (t) => {
  writeFileSync(file('empty'), '')
  writeFileSync(file('secret.key'), '-----BEGIN PRIVATE KEY-----\ncanary\n-----END PRIVATE KEY-----\n')
  const lines = await refusal(t, 'proxy-server', [
    ...goodServer,
    `--server-cert=${file('empty')}`,
    `--server-key=${file('secret.key')}`,
    `--server-ca-cert=${pki.caFile}`,
    `--cluster-cert=${pki.server.certFile}`,
    `--cluster-key=${pki.agent.keyFile}`,
    `--cluster-ca-cert=${pki.server.keyFile}`,
  ])
  t.ok(has(lines, `--server-cert: ${file('empty')} holds no certificate`))
  t.ok(has(lines, `--server-key: ${file('secret.key')}`))
  t.ok(has(lines, `--cluster-key: ${pki.agent.keyFile} is not the key of the certificate`))
  t.ok(has(lines, `--cluster-ca-cert: ${pki.server.keyFile} holds no certificate`))
  t.notOk(has(lines, 'canary'))
})

t.test('proxy-agent names its files that cannot be used, and connects to nobody', async (t) => {
  let connected = 0
  const server = await listenTarget(t, () => connected++)
  const lines = await refusal(t, 'proxy-agent', [
    ...goodAgent.slice(0, 2),
    `--proxy-server-port=${server.port}`,
    `--ca-cert=${file('missing.crt')}`,
    `--agent-cert=${pki.agent.certFile}`,
    `--agent-key=${file('missing.key')}`,
  ])
  t.ok(has(lines, 'error checking agent CA cert'))
  t.ok(has(lines, 'error checking agent key'))
  t.equal(connected, 0)
})

const contradictions: readonly { name: Name; what: string; flags: string[]; says: string[] }[] = [
  {
    name: 'proxy-server',
    what: 'a mode that there is not, ports that are not for it, and no certificates',
    flags: ['--mode=socks', '--agent-port=80', '--admin-port=60000'],
    says: [
      "mode must be set to either 'grpc' or 'http-connect' not \"socks\"",
      'please do not try to use reserved port 80 for the agent port',
      'please do not try to use ephemeral port 60000 for the admin port',
      'server ca cert must be set when in TCP mode',
      '--server-cert and --server-key must be set',
      '--cluster-cert and --cluster-key must be set',
    ],
  },
  {
    name: 'proxy-server',
    what: 'a Unix socket and TCP at once',
    flags: [...goodServer, ...frontendFlags(pki), ...agentPortFlags(pki), '--uds-name=/nonexistent/socket'],
    says: ['--uds-name', '--server-listen-any exclude each other', 'server cert should not be set for UDS'],
  },
  {
    name: 'proxy-agent',
    what: 'heartbeats that can only be late, and half a certificate',
    flags: [
      '--heartbeat-interval=10s',
      '--heartbeat-timeout=15s',
      '--sync-interval=1m',
      `--agent-cert=${pki.agent.certFile}`,
      '--agent-identifiers=planet=mars',
      '--proxy-server-host=',
    ],
    says: [
      '--heartbeat-timeout must be at least twice --heartbeat-interval',
      'must be less than sync interval cap',
      'cannot have agent key empty',
      'agent address is invalid: unknown address type: planet',
      '--ca-cert must be set',
      '--proxy-server-host must not be empty',
    ],
  },
  {
    name: 'proxy-agent',
    what: 'a flag that there is not, and one without its value',
    flags: [...goodAgent, '--no-such-flag=1', '--agent-id'],
    says: ['--no-such-flag', '--agent-id'],
  },
]
for (const { name, what, flags, says } of contradictions) {
  t.test(`${name} says all that is wrong with ${what}`, async (t) => {
    const lines = await refusal(t, name, flags)
    for (const part of says) t.ok(has(lines, part), part)
  })
}

t.test('a port that is taken, and a folder that is not there, are named by their flags', async (t) => {
  const taken = await listenTarget(t, silent)
  const server = [
    ...goodServer.filter((flag) => flag !== '--agent-port=0'),
    ...frontendFlags(pki),
    ...agentPortFlags(pki),
  ]
  const agent = await refusal(t, 'proxy-agent', [
    `--ca-cert=${pki.caFile}`,
    '--health-server-host=127.0.0.1',
    `--health-server-port=${taken.port}`,
    '--admin-server-port=0',
  ])
  t.ok(has(agent, '--health-server-port: could not listen on 127.0.0.1'), agent.join())
  const ports = join(pki.folder, 'no', 'such', 'folder')
  t.ok(
    has(
      await refusal(t, 'proxy-server', [...server, '--agent-port=0', `--ports-file=${ports}`]),
      '--ports-file: could not write',
    ),
  )
})

t.test('a certificate that has expired is no reason not to start: its peers will say so', async (t) => {
  const expired = await pki.issue('expired', {
    identity: { role: 'agent', cluster: 'eu-1', name: 'old' },
    nowUnixMs: Date.now() - 2 * DAY_MS,
    lifetimeMs: DAY_MS,
  })
  chmodSync(expired.keyFile, 0o600)
  const agent = launch(t, {
    name: 'proxy-agent',
    flags: [
      ...goodAgent,
      `--agent-cert=${expired.certFile}`,
      `--agent-key=${expired.keyFile}`,
      '--proxy-server-port=1',
    ],
  })
  await agent.logged('running')
  t.pass()
})

t.test('the ports file says which ports were bound, and is gone afterwards', async (t) => {
  const portsFile = file('ports.json')
  const program = launch(t, {
    name: 'proxy-agent',
    flags: [...goodAgent, `--ports-file=${portsFile}`, '--proxy-server-port=1'],
  })
  await program.logged('running')
  t.ok(existsSync(portsFile))
  program.signal('SIGTERM')
  t.strictSame(await program.ended, { code: 0, signal: null })
  t.notOk(existsSync(portsFile))
})
