/** The token of the admin port. */
import { createHash, timingSafeEqual } from 'node:crypto'
import { readTokenFile } from '../platform/secret-file.ts'

/** A shorter token could be guessed: characters. */
export const MIN_TOKEN_CHARS = 16

/** Read anew each time, so that a renewed token needs no restart; one that cannot be read is nobody's. */
export function showsToken(header: string | undefined, file: string): boolean {
  const [, shown] = /^Bearer (\S+)$/i.exec(header ?? '') ?? []
  if (shown === undefined) return false
  try {
    const token = readTokenFile(file)
    return token.length >= MIN_TOKEN_CHARS && timingSafeEqual(digest(shown), digest(token))
  } catch {
    return false
  }
}

const digest = (text: string): Buffer => createHash('sha256').update(text).digest()
