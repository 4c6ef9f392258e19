/** Opens the file of a chain, and finds where the chain goes on: behind the last line of the file, or of the one before it. */
import { closeSync, constants, fstatSync, ftruncateSync, openSync, readSync, statSync } from 'node:fs'
import { TunnelError } from '../platform/errors.ts'
import { BEGINNING, type Head, MAX_LINE_BYTES, open } from './core/chain.ts'
import { sha256 } from './sha256.ts'

/** Only its owner reads who went where. */
const MODE = 0o600

export type First = { readonly file: number; readonly head: Head; readonly tornBytes: number }

/**
 * For a program that starts. A chain goes on where the file ends, or else where the one before it does, by the name that
 * logrotate gives it.
 *
 * @throws TunnelError `bad-option` when it cannot be used, or ends with something else
 */
export function openFirst(path: string): First {
  const { file, size } = openAppending(path)
  try {
    const { head, tornBytes } = size > 0 ? readLastLine(file, size, path) : NO_LINE
    if (tornBytes > 0) ftruncateSync(file, size - tornBytes)
    return { file, head: head ?? headOfFileBefore(`${path}.1`) ?? BEGINNING, tornBytes }
  } catch (cause) {
    closeSync(file)
    throw cause instanceof TunnelError ? cause : unusable(path, cause)
  }
}

const NO_LINE = { head: undefined, tornBytes: 0 }

function headOfFileBefore(path: string): Head | undefined {
  let file: number
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw unusable(path, cause)
  }
  try {
    const about = fstatSync(file)
    return about.isFile() && about.size > 0 ? readLastLine(file, about.size, path).head : undefined
  } finally {
    closeSync(file)
  }
}

/** For a program that goes on, when its file was moved away. @throws TunnelError `bad-option` */
export function openNext(path: string): number {
  const { file, size } = openAppending(path)
  if (size === 0) return file
  closeSync(file)
  throw new TunnelError('bad-option', 'another file, with something in it, has taken its place')
}

/** O_NONBLOCK: never waits for a reader, should the path be a pipe. */
function openAppending(path: string): { readonly file: number; readonly size: number } {
  try {
    const { O_RDWR, O_CREAT, O_APPEND, O_NONBLOCK } = constants
    const file = openSync(path, O_RDWR | O_CREAT | O_APPEND | O_NONBLOCK, MODE)
    const about = fstatSync(file)
    if (about.isFile()) return { file, size: about.size }
    closeSync(file)
  } catch (cause) {
    throw unusable(path, cause)
  }
  throw new TunnelError('bad-option', `could not use the audit log ${path}: it is no regular file`)
}

export function isSameFile(path: string, file: number): boolean {
  const there = statSync(path, { throwIfNoEntry: false })
  const open = fstatSync(file)
  return there !== undefined && there.ino === open.ino && there.dev === open.dev
}

const unusable = (path: string, cause: unknown): TunnelError =>
  new TunnelError('bad-option', `could not use the audit log ${path}: ${(cause as NodeJS.ErrnoException).code}`, {
    cause,
  })

type LastLine = {
  /** None: the file has no whole line. */
  readonly head: Head | undefined
  /** Behind the last whole line: a program that ended while it wrote. */
  readonly tornBytes: number
}

function readLastLine(descriptor: number, size: number, path: string): LastLine {
  const bytes = Buffer.alloc(Math.min(size, 2 * MAX_LINE_BYTES))
  let length = 0
  for (let read = 1; read > 0 && length < bytes.length; length += read) {
    read = readSync(descriptor, bytes, length, bytes.length - length, size - bytes.length + length)
  }
  const end = bytes.lastIndexOf(LINE_END, length - 1)
  const tornBytes = length - end - 1
  const torn = bytes.toString('latin1', end + 1, length).slice(0, LINE_START.length)
  if (end < 0 && size < MAX_LINE_BYTES && LINE_START.startsWith(torn)) return { head: undefined, tornBytes }
  const line = bytes.subarray(bytes.lastIndexOf(LINE_END, end - 1) + 1, end)
  const opened = end < 0 ? ({ kind: 'foreign' } as const) : open(line, sha256)
  if (opened.kind === 'foreign' || !opened.intact || !LINE_START.startsWith(torn)) {
    throw new TunnelError('bad-option', `${path} does not end with a line of an audit log: move it away`)
  }
  return { head: opened.head, tornBytes }
}

const LINE_END = 0x0a
/** Of every line: whatever does not begin like this is somebody else's, and not to be cut off. */
const LINE_START = '{"seq":'
