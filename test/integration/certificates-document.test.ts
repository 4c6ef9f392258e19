/**
 * docs/certificates.md as somebody new to it follows it, with the programs themselves: a CA, a token, an agent that joins and renews, a
 * revocation, and what is listed of all that; then certificates of OpenSSL, by the very lines of the document.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { readIdentity } from '../../src/pki/identity.ts'
import { type Pki, temporaryFolder } from './certificates.ts'
import { echoOver, endOf, openTunnel } from './client.ts'
import { within } from './deadline.ts'
import { launch, readPorts } from './program.ts'
import { echo, listenTarget } from './target.ts'

const ROOT = join(import.meta.dirname, '../..')
const DEADLINE_MS = 30_000
/** So that an agent renews while the test looks on, and the last third is long enough for what follows to find it revoked, not expired. */
const LIFETIME_MS = 18_000

const document = readFileSync(join(ROOT, 'docs/certificates.md'), 'utf8')
const blockWith = (text: string): string => document.split(/^```\w*\n/m).find((block) => block.includes(text)) ?? ''

type Ran = { readonly code: number; readonly said: string }

function runIn(folder: string, program: string, argv: readonly string[]): Promise<Ran> {
  return new Promise((resolve) => {
    execFile(program, argv, { cwd: folder, timeout: DEADLINE_MS }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), said: stdout + stderr }),
    )
  })
}

t.test('from a token to an agent, its renewal and its revocation', { timeout: 120_000 }, async (t) => {
  const folder = temporaryFolder(t)
  const file = (name: string): string => join(folder, name)
  const culvert = (...argv: string[]): Promise<Ran> =>
    runIn(folder, process.execPath, [join(ROOT, 'src/cli/culvert.ts'), ...argv])
  const does = async (line: string): Promise<string> => {
    const { code, said } = await culvert(...line.split(' ').slice(1))
    t.equal(code, 0, `${line}\n${said}`)
    return said
  }
  await does('culvert pki init --trust-domain hub.example')
  await does('culvert pki issue server hub-0 --dns hub.example --ip 127.0.0.1')
  await does('culvert pki issue apiserver --cluster eu-1')
  await does('culvert pki crl --refresh')
  const ports = ['server', 'cluster'].flatMap((port) => [
    `--${port}-cert=${file('pki/hub-0.crt')}`,
    `--${port}-key=${file('pki/hub-0.key')}`,
    `--${port}-ca-cert=${file('pki/ca.crt')}`,
    `--${port}-crl-file=${file('pki/crl.pem')}`,
  ])
  const server = launch(t, {
    name: 'proxy-server',
    flags: [
      ...ports,
      `--enrolment-ca-cert=${file('pki/ca.crt')}`,
      `--enrolment-ca-key=${file('pki/ca.key')}`,
      `--join-tokens=${file('pki/join-tokens')}`,
      `--enrolment-lifetime=${LIFETIME_MS}ms`,
      '--mode=http-connect',
      '--server-listen-any',
      `--ports-file=${file('ports')}`,
      '--agent-port=0',
      '--health-port=0',
      '--admin-port=0',
    ],
  })
  await server.logged('serving')
  const { agent: agentPort = 0, server: frontendPort = 0 } = readPorts(file('ports'))
  const made = await does('culvert token create --cluster eu-1 --name eu-1-a --ttl 15m --out join-token')
  t.match(made, /for agent eu-1-a of cluster eu-1/)
  mkdirSync(file('state'))
  const agentFlags = (token: string, state: string): string[] => [
    '--proxy-server-host=127.0.0.1',
    `--proxy-server-port=${agentPort}`,
    `--join-token-file=${file(token)}`,
    `--agent-cert=${file(`${state}/agent.crt`)}`,
    `--agent-key=${file(`${state}/agent.key`)}`,
    `--ca-cert=${file(`${state}/ca.crt`)}`,
    '--health-server-port=0',
    '--admin-server-port=0',
  ]
  const agent = launch(t, { name: 'proxy-agent', flags: agentFlags('join-token', 'state') })
  await Promise.all([agent.logged('connected'), server.logged('agent connected')])
  const target = await listenTarget(t, echo)
  const leaf = {
    cert: readFileSync(file('pki/apiserver.crt'), 'utf8'),
    key: readFileSync(file('pki/apiserver.key'), 'utf8'),
  }
  const pki = {
    apiserver: { ...leaf, certFile: '', keyFile: '' },
    authority: { certificatePem: readFileSync(file('pki/ca.crt'), 'utf8') },
  } as unknown as Pki
  const client = { pki, transport: 'tls', frontendPort } as Parameters<typeof openTunnel>[0]
  const tunnel = await openTunnel(client, target.address)
  await echoOver(tunnel, 'by an agent that joined')
  t.match(await does('culvert token list'), /^\w+ +used +eu-1 +eu-1-a /m)
  await agent.logged('certificate renewed')
  await server.logged('agent shows a new certificate')
  await echoOver(tunnel, 'after a renewal')
  t.match(
    await does('culvert pki list pki state'),
    /good +agent eu-1-a of cluster eu-1 in hub\.example +state\/agent\.crt$/m,
  )
  t.match(await culvert('pki', 'list', '--within', '1d', 'state'), { code: 1, said: /state\/agent\.crt/ })

  const cut = endOf(tunnel)
  t.match(await does('culvert pki revoke state/agent.crt'), /^Revoked: agent eu-1-a .*, and all of its family, /m)
  await within(cut, 'who is revoked is out', 5_000)
  t.match(await agent.logged('could not connect'), { reason: /it was revoked/ })
  t.match(await does('culvert pki list pki state'), /revoked +agent eu-1-a .*state\/agent\.crt$/m)
  t.match(await does('culvert pki crl'), /\b2 revoked\b|\b1 revoked\b/)
  mkdirSync(file('other'))
  const again = launch(t, { name: 'proxy-agent', flags: agentFlags('join-token', 'other') })
  t.match(await again.ended, { code: 1 }, 'the token was for one')
})

t.test('the lines for OpenSSL make what a hub takes, and those for cert-manager name an agent', async (t) => {
  const folder = temporaryFolder(t)
  const culvert = (...argv: string[]): Promise<Ran> =>
    runIn(folder, process.execPath, [join(ROOT, 'src/cli/culvert.ts'), ...argv])
  const lines = blockWith('openssl req').replace(/^openssl ca .*$/m, '')
  const ca = 'openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=elsewhere -days 30 -keyout ca.key -out ca.crt 2>&1'
  writeFileSync(join(folder, 'make.sh'), `set -e\n${ca}\n${lines}`)
  const { code, said } = await runIn(folder, 'sh', ['make.sh'])
  t.equal(code, 0, said)
  const expected = ['--trust-domain', 'hub.example', '--role', 'agent', '--cluster', 'eu-1', '--name', 'eu-1-a']
  const verified = await culvert('pki', 'verify', 'agent.crt', '--key', 'agent.key', '--ca', 'ca.crt', ...expected)
  t.equal(verified.code, 0, verified.said)

  const { spec } = parse(blockWith('cert-manager.io/v1'))
  t.match(readIdentity(`URI:${spec.uris[0]}`, 'hub.example'), { role: 'agent', cluster: 'eu-1', name: 'eu-1-a' })
  t.strictSame(spec.usages, ['client auth'])
})
