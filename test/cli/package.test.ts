/** What users get who install Culvert by npm instead of cloning it. One package for all tests: it takes npm ten seconds. */
import { execFile } from 'node:child_process'
import { copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { basename, delimiter, join } from 'node:path'
import { promisify } from 'node:util'
import t from 'tap'
import { createScene } from '../../demo/scene.ts'
import { ADDRESS, type Certificates, TRUST_DOMAIN } from '../../demo/steps/certificates.ts'
import { awaitAgent, awaitHeartbeat } from '../../demo/steps/fleet.ts'
import { startPrivateService } from '../../demo/steps/private-service.ts'
import { startAgent, startServer } from '../../demo/steps/programs.ts'
import { requestThroughTunnel } from '../../demo/steps/tunnel.ts'
import { filesOf } from '../../src/pki/store.ts'
import { barePath } from './bare-path.ts'
import { environmentWithNode, install, type Packed, pack, temporaryFolder } from './package-install.ts'

const CHECKOUT = join(import.meta.dirname, '../..')
const DEADLINE_MS = 30_000
const MIB = 1024 * 1024

type Ended = { readonly code: number | string | null | undefined; readonly stdout: string; readonly stderr: string }

const folder = temporaryFolder(t)
let packed: Packed
let bin: string

t.before(async () => {
  packed = await pack(folder, 'dist/cli/of-an-earlier-build.js')
  bin = await install(folder, packed)
})

function run(program: string, argv: readonly string[], env = environmentWithNode()): Promise<Ended> {
  return new Promise((resolve) => {
    execFile(join(bin, program), argv, { cwd: folder, env, timeout: DEADLINE_MS }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : error.code, stdout, stderr }),
    )
  })
}

t.test('holds the programs as JavaScript, launchers, samples and documents, and nothing else', async (t) => {
  const documents = /^(LICENSE|README\.md|CHANGELOG\.md|SECURITY\.md|docs\/.+)$/
  const sources = readdirSync(join(CHECKOUT, 'src'), { recursive: true, encoding: 'utf8' })
  const programs = sources.filter((path) => path.endsWith('.ts')).map((path) => `dist/${path.replace(/\.ts$/, '.js')}`)
  t.strictSame(
    packed.files.filter((path) => !documents.test(path)),
    [
      ...['bin/culvert', 'bin/launch.sh', 'bin/proxy-agent', 'bin/proxy-server'],
      ...['', '-grpc', '-uds'].map((way) => `config/egress-selector${way}.yaml`),
      ...['agent', 'server'].map((role) => `config/rbac-proxy-${role}.yaml`),
      ...['clusters', 'policy'].map((of) => `config/${of}.schema.json`),
      ...['agent-', ''].map((whose) => `config/${whose}policy.yaml`),
      ...['schema.json', 'yaml'].map((end) => `config/sni-router.${end}`),
      ...['package.json', ...programs],
    ].sort(),
  )
  for (const document of ['LICENSE', 'README.md']) t.ok(packed.files.includes(document), document)
  t.ok(packed.bytes < MIB / 2, `${packed.bytes} bytes`)
  t.ok(packed.unpackedBytes < 2 * MIB, `${packed.unpackedBytes} bytes unpacked`)
})

t.test('is packed without leaving a build in the checkout', async (t) => {
  t.strictSame(packed.left, [])
})

t.test('gives the three programs, which know their version and their flags', async (t) => {
  const { version } = JSON.parse(readFileSync(join(CHECKOUT, 'package.json'), 'utf8'))
  for (const program of ['culvert', 'proxy-server', 'proxy-agent']) {
    t.strictSame(await run(program, ['--version']), { code: 0, stdout: `${program} ${version}\n`, stderr: '' })
    const help = await run(program, ['--help'])
    t.equal(help.code, 0)
    t.match(help.stdout, `Usage: ${program} `)
  }
})

t.test('runs with the Node that npm brought along, or says how npm brings it', async (t) => {
  // From npm 12 on no install script runs unasked, and it is such a script that puts Node into its package.
  const { stdout, stderr } = await run('culvert', ['--version'], { PATH: barePath(folder) })
  t.match(
    stdout + stderr,
    /^culvert \d+\.\d+\.\d+\n$|^culvert: needs [^\n]* approve node && npm rebuild node' in [^\n]*\n$/,
  )
})

t.test('stands where konnectivity’s programs do in the image of docs/migration.md', async (t) => {
  const document = readFileSync(join(CHECKOUT, 'docs/migration.md'), 'utf8')
  const [, recipe = ''] = /```dockerfile\n([\s\S]*?)```/.exec(document) ?? []
  const [, copied = '', script = ''] = /^FROM node:24-slim\nCOPY (\S+) \/\nRUN ([\s\S]+)$/.exec(recipe) ?? []
  t.equal(copied, basename(packed.file))
  const root = join(folder, 'image')
  const path = join(root, 'bin')
  mkdirSync(path, { recursive: true })
  copyFileSync(packed.file, join(root, copied))
  // npm has installed this package above, and takes long: here it only puts the links where it would.
  const npm = ['#!/bin/sh', '[ "$1 $2" = "install --global" ] && [ -f "$4" ] || exit 1', `ln -s "${bin}"/* "${path}"`]
  writeFileSync(join(path, 'npm'), npm.join('\n'), { mode: 0o755 })
  const env = { ...environmentWithNode(), PATH: [path, process.env.PATH].join(delimiter) }
  await promisify(execFile)('sh', ['-c', script.replaceAll(/ \/(?=culvert|proxy)/g, ` ${root}/`)], { env })
  t.strictSame(readdirSync(root).sort(), ['bin', 'proxy-agent', 'proxy-server'])
  for (const program of ['proxy-server', 'proxy-agent']) {
    const { stdout } = await promisify(execFile)(join(root, program), ['--version'], { env: environmentWithNode() })
    t.match(stdout, `${program} `)
  }
})

t.test('carries a request from end to end, with certificates that it made itself', async (t) => {
  const controller = new AbortController()
  await using resources = new AsyncDisposableStack()
  const launchers = { folder: bin, env: environmentWithNode() }
  const scene = resources.use(createScene(controller, new Map(), launchers))
  const dir = join(scene.folder, 'pki')
  for (const argv of [
    ['init', '--trust-domain', TRUST_DOMAIN],
    ['issue', 'server', 'server', '--ip', ADDRESS],
    ['issue', 'agent', 'agent'],
    ['issue', 'user', 'user'],
  ]) {
    t.match(await run('culvert', ['pki', ...argv, '--dir', dir]), { code: 0 }, argv.join(' '))
  }
  const certificates: Certificates = {
    ca: filesOf(dir, 'ca'),
    server: filesOf(dir, 'server'),
    agent: filesOf(dir, 'agent'),
    user: filesOf(dir, 'user'),
  }
  const service = resources.use(await startPrivateService())
  const { ports } = resources.use(await startServer(scene, certificates))
  resources.use(await startAgent(scene, certificates, ports.agent ?? 0))
  await awaitAgent(scene, ports.admin ?? 0)
  t.match(await requestThroughTunnel(scene, certificates, ports.server ?? 0, service), {
    connect: { status: 200 },
    service: { status: 200, body: /^Hello from the private service: connection 1, / },
  })
  const { agent } = await awaitHeartbeat(scene, ports.admin ?? 0, service)
  t.match(agent, { agentId: 'demo-agent', health: { agentVersion: /^\d/ } })
})
