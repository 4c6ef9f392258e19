/**
 * A file that the log is appended to, within a size. At half of it the file is renamed to `.1` and begun anew, so that what was
 * logged last is always there; where it cannot be renamed (mounted as a single file, as in many manifests) it is emptied.
 * Nothing here throws: a line that could not be written is the caller's to bring elsewhere.
 */
import { closeSync, constants, fstatSync, ftruncateSync, openSync, renameSync, writeSync } from 'node:fs'

export type LogFile = {
  /** Whether all of the line is in the file now. */
  readonly write: (line: string) => boolean
}
export type LogFileEvents = {
  /** Once, until the file takes lines again. */
  readonly failed: (reason: string) => void
  readonly recovered: () => void
}

/** After a failure, before the file is opened again: milliseconds. */
const REOPEN_MS = 5_000
/** Never waits for a reader, should the path be a pipe. */
const FLAGS = constants.O_WRONLY | constants.O_CREAT | constants.O_APPEND | constants.O_NONBLOCK
const MODE = 0o644

/** @param maxBytes of the file and the one before it together; 0: no limit */
export function openLogFile(
  path: string,
  maxBytes: number,
  { failed, recovered }: LogFileEvents,
  now: () => number,
): LogFile {
  let file: { readonly descriptor: number; readonly isRegular: boolean } | undefined
  let bytes = 0
  let isTorn = false // the last line is not whole
  let isFailing = false
  let nextAttemptMs = Number.NEGATIVE_INFINITY

  const open = (): void => {
    const descriptor = openSync(path, FLAGS, MODE)
    const about = fstatSync(descriptor)
    file = { descriptor, isRegular: about.isFile() }
    bytes = about.size
  }

  const close = (): void => {
    const descriptor = file?.descriptor
    file = undefined
    if (descriptor !== undefined) closeSync(descriptor)
  }

  const giveUpFor = (cause: unknown): void => {
    nextAttemptMs = now() + REOPEN_MS
    try {
      close()
    } catch {
      // it is gone either way
    }
    if (isFailing) return
    isFailing = true
    failed((cause as NodeJS.ErrnoException).code ?? String(cause))
  }

  const beginAnew = (descriptor: number): void => {
    bytes = fstatSync(descriptor).size // somebody else may have emptied it
    if (bytes === 0) return
    try {
      renameSync(path, `${path}.1`)
    } catch {
      ftruncateSync(descriptor)
      bytes = 0
      return
    }
    close()
    open()
  }

  const writeAll = (text: string): void => {
    const data = Buffer.from(text)
    if (file === undefined) open()
    if (file?.isRegular && maxBytes > 0 && bytes + data.length > maxBytes / 2) beginAnew(file.descriptor)
    for (let written = 0; written < data.length; ) {
      if (file === undefined) throw new Error('it is closed')
      const count = writeSync(file.descriptor, data, written)
      written += count
      bytes += count
      isTorn = written < data.length
    }
  }

  return {
    write(line) {
      if (file === undefined && now() < nextAttemptMs) return false
      try {
        writeAll(isTorn ? `\n${line}` : line)
      } catch (cause) {
        giveUpFor(cause)
        return false
      }
      if (isFailing) {
        isFailing = false
        recovered()
      }
      return true
    },
  }
}
