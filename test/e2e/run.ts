/**
 * What `npm run test:e2e` runs: looks for what is missing, builds the real programs, runs the test files of this folder and
 * of test/conformance one after the other, removes what a killed one left behind, and closes with one line of counts.
 *
 *   npm run test:e2e -- [--tunnel=ours|stock] [part of a file's name…]    stock: konnectivity's own server and agent
 */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readdirSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { parseArgs } from 'node:util'
import { program, programNames } from '../programs/programs.ts'
import { type Counts, closingLine, readCounts } from './counts.ts'
import { removeOrphans } from './network.ts'
import { missingPrerequisites } from './prerequisites.ts'

/** The watch alone takes two minutes, and a busy machine longer for the rest. */
const FILE_DEADLINE_S = 600
const CHECKOUT = join(import.meta.dirname, '../..')
const FOLDERS = ['test/e2e', 'test/conformance']

async function main(): Promise<Counts> {
  const { values, positionals } = parseArgs({
    options: { tunnel: { type: 'string', default: 'ours' } },
    allowPositionals: true,
  })
  if (!['ours', 'stock'].includes(values.tunnel))
    throw new Error(`--tunnel: expected ours or stock, got ${values.tunnel}`)
  const files = testFiles(positionals)
  if (files.length === 0) throw new Error(`no test file has ${positionals.join(' or ')} in its name`)
  const missing = await missingPrerequisites()
  if (missing !== undefined) throw new Error(missing)
  removeOrphans()
  for (const name of programNames) await program(name)
  try {
    return await runTap(files, { ...process.env, CULVERT_E2E_TUNNEL: values.tunnel })
  } finally {
    for (const name of removeOrphans()) process.stderr.write(`removed ${name}, left by a test that was killed\n`)
  }
}

function testFiles(wanted: readonly string[]): string[] {
  return FOLDERS.flatMap((folder) =>
    readdirSync(join(CHECKOUT, folder))
      .filter((name) => name.endsWith('.test.ts'))
      .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
      .map((name) => join(folder, name)),
  )
}

/** tap's own report passes through; its closing counts are read from it. */
async function runTap(files: readonly string[], env: NodeJS.ProcessEnv): Promise<Counts> {
  const tap = join(dirname(createRequire(import.meta.url).resolve('tap/package.json')), 'dist/esm/run.mjs')
  const start = (...args: string[]): ChildProcess =>
    spawn(process.execPath, [tap, ...args], { cwd: CHECKOUT, env, stdio: ['ignore', 'pipe', 'inherit'] })
  // The plug-ins that package.json names are built once; `npm test` may not have run yet.
  if (!existsSync(join(CHECKOUT, '.tap/plugins'))) await once(start('build').stdout!.resume(), 'close')

  const flags = ['--disable-coverage', '--jobs=1', `--timeout=${FILE_DEADLINE_S}`, '--reporter=tap']
  const child = start('run', ...flags, ...files)
  // Ctrl-C reaches tap and the tests as well: they end, and then this does.
  const forward = (signal: NodeJS.Signals): void => void child.kill(signal)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, forward)
  const closed = once(child, 'close')
  let counts: Counts | undefined
  for await (const line of createInterface({ input: child.stdout! })) {
    process.stdout.write(`${line}\n`)
    counts = readCounts(line) ?? counts
  }
  const [code] = await closed
  if (counts === undefined) throw new Error('tap ended without its counts')
  return code === 0 ? counts : { ...counts, failed: Math.max(1, counts.failed) }
}

const counts = await main().catch((error: Error): Counts => {
  process.stderr.write(`${error.message}\n`)
  return { passed: 0, failed: 1, skipped: 0 }
})
process.stdout.write(`${closingLine(counts)}\n`)
process.exitCode = counts.failed === 0 ? 0 : 1
