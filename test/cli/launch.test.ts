/**
 * The launchers in `bin/`, on machines that differ in their Node: copies of them in folders of their own, with programs
 * and Nodes that only say how they were started. Outside the checkout, whose own node package is above everything in it.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { barePath } from './bare-path.ts'

/** Of the lines of a fake Node: which file it was given to run. */
const ENTRY = 8

const CHECKOUT = join(import.meta.dirname, '../..')
const PROGRAMS = ['culvert', 'proxy-server', 'proxy-agent']
const DEADLINE_MS = 30_000

type Machine = {
  readonly folder: string
  /** A folder on the path, which holds what the launchers need of a system and no Node. */
  readonly path: string
}

/** A machine without any Node, as the launchers see it. */
function machine(t: Test): Machine {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'culvert launch-')))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return { folder, path: barePath(folder) }
}

/** Puts the launchers, and programs of the given kind, into `root`. */
function install(root: string, kind: 'checkout' | 'package'): string {
  cpSync(join(CHECKOUT, 'bin'), join(root, 'bin'), { recursive: true })
  const [folder, ending] = kind === 'checkout' ? ['src/cli', '.ts'] : ['dist/cli', '.js']
  mkdirSync(join(root, folder), { recursive: true })
  for (const program of PROGRAMS) writeFileSync(join(root, folder, program + ending), '')
  return root
}

/** A Node that says who it is and how it was started, one fact a line. */
function fakeNode(file: string, version: string): string {
  mkdirSync(dirname(file), { recursive: true })
  const facts = `printf '%s\\n' "node $0" "pid $$" "threads $UV_THREADPOOL_SIZE" "cache \${NODE_COMPILE_CACHE-none}" "$@"`
  writeFileSync(file, `#!/bin/sh\nif [ "$1" = --version ]; then echo ${version}; exit; fi\n${facts}\n`)
  chmodSync(file, 0o755)
  return file
}

type Ended = {
  readonly pid: number | undefined
  readonly code: number
  readonly lines: readonly string[]
  readonly stderr: string
}
type How = { readonly env?: NodeJS.ProcessEnv; readonly cwd?: string; readonly argv?: readonly string[] }

