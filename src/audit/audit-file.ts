/**
 * The file that a chain is appended to. Nobody waits for it: lines are kept within a limit while it cannot be written, what
 * comes on top of that is counted, and the chain says how many lines it lacks. docs/adr/0030 has the reasons.
 */
import { closeSync, fstatSync, fsyncSync, ftruncateSync, write } from 'node:fs'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { seal } from './core/chain.ts'
import { isSameFile, openFirst, openNext } from './opening.ts'
import { type AuditRecord, fieldsOf } from './record.ts'
import { sha256 } from './sha256.ts'

/** Kept while the file cannot be written: bytes. */
export const MAX_HELD_BYTES = 4 * 1024 * 1024
/** Before a write that failed is tried again, and between two looks at whether the file was moved away: milliseconds. */
const RETRY_MS = 1_000
const LOOK_MS = 5_000
/** Longest wait for the last lines to be written: milliseconds. */
const CLOSE_MS = 2_000

export type AuditFileState = {
  /** Lines that are in the file. */
  readonly written: number
  readonly lost: number
  /** Why lines wait, or go to a file that was moved away; undefined when they do not. */
  readonly alarm: string | undefined
}

export type AuditFile = {
  readonly record: (record: AuditRecord) => void
  /** Goes on in a new file if the one before was moved away. */
  readonly reopen: () => void
  readonly state: () => AuditFileState
  /** Writes what it can of what is left, and the last line. */
  readonly close: () => Promise<void>
}

export type AuditFileDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly program: string
  readonly version: string
  readonly maxHeldBytes?: number
  /** Of `node:fs`, for tests. */
  readonly write?: Write
}

type Write = (
  file: number,
  bytes: Uint8Array,
  done: (error: NodeJS.ErrnoException | null, count: number) => void,
) => void
const writeToFile: Write = (file, bytes, done) => write(file, bytes, done)

/** @throws TunnelError `bad-option` when the file cannot be used */
export function openAuditFile(path: string, deps: AuditFileDeps): AuditFile {
  const { clock, log, maxHeldBytes = MAX_HELD_BYTES, write: writeTo = writeToFile } = deps
  const first = openFirst(path)
  let { file, head } = first
  let held: string[] = [] // lines
  let heldBytes = 0 // theirs, and those of the batch
  let batch: { readonly bytes: Buffer; readonly lines: number; done: number } | undefined // lines that are being written
  let written = 0
  let lost = 0
  let lostSince = 0 // since the chain last said so
  let failing: string | undefined
  let misplaced: string | undefined
  let scheduled: Disposable | undefined
  let isWriting = false
  let lookWanted = false
  let finished: (() => void) | undefined
  let looking = clock.after(LOOK_MS, look)

  function append(fields: Readonly<Record<string, unknown>>): void {
    const sealed = seal(head, { time: new Date(clock.unixMs()).toISOString(), ...fields }, sha256)
    head = sealed.head
    held.push(sealed.line)
    heldBytes += sealed.line.length
    if (!isWriting && scheduled === undefined) scheduled = setImmediate(flush)
  }

  function sayLost(): void {
    const count = lostSince
    lostSince = 0
    append({ event: 'gap', lost: count, reason: 'the log could not be written in time' })
  }

  function flush(): void {
    scheduled?.[Symbol.dispose]() // what a write has brought on is under way with it
    scheduled = undefined
    if (batch === undefined) {
      if (held.length === 0) return finished?.()
      batch = { bytes: Buffer.from(held.join('')), lines: held.length, done: 0 }
      held = []
    }
    isWriting = true
    writeTo(file, batch.bytes.subarray(batch.done), wrote)
  }

  function wrote(error: NodeJS.ErrnoException | null, count: number): void {
    isWriting = false
    if (batch && !error) batch.done += count
    if (lookWanted) reopen()
    if (error) return failed(error.code ?? error.message)
    if (batch && batch.done >= batch.bytes.length) batchDone(batch.lines)
    flush()
  }

  function batchDone(lines: number): void {
    written += lines
    batch = undefined
    heldBytes = held.reduce((sum, line) => sum + line.length, 0)
    if (failing !== undefined) log.info({ path }, 'the audit log is written again')
    failing = undefined
    if (lostSince > 0) sayLost()
  }

  function failed(reason: string): void {
    if (failing === undefined) log.error({ path, reason }, 'the audit log cannot be written: its lines wait in memory')
    failing = reason
    if (finished) return finished()
    scheduled = clock.after(RETRY_MS, flush)
  }

  function look(): void {
    looking = clock.after(LOOK_MS, look)
    reopen()
  }

  function reopen(): void {
    lookWanted = isWriting
    if (isWriting) return // the end of the write comes first
    try {
      if (!isSameFile(path, file)) goOnIn(openNext(path))
      misplaced = undefined
    } catch (error) {
      const { message } = error as Error
      if (misplaced !== message) log.error({ path, reason: message }, 'the audit log cannot be opened anew')
      misplaced = message
    }
  }

  function goOnIn(next: number): void {
    const torn = batch ? batch.done - (batch.bytes.lastIndexOf('\n', batch.done - 1) + 1) : 0
    if (batch && torn > 0) {
      ftruncateSync(file, fstatSync(file).size - torn) // the line goes to the next file, whole
      batch.done -= torn
    }
    closeSync(file)
    file = next
    log.info({ path }, 'audit log opened anew')
  }

  append({
    event: 'started',
    program: deps.program,
    version: deps.version,
    ...(first.tornBytes > 0 && { tornBytes: first.tornBytes }),
  })

  return {
    record(entry) {
      if (finished) return
      if (heldBytes >= (lostSince > 0 ? maxHeldBytes / 2 : maxHeldBytes)) {
        lost++
        lostSince++
        return
      }
      if (lostSince > 0) sayLost()
      append(fieldsOf(entry))
    },
    reopen,
    state: () => ({ written, lost, alarm: failing ?? misplaced }),
    async close() {
      looking[Symbol.dispose]()
      append({ event: 'stopped' })
      await new Promise<void>((resolve) => {
        clock.after(CLOSE_MS, resolve)
        finished = resolve
        if (!isWriting) flush()
      })
      const left = held.length + (batch?.lines ?? 0) + lostSince
      if (left > 0) log.error({ path, lines: left }, 'lines of the audit log are lost')
      if (isWriting) return // the file is the write's
      try {
        fsyncSync(file)
      } catch {
        // it takes what it can; a disk that is broken was told of before
      }
      closeSync(file)
    },
  }
}
