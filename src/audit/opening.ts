/** Opens the file of a chain, and finds where the chain goes on: behind the last line of the file, or of the one before it. */
import { close, closeSync, constants, fstat, fstatSync, open as openFile, openSync, readSync, stat } from 'node:fs'
import { promisify } from 'node:util'
import { TunnelError } from '../platform/errors.ts'
import { BEGINNING, type Head, MAX_LINE_BYTES, open } from './core/chain.ts'
import { sha256 } from './sha256.ts'

/** Only its owner reads who went where. */
const MODE = 0o600

/** What tells a file from another one that has its name now. */
export type Place = { readonly ino: number; readonly dev: number; readonly size: number }
export type First = {
  readonly file: number
  /** Its size is that of its whole lines. */
  readonly place: Place
  readonly head: Head
  /** Behind them, and to be taken off before anything is written: a program that ended while it wrote. */
  readonly tornBytes: number
}
export type Next = Pick<First, 'file' | 'place'>

/**
 * For a program that starts. A chain goes on where the file ends, or else where the one before it does, by the name that
 * logrotate gives it.
 *
 * @throws TunnelError `bad-option` when it cannot be used, or ends with something else
 */
export function openFirst(path: string): First {
  const { file, ino, dev, size } = openAppending(path)
  try {
    const { head, tornBytes } = size > 0 ? readLastLine(file, size, path) : NO_LINE
    const place = { ino, dev, size: size - tornBytes }
    return { file, place, head: head ?? headOfFileBefore(`${path}.1`) ?? BEGINNING, tornBytes }
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

/**
 * For a program that goes on, when its file was moved away. What hangs, as a file system may, holds nobody up.
 *
 * @throws TunnelError `bad-option`
 */
export async function openNext(path: string): Promise<Next> {
  let file: number | undefined
  try {
    file = await promisify(openFile)(path, FLAGS, MODE)
    const about = await promisify(fstat)(file)
    if (!about.isFile()) throw noFile(path)
    const { ino, dev, size } = about
    if (size > 0) throw new TunnelError('bad-option', 'another file, with something in it, has taken its place')
    return { file, place: { ino, dev, size } }
  } catch (cause) {
    if (file !== undefined) close(file, () => undefined)
    throw cause instanceof TunnelError ? cause : unusable(path, cause)
  }
}

/** What has the name now; undefined: nothing. @throws what `node:fs` does */
export async function lookAt(path: string): Promise<Place | undefined> {
  try {
    const { ino, dev, size } = await promisify(stat)(path)
    return { ino, dev, size }
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw cause
  }
}

/** O_NONBLOCK: never waits for a reader, should the path be a pipe. */
const FLAGS = constants.O_RDWR | constants.O_CREAT | constants.O_APPEND | constants.O_NONBLOCK

function openAppending(path: string): Place & { readonly file: number } {
  try {
    const file = openSync(path, FLAGS, MODE)
    const about = fstatSync(file)
    if (about.isFile()) return { file, ino: about.ino, dev: about.dev, size: about.size }
    closeSync(file)
  } catch (cause) {
    throw unusable(path, cause)
  }
  throw noFile(path)
}

const noFile = (path: string): TunnelError =>
  new TunnelError('bad-option', `could not use the audit log ${path}: it is no regular file`)

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