async function run({ folder, path }: Machine, command: string, { env, cwd, argv }: How = {}): Promise<Ended> {
  const child = spawn(command, argv ?? [], {
    cwd: cwd ?? folder,
    env: { PATH: path, ...env },
    timeout: DEADLINE_MS,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const [[code], stdout, stderr] = await Promise.all([once(child, 'close'), text(child.stdout), text(child.stderr)])
  return { pid: child.pid, code, lines: stdout.split('\n').slice(0, -1), stderr }
}

t.test('becomes the Node that CULVERT_NODE names, whatever else there is', async (t) => {
  const here = machine(t)
  const root = install(join(here.folder, 'checkout'), 'checkout')
  fakeNode(join(root, 'node_modules/node/bin/node'), 'v26.0.0')
  const named = fakeNode(join(here.folder, 'named node'), 'v24.0.0')
  const { pid, code, lines } = await run(here, join(root, 'bin/proxy-agent'), {
    env: { CULVERT_NODE: named },
    argv: ['--ca-cert', 'a b', ''],
  })
  t.equal(code, 0)
  t.strictSame(lines, [
    `node ${named}`,
    `pid ${pid}`,
    'threads 32',
    `cache ${join(root, 'node_modules/.cache/culvert')}`,
    '--max-semi-space-size=32',
    '--external-memory-accounted-in-global-limit',
    '--initial-old-space-size=96',
    '--disable-sigusr1',
    join(root, 'src/cli/proxy-agent.ts'),
    ...['--ca-cert', 'a b', ''],
  ])
})

t.test('lets garbage grow to 96 MiB where there is memory, and not in a small container', async (t) => {
  const here = machine(t)
  const root = install(join(here.folder, 'checkout'), 'checkout')
  const named = fakeNode(join(here.folder, 'node'), 'v26.0.0')
  const env = { CULVERT_NODE: named, PATH: `${here.path}${delimiter}/usr/bin${delimiter}/bin` }
  for (const [limit, expected] of [
    ['max', true],
    [2 ** 40, true],
    [512 * 2 ** 20, true],
    [512 * 2 ** 20 - 4096, false],
    [128 * 2 ** 20, false],
  ] as const) {
    // What a container sees, as a mount of its own.
    const sees = `mount -t tmpfs none /sys/fs/cgroup && echo ${limit} > /sys/fs/cgroup/memory.max && exec "$0" a`
    const argv = ['--mount', 'sh', '-c', sees, join(root, 'bin/proxy-agent')]
    const { code, lines, stderr } = await run(here, 'unshare', { env, argv })
    t.equal(code, 0, stderr)
    t.equal(lines.includes('--initial-old-space-size=96'), expected, `of ${limit} bytes`)
    t.equal(lines.at(-1), 'a')
  }
})

t.test('leaves a thread pool alone that was sized already', async (t) => {
  const here = machine(t)
  const root = install(join(here.folder, 'checkout'), 'checkout')
  fakeNode(join(here.path, 'node'), 'v24.0.0')
  const { lines } = await run(here, join(root, 'bin/culvert'), { env: { UV_THREADPOOL_SIZE: '7' } })
  t.equal(lines[2], 'threads 7')
})

t.test('keeps what Node compiles of a checkout in its node_modules, unless somebody has said otherwise', async (t) => {
  const here = machine(t)
  fakeNode(join(here.path, 'node'), 'v24.0.0')
  const checkout = install(join(here.folder, 'checkout'), 'checkout')
  const inPackage = install(join(here.folder, 'project/node_modules/culvert'), 'package')
  const cache = async (root: string, env: NodeJS.ProcessEnv = {}): Promise<string | undefined> =>
    (await run(here, join(root, 'bin/culvert'), { env })).lines[3]
  t.equal(await cache(checkout), 'cache none', 'nothing is installed')
  for (const root of [checkout, inPackage]) mkdirSync(join(root, 'node_modules'))
  t.equal(await cache(checkout), `cache ${join(checkout, 'node_modules/.cache/culvert')}`)
  t.equal(await cache(checkout, { NODE_COMPILE_CACHE: '' }), 'cache ')
  t.equal(await cache(checkout, { NODE_V8_COVERAGE: here.folder }), 'cache none', 'coverage is measured')
  t.equal(await cache(inPackage), 'cache none', 'there is nothing to strip in a package')
})

t.test('refuses a CULVERT_NODE that is missing, no program or too old, though another Node would do', async (t) => {
  const here = machine(t)
  const root = install(join(here.folder, 'checkout'), 'checkout')
  fakeNode(join(here.path, 'node'), 'v26.0.0')
  const plain = join(here.folder, 'plain')
  writeFileSync(plain, 'not a program')
  const old = fakeNode(join(here.folder, 'old'), 'v23.11.1')
  const odd = fakeNode(join(here.folder, 'odd'), 'twenty-six')
  for (const named of [join(here.folder, 'missing'), here.folder, plain, old, odd]) {
    const { pid: _, ...ended } = await run(here, join(root, 'bin/culvert'), { env: { CULVERT_NODE: named } })
    const why = 'which is not Node.js 24 or newer or cannot be run: set it to the path of one'
    t.strictSame(ended, { code: 1, lines: [], stderr: `culvert: CULVERT_NODE is ${named}, ${why}\n` })
  }
})

t.test('takes the node package beside it, else above it, else the Node on the path', async (t) => {
  const here = machine(t)
  const root = install(join(here.folder, 'project/node_modules/culvert'), 'package')
  const chosen = async (): Promise<string | undefined> => (await run(here, join(root, 'bin/culvert'))).lines[0]

  const onPath = fakeNode(join(here.path, 'node'), 'v24.1.0')
  t.equal(await chosen(), `node ${onPath}`)
  const above = fakeNode(join(here.folder, 'project/node_modules/node/bin/node'), 'v26.0.0')
  t.equal(await chosen(), `node ${above}`)
  const beside = fakeNode(join(root, 'node_modules/node/bin/node'), 'v26.0.0')
  t.equal(await chosen(), `node ${beside}`)
})

t.test('passes over a node package that is too old, or that this machine cannot run', async (t) => {
  const here = machine(t)
  const root = install(join(here.folder, 'project/node_modules/culvert'), 'package')
  fakeNode(join(here.folder, 'project/node_modules/node/bin/node'), 'v22.0.0')
  const beside = join(root, 'node_modules/node/bin/node')
  mkdirSync(dirname(beside), { recursive: true })
  writeFileSync(beside, '#!/no/such/interpreter\n', { mode: 0o755 })
  const onPath = fakeNode(join(here.path, 'node'), 'v100.0.0')
  const { lines, stderr } = await run(here, join(root, 'bin/culvert'))
  t.equal(lines[0], `node ${onPath}`)
  t.equal(stderr, '')
})

t.test('says in one line what to install when no Node will do', async (t) => {
  const here = machine(t)
  const checkout = install(join(here.folder, 'checkout'), 'checkout')
  const inPackage = install(join(here.folder, 'project/node_modules/culvert'), 'package')
  const refused = async (root: string, ways: string): Promise<void> => {
    for (const program of PROGRAMS) {
      const { pid: _, ...ended } = await run(here, join(root, 'bin', program))
      const stderr = `${program}: needs Node.js 24 or newer: install it, ${ways}or set CULVERT_NODE to its path\n`
      t.strictSame(ended, { code: 1, lines: [], stderr })
    }
  }
  await refused(checkout, `run 'npm ci' in ${checkout}, `)
  await refused(inPackage, '')
  fakeNode(join(here.path, 'node'), 'v20.20.2')
  await refused(checkout, `run 'npm ci' in ${checkout}, `)
  await refused(inPackage, '')
})

t.test('says how to fill a node package whose install script npm did not run', async (t) => {
  const here = machine(t)
  const project = join(here.folder, 'project')
  const root = install(join(project, 'node_modules/culvert'), 'package')
  for (const above of [project, root]) {
    const empty = join(above, 'node_modules/node')
    mkdirSync(empty, { recursive: true })
    const { code, stderr } = await run(here, join(root, 'bin/culvert'))
    t.equal(code, 1)
    t.match(stderr, ` install it, run 'npm install-scripts approve node && npm rebuild node' in ${project}, or set `)
    rmSync(empty, { recursive: true })
  }
})

t.test('finds its folder through links as npm makes them, from any working directory', async (t) => {
  const here = machine(t)
  const project = join(here.folder, 'my project')
  const root = install(join(project, 'node_modules/culvert'), 'package')
  fakeNode(join(here.path, 'node'), 'v26.0.0')
  const bin = join(project, 'node_modules/.bin')
  const global = join(here.folder, 'usr/bin')
  for (const folder of [bin, global]) mkdirSync(folder, { recursive: true })
  for (const program of PROGRAMS) {
    symlinkSync(`../culvert/bin/${program}`, join(bin, program))
    symlinkSync(join(bin, program), join(global, program))
    for (const [command, how] of [
      [join(bin, program), {}],
      [join(global, program), { cwd: '/' }],
      [`./${program}`, { cwd: bin }],
      [`node_modules/.bin/${program}`, { cwd: project }],
      [program, { env: { PATH: `${global}${delimiter}${here.path}` } }],
    ] as const) {
      const { lines, stderr } = await run(here, command, how)
      t.equal(lines[ENTRY], join(root, `dist/cli/${program}.js`), command)
      t.equal(stderr, '')
    }
  }
})

t.test('is not led astray by CDPATH', async (t) => {
  const here = machine(t)
  const root = install(join(here.folder, 'checkout'), 'checkout')
  install(join(here.folder, 'elsewhere/checkout'), 'checkout')
  fakeNode(join(here.path, 'node'), 'v26.0.0')
  const env = { CDPATH: join(here.folder, 'elsewhere') }
  for (const program of PROGRAMS) {
    const { lines } = await run(here, `checkout/bin/${program}`, { env, cwd: here.folder })
    t.equal(lines[ENTRY], join(root, `src/cli/${program}.ts`))
  }
})

t.test('prefers the source of a checkout to what a build left there', async (t) => {
  const here = machine(t)
  const root = install(join(here.folder, 'checkout'), 'checkout')
  install(root, 'package')
  fakeNode(join(here.path, 'node'), 'v26.0.0')
  t.equal((await run(here, join(root, 'bin/culvert'))).lines[ENTRY], join(root, 'src/cli/culvert.ts'))
})

t.test('lets a signal reach the program, and its exit code come back', async (t) => {
  const here = machine(t)
  const root = install(join(here.folder, 'checkout'), 'checkout')
  const program = [
    "process.on('SIGTERM', () => process.exit(7))",
    "process.stdin.on('end', () => process.exit(1)).resume() // never outlives the test",
    'console.log(process.pid)',
  ]
  writeFileSync(join(root, 'src/cli/proxy-agent.ts'), program.join('\n'))
  const child = spawn(join(root, 'bin/proxy-agent'), [], {
    env: { PATH: here.path, CULVERT_NODE: process.execPath },
    timeout: DEADLINE_MS,
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  t.teardown(() => child.stdin.destroy())
  const [line] = await once(createInterface({ input: child.stdout }), 'line')
  t.equal(Number(line), child.pid)
  child.kill('SIGTERM')
  t.strictSame(await once(child, 'exit'), [7, null])
})

t.test('runs the real programs of this checkout with its own node package', async (t) => {
  const { version } = JSON.parse(readFileSync(join(CHECKOUT, 'package.json'), 'utf8'))
  const here = machine(t)
  for (const program of PROGRAMS) {
    const { pid: _, ...ended } = await run(here, join(CHECKOUT, 'bin', program), { argv: ['--version'] })
    t.strictSame(ended, { code: 0, lines: [`${program} ${version}`], stderr: '' })
  }
})
