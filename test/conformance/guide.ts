/** docs/migration.md as what it tells its reader to run: the flags of both programs, and the checks of both. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { eventually } from '../integration/deadline.ts'

const run = promisify(execFile)
const DOCUMENT = join(import.meta.dirname, '../../docs/migration.md')
const CHECK_DEADLINE_MS = 30_000

export type Guide = {
  /** As they stand there, `--name=value` each. */
  readonly serverFlags: (mode: 'grpc' | 'http-connect') => readonly string[]
  readonly agentFlags: readonly string[]
  /** Lines for a shell, by whom they are about. */
  readonly serverChecks: readonly string[]
  readonly agentChecks: readonly string[]
}

/** What a reader puts in the place of the paths, ports and hosts of the guide. */
export type Values = Readonly<Record<string, string>>

export function readGuide(): Guide {
  const blocks = [...readFileSync(DOCUMENT, 'utf8').matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block!)
  const flags = blocks
    .filter((block) => /^proxy-(server|agent) /.test(block))
    .map((block) => block.replaceAll('\\\n', ' ').trim().split(/\s+/))
  const one = (program: string, mark: string): readonly string[] => {
    const found = flags.filter(([name, ...rest]) => name === program && rest.includes(mark))
    if (found.length !== 1) throw new Error(`the guide has ${found.length} blocks for ${program} with ${mark}`)
    return found[0]!.slice(1)
  }
  const agentFlags = one('proxy-agent', '--logtostderr=true')
  const serverFlags = (mode: 'grpc' | 'http-connect'): readonly string[] => one('proxy-server', `--mode=${mode}`)
  const checks = blocks.flatMap((block) => block.split('\n').filter((line) => line.startsWith('curl ')))
  const about = (flags: readonly string[], name: string): string[] => {
    const port = flags.find((flag) => flag.startsWith(`${name}=`))?.slice(name.length + 1)
    const found = checks.filter((line) => line.includes(`localhost:${port}/`))
    if (found.length === 0) throw new Error(`the guide has no checks of ${name}`)
    return found
  }
  return {
    serverFlags,
    agentFlags,
    serverChecks: about(serverFlags('grpc'), '--health-port'),
    agentChecks: about(agentFlags, '--health-server-port'),
  }
}

/** @throws Error for a path, a port or a host that nothing is known of */
export function fillIn(flags: readonly string[], values: Values): string[] {
  return flags.map((flag) => {
    const [, name, value] = /^(--[a-z-]+)=(.*)$/.exec(flag) ?? []
    if (name === undefined || value === undefined) throw new Error(`the guide has ${flag}, expected --name=value`)
    if (value in values) return `${name}=${values[value]}`
    if (/^\/|^\d{4,}$|\.example$/.test(value)) throw new Error(`nothing is known of ${flag} in the guide`)
    return flag
  })
}

/** Runs the line as a reader would, until it succeeds: the guide says when to look, not how often. */
export async function check(line: string, values: Values): Promise<void> {
  const filled = line.replace(/localhost:(\d+)/, (whole, port: string) => {
    if (!(port in values)) throw new Error(`nothing is known of ${whole} in the guide`)
    return `127.0.0.1:${values[port]}`
  })
  await eventually(
    filled,
    () =>
      run('sh', ['-c', filled]).then(
        () => 'ok',
        (error: { stderr?: string; code?: number }) => `${error.code} ${error.stderr}`,
      ),
    (outcome) => outcome === 'ok',
    CHECK_DEADLINE_MS,
  )
}
