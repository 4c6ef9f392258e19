/** What `--help` says of flags: konnectivity's, as pflag prints it, and ours. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'

const run = promisify(execFile)
const DEADLINE_MS = 60_000

/** By name. */
export type Flags = ReadonlyMap<string, { readonly letter: string; readonly shownDefault: string }>

export async function flagsOf(file: string, ...args: string[]): Promise<Flags> {
  const { stdout } = await run(file, [...args, '--help'], { timeout: DEADLINE_MS })
  const lines = stdout.split('\n').flatMap((line) => {
    const [, letter = '', name] = /^\s+(?:-(\w), )?--([a-z0-9-]+)/.exec(line) ?? []
    const [, shownDefault = ''] = /\(default (.*)\)$/.exec(line) ?? []
    return name === undefined ? [] : [[name, { letter, shownDefault }] as const]
  })
  return new Map(lines)
}
