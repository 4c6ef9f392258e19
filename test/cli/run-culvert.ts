/** `culvert` as a program that comes to its end. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'

export const ENTRY = join(import.meta.dirname, '../../src/cli/culvert.ts')
const DEADLINE_MS = 30_000

export type Ended = { readonly code: unknown; readonly stdout: string; readonly stderr: string }

/** Its code is none where the deadline ended it. */
export const culvert = (...argv: string[]): Promise<Ended> =>
  new Promise((resolve) => {
    execFile(process.execPath, [ENTRY, ...argv], { timeout: DEADLINE_MS }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : error.code, stdout, stderr }),
    )
  })
