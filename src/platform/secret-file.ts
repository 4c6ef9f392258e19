/** Tokens in files, which somebody else renews: read anew for each use, within a limit, and never shown. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { TunnelError } from './errors.ts'
import { isMetadataText } from './metadata-text.ts'

/** Longest token: bytes. A service account's has about a thousand. */
const MAX_TOKEN_BYTES = 16_384

/**
 * The token without blanks around it, as a header can carry it.
 *
 * @throws TunnelError `bad-option` that names the file and nothing that is in it
 */
export function readTokenFile(path: string): string {
  const token = readSmallFile(path, MAX_TOKEN_BYTES).trim()
  if (token === '') throw unusable(path, 'it is empty')
  if (!isMetadataText(token)) throw unusable(path, 'it holds more than one line of printable ASCII')
  return token
}

/** @throws TunnelError `bad-option` when it cannot be read or is longer than `maxBytes` */
export function readSmallFile(path: string, maxBytes: number): string {
  let file: number | undefined
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK) // a pipe nobody writes to must not hold us
    const about = fstatSync(file)
    if (!about.isFile()) throw unusable(path, 'it is no regular file')
    const bytes = Buffer.alloc(Math.min(about.size, maxBytes) + 1) // one more, to see what is too long or grew
    let length = 0
    for (let read = 1; read > 0 && length < bytes.length; length += read) {
      read = readSync(file, bytes, length, bytes.length - length, null)
    }
    if (length > maxBytes) throw unusable(path, `it is over the limit of ${maxBytes} bytes`)
    return bytes.toString('utf8', 0, length)
  } catch (cause) {
    if (cause instanceof TunnelError) throw cause
    const { code } = cause as NodeJS.ErrnoException
    throw unusable(path, code === 'ENOENT' ? 'there is no such file' : String(code))
  } finally {
    if (file !== undefined) closeSync(file)
  }
}

const unusable = (path: string, why: string): TunnelError =>
  new TunnelError('bad-option', `could not use the file ${path}: ${why}`)
