/**
 * The file that a chain is appended to. Nobody waits for it: lines are kept within a limit while it cannot be written, what
 * comes on top of that is counted, and the chain says how many lines it lacks. docs/adr/0030 has the reasons.
 */
import { close as closeFile, fsync, ftruncate, ftruncateSync, write } from 'node:fs'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { seal } from './core/chain.ts'
import { lookAt, type Next, openFirst, openNext } from './opening.ts'
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
  /** Why lines wait, go to a file that was moved away, or to one that is not ours alone; undefined when they do not. */
  readonly alarm: string | undefined
}

export type AuditFile = {
  /** The program serves: writes the first line, once. Before that, and without a record, nothing is written: a start that fails leaves a log alone. */
  readonly begin: () => void
  readonly record: (record: AuditRecord) => void
  /** So many records never came this far: the chain says so before the next one. */
  readonly lose: (count: number) => void
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
  let { file, place, head } = first
  let size = place.size // by what was written
  let held: string[] = [] // lines
  let heldBytes = 0 // theirs, and those of the batch
  let batch: { readonly bytes: Buffer; readonly lines: number; done: number } | undefined // lines that are being written
  let written = 0
  let lost = 0
  let lostSince = 0 // since the chain last said so
  let failing: string | undefined
  let misplaced: string | undefined
  let isShared = false // it is not as long as what was written
  let scheduled: Disposable | undefined
  let hasBegun = false
  let isWriting = false
  let looking: 'no' | 'once' | 'again' = 'no'
  let next: Next | undefined // opened, and to be gone on in as soon as nothing is being written
  let finished: (() => void) | undefined
  let nextLook = clock.after(LOOK_MS, lookRegularly)

  function append(fields: Readonly<Record<string, unknown>>): void {
    const sealed = seal(head, { time: new Date(clock.unixMs()).toISOString(), ...fields }, sha256)
    head = sealed.head
    held.push(sealed.line)
    heldBytes += sealed.line.length
    if (!isWriting && scheduled === undefined) scheduled = setImmediate(flush)
  }

  function lose(count: number): void {
    lost += count
    lostSince += count
  }

  function sayLost(): void {
    const count = lostSince
    lostSince = 0
    append({ event: 'gap', lost: count, reason: 'the log could not be written in time' })
  }

  function flush(): void {
    if (isWriting) return // whose end comes back here
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
    if (error) failed(error.code ?? error.message)
    else {
      if (batch) batch.done += count
      size += count
      if (batch && batch.done >= batch.bytes.length) batchDone(batch.lines)
    }
    if (next) goOnInNext(next)
    else if (!error) flush()
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

  function lookRegularly(): void {
    nextLook = clock.after(LOOK_MS, lookRegularly)
    void look()
  }

  /** Never throws. */
  async function look(): Promise<void> {
    const isUnderWay = looking !== 'no'
    looking = isUnderWay ? 'again' : 'once' // it may have been moved since it was looked at
    if (isUnderWay) return
    try {
      const least = size
      const there = await lookAt(path)
      if (there?.ino === place.ino && there.dev === place.dev) checkSize(there.size, least)
      else if (!next) next = await openNext(path)
      misplaced = undefined
    } catch (error) {
      cannotMove((error as Error).message)
    }
    const isWanted = (looking as string) === 'again'
    looking = 'no'
    if (next && finished) closeFile(next.file, ignore)
    else if (next && !isWriting) goOnInNext(next)
    if (isWanted && !finished) void look()
  }

  function cannotMove(reason: string): void {
    if (misplaced !== reason) log.error({ path, reason }, 'the audit log cannot be opened anew')
    misplaced = reason
  }

  /** @param least what was written when it was asked for */
  function checkSize(found: number, least: number): void {
    const most = size + (isWriting && batch ? batch.bytes.length - batch.done : 0)
    if (!hasBegun || isShared || (found >= least && found <= most)) return
    isShared = true
    log.error({ path, bytes: found, written: size }, SHARED)
  }

  /** A line that is half in the old file goes to the next one, whole. */
  function goOnInNext({ file: to, place: there }: Next): void {
    next = undefined
    const torn = batch ? batch.done - (batch.bytes.lastIndexOf('\n', batch.done - 1) + 1) : 0
    const moveOn = (error: Error | null): void => {
      isWriting = false
      if (error) {
        closeFile(to, ignore)
        cannotMove(error.message)
        return flush()
      }
      if (batch) batch.done -= torn
      closeFile(file, ignore)
      file = to
      place = there
      size = there.size
      isShared = false
      log.info({ path }, 'audit log opened anew')
      flush()
    }
    if (torn === 0) return moveOn(null)
    isWriting = true
    ftruncate(file, size - torn, moveOn)
  }

  function begin(): void {
    if (hasBegun) return
    hasBegun = true
    const { program, version } = deps
    const { tornBytes } = first
    if (tornBytes > 0) ftruncateSync(file, size)
    append({ event: 'started', program, version, ...(tornBytes > 0 && { tornBytes }) })
  }

  return {
    begin,
    record(entry) {
      if (finished) return
      begin()
      if (heldBytes >= (lostSince > 0 ? maxHeldBytes / 2 : maxHeldBytes)) return lose(1)
      if (lostSince > 0) sayLost()
      append(fieldsOf(entry))
    },
    lose,
    reopen: () => void look(),
    state: () => ({ written, lost, alarm: failing ?? misplaced ?? (isShared ? SHARED : undefined) }),
    async close() {
      nextLook[Symbol.dispose]()
      if (hasBegun) append({ event: 'stopped' })
      await new Promise<void>((resolve) => {
        clock.after(CLOSE_MS, resolve)
        let isEnding = false
        finished = () => {
          if (isEnding) return
          isEnding = true
          fsync(file, () => closeFile(file, () => resolve())) // a disk that is broken was told of before
        }
        flush()
      })
      const left = held.length + (batch?.lines ?? 0) + lostSince
      if (left > 0) log.error({ path, lines: left }, 'lines of the audit log are lost')
    },
  }
}

/** Of closing a file: nobody can do anything about it. */
const ignore = (): void => undefined

const SHARED =
  'the audit log is not as long as what was written to it: another program writes to it, too, or it was cut'
