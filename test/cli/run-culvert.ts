/** `culvert` as a program that comes to its end. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'

export const ENTRY = join(import.meta.dirname, '../../src/cli/culvert.ts')
const DEADLINE_MS = 30_000

export type Ended = { readonly code: unknown; readonly stdout: string; readonly stderr: string }
/** The code is none where the deadline ended it. */
export type Run = (...argv: string[]) => Promise<Ended>

/** @param folder the working directory; default: this process's */
export const culvertIn =
  (folder?: string): Run =>
  (...argv) =>
    new Promise((resolve) => {
      execFile(process.execPath, [ENTRY, ...argv], { cwd: folder, timeout: DEADLINE_MS }, (error, stdout, stderr) =>
        resolve({ code: error === null ? 0 : error.code, stdout, stderr }),
      )
    })

export const culvert: Run = culvertIn()
