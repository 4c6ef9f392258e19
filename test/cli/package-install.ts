/** The package as `npm pack` makes it of this checkout, and an empty folder into which npm has installed it. */
import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'

const run = promisify(execFile)
const CHECKOUT = join(import.meta.dirname, '../..')
const NPM_DEADLINE_MS = 50_000
/** Not copied: what is no part of a checkout, and is large. */
const LEFT_OUT = ['node_modules', '.git', '.tap', 'dist']

/** A folder outside the checkout: npm would install into the checkout from anywhere below it. */
export function temporaryFolder(t: Test): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'culvert-package-')))
  t.teardown(() => rmSync(folder, { recursive: true }))
  return folder
}

export type Packed = {
  readonly file: string
  readonly bytes: number
  readonly unpackedBytes: number
  /** Paths in the package. */
  readonly files: readonly string[]
  /** What is left in the checkout beside what was there before. */
  readonly left: readonly string[]
}

/** Packs a copy, as the checkout is in use; `stale` is what an earlier build left there. */
export async function pack(folder: string, stale: string): Promise<Packed> {
  const copy = join(folder, 'checkout')
  const names = readdirSync(CHECKOUT).filter((name) => !LEFT_OUT.includes(name))
  for (const name of names) cpSync(join(CHECKOUT, name), join(copy, name), { recursive: true })
  symlinkSync(join(CHECKOUT, 'node_modules'), join(copy, 'node_modules'))
  mkdirSync(dirname(join(copy, stale)), { recursive: true })
  writeFileSync(join(copy, stale), '')
  const told = JSON.parse(await npm(copy, ['pack', '--json', '--silent', '--pack-destination', folder]))
  // A list up to npm 11, an object by package name from npm 12 on.
  const [{ filename, size, unpackedSize, files }] = Array.isArray(told) ? told : Object.values<(typeof told)[0]>(told)
  return {
    file: join(folder, filename),
    bytes: size,
    unpackedBytes: unpackedSize,
    files: files.map(({ path }: { path: string }) => path).sort(),
    left: readdirSync(copy).filter((name) => !names.includes(name) && name !== 'node_modules'),
  }
}

/** @returns the folder of the package's launchers */
export async function install(folder: string, { file }: Packed): Promise<string> {
  const empty = join(folder, 'empty')
  mkdirSync(empty)
  await npm(empty, ['install', '--prefix', empty, '--prefer-offline', '--no-audit', '--no-fund', file])
  return join(empty, 'node_modules/.bin')
}

/**
 * As the user configured it, without what an npm that runs this test says of its own project, and without tap's hook in
 * every Node (its NODE_OPTIONS), which the compiler of npm's `prepack` does not survive.
 *
 * @returns what it printed
 * @throws Error with what it printed
 */
async function npm(cwd: string, argv: readonly string[]): Promise<string> {
  const added = /^(INIT_CWD|npm_(command|execpath|node_execpath|(package|lifecycle|config_local)_.*))$/
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !added.test(name)))
  const options = { cwd, env, timeout: NPM_DEADLINE_MS }
  try {
    return (await run('sh', ['-c', 'unset NODE_OPTIONS; exec npm "$@"', 'npm', ...argv], options)).stdout
  } catch (cause) {
    const { message, stdout } = cause as Error & { readonly stdout?: string }
    throw new Error(`${message}\n${stdout}`, { cause })
  }
}

/** With a Node that will do on the path, in case that npm brought none along. */
export function environmentWithNode(): NodeJS.ProcessEnv {
  const { CULVERT_NODE: _, ...env } = process.env
  return { ...env, PATH: [dirname(process.execPath), process.env.PATH].join(delimiter) }
}
