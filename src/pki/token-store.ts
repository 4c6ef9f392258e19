/**
 * The join tokens of a hub, one file each in a folder that its servers share: `<id>.json` until it is used, `<id>.used`
 * afterwards. Whoever renames the file first has used the token: that holds between processes and over restarts. By which key
 * is written into it then, so that the one agent whose answer was lost may ask again.
 */
import { randomBytes } from 'node:crypto'
import { closeSync, fsyncSync, mkdirSync, openSync, readdirSync, renameSync, rmSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { TunnelError } from '../platform/errors.ts'
import { readSmallFile } from '../platform/secret-file.ts'
import { isClusterId, isIdentityName } from './identity.ts'
import { hashOfSecret, isSecretOf, isTokenId, type JoinToken } from './join-token.ts'
import { reason } from './pem.ts'

export type StoredToken = {
  readonly id: string
  readonly cluster: string
  /** Of the agent that it lets in. */
  readonly name: string
  readonly createdUnixMs: number
  readonly expiresUnixMs: number
  readonly state: 'unused' | 'used' | 'expired'
}
/** By whom a token was used. */
export type Use = {
  /** Of the public key: SHA-256 of its SPKI in hexadecimal. */
  readonly key: string
  /** Of the certificate that it was given (`family.ts`). */
  readonly family: string
  readonly usedUnixMs: number
}
export type Found =
  | { readonly kind: 'good'; readonly token: StoredToken }
  /** @param by whoever may ask again; nobody after a while, nor when the server ended just then or the token would have expired */
  | { readonly kind: 'used'; readonly token: StoredToken; readonly by: Use | undefined }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'expired' }

/** How long whoever has used a token may ask again, whose answer was lost: milliseconds. It would else be a credential for days. */
export const ASK_AGAIN_MS = 10 * 60_000
/** Longest file: bytes. */
const MAX_FILE_BYTES = 4_096
/** How long a token that is over is remembered, so as to say what became of it: milliseconds. */
const REMEMBERED_MS = 7 * 86_400_000
const FILE = /^([a-z0-9]{12})\.(json|used)$/

type Kept = { readonly token: StoredToken; readonly hash: string; readonly by: Use | undefined }

/** @throws TunnelError `bad-option` when the folder cannot be written to */
export function storeToken(folder: string, { id, secret }: JoinToken, token: Omit<StoredToken, 'id' | 'state'>): void {
  const { cluster, name, createdUnixMs, expiresUnixMs } = token
  const text = JSON.stringify({
    cluster,
    name,
    created: new Date(createdUnixMs).toISOString(),
    expires: new Date(expiresUnixMs).toISOString(),
    sha256: hashOfSecret(secret),
  })
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    write(join(folder, `${id}.json`), text)
  } catch (cause) {
    throw new TunnelError('bad-option', `${folder}: cannot be written to: ${reason(cause)}`, { cause })
  }
}

/** Whole, in the place of the one before. */
function write(file: string, text: string): void {
  const fresh = `${file}.${randomBytes(6).toString('hex')}.new`
  try {
    const descriptor = openSync(fresh, 'wx', 0o600)
    try {
      writeSync(descriptor, `${text}\n`)
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    renameSync(fresh, file)
  } finally {
    rmSync(fresh, { force: true })
  }
}

/** Whether a token is one to let somebody in by. Nothing but `useToken` uses it up, and a copy that somebody puts back is used as well. */
export function findToken(folder: string, id: string, secret: string, nowUnixMs: number): Found {
  if (!isTokenId(id)) return { kind: 'unknown' }
  const kept = readToken(folder, `${id}.used`, nowUnixMs) ?? readToken(folder, `${id}.json`, nowUnixMs)
  if (!kept || !isSecretOf(secret, kept.hash)) return { kind: 'unknown' }
  const { token, by } = kept
  if (token.state === 'used') {
    const mayAsk = by && Math.min(by.usedUnixMs + ASK_AGAIN_MS, token.expiresUnixMs) > nowUnixMs
    return { kind: 'used', token, by: mayAsk ? by : undefined }
  }
  return token.state === 'unused' ? { kind: 'good', token } : { kind: 'expired' }
}

/**
 * Uses a token up, for good.
 *
 * @returns false when somebody else was first
 * @throws TunnelError `bad-option` when the folder cannot be written to
 */
export function useToken(folder: string, id: string, by: Use): boolean {
  const used = join(folder, `${id}.used`)
  try {
    renameSync(join(folder, `${id}.json`), used)
    noteUse(used, by)
    const descriptor = openSync(folder, 'r')
    try {
      fsyncSync(descriptor) // a token that comes back after a power failure would be used twice
    } finally {
      closeSync(descriptor)
    }
    return true
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return false
    throw new TunnelError('bad-option', `${folder}: cannot be written to: ${reason(cause)}`, { cause })
  }
}

/** What cannot be written down does not give the token back: it is used, by nobody who could come again. */
function noteUse(file: string, by: Use): void {
  try {
    const { usedUnixMs, ...who } = by
    const used = { ...who, used: new Date(usedUnixMs).toISOString() }
    write(file, JSON.stringify({ ...JSON.parse(readSmallFile(file, MAX_FILE_BYTES)), by: used }))
  } catch {
    return
  }
}

/** @returns whether there was one that could still be used */
export function removeToken(folder: string, id: string): boolean {
  try {
    rmSync(join(folder, `${id}.json`))
    return true
  } catch {
    return false
  }
}

/** All of the folder, the one that was made last on top. What is long over is removed. */
export function listTokens(folder: string, nowUnixMs: number): readonly StoredToken[] {
  const tokens: StoredToken[] = []
  for (const file of filesOf(folder)) {
    const kept = readToken(folder, file, nowUnixMs)
    if (!kept) continue
    if (kept.token.expiresUnixMs + REMEMBERED_MS < nowUnixMs) rmSync(join(folder, file), { force: true })
    else tokens.push(kept.token)
  }
  return tokens.toSorted((a, b) => b.createdUnixMs - a.createdUnixMs)
}

function filesOf(folder: string): readonly string[] {
  try {
    const names = new Set(readdirSync(folder))
    const isUsed = (name: string): boolean => names.has(name.replace(/json$/, 'used'))
    return [...names].filter((name) => FILE.test(name) && (name.endsWith('used') || !isUsed(name)))
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return []
    throw new TunnelError('bad-option', `${folder}: cannot be read: ${reason(cause)}`, { cause })
  }
}

/** What is not of the form that `storeToken` writes is no token. */
function readToken(folder: string, file: string, nowUnixMs: number): Kept | undefined {
  const [, id = '', ending] = FILE.exec(file) ?? []
  try {
    const text = readSmallFile(join(folder, file), MAX_FILE_BYTES)
    const { cluster, name, created, expires, sha256, by } = JSON.parse(text)
    const [createdUnixMs, expiresUnixMs] = [Date.parse(created), Date.parse(expires)]
    if (!isClusterId(String(cluster)) || !isIdentityName(String(name)) || !/^[0-9a-f]{64}$/.test(sha256))
      return undefined
    if (Number.isNaN(createdUnixMs) || Number.isNaN(expiresUnixMs)) return undefined
    const state = ending === 'used' ? 'used' : expiresUnixMs <= nowUnixMs ? 'expired' : 'unused'
    return { token: { id, cluster, name, createdUnixMs, expiresUnixMs, state }, hash: sha256, by: readUse(by) }
  } catch {
    return undefined
  }
}

function readUse(by: unknown): Use | undefined {
  const { key, family, used } = (by ?? {}) as Record<string, unknown>
  const usedUnixMs = Date.parse(String(used))
  if (typeof key !== 'string' || typeof family !== 'string' || Number.isNaN(usedUnixMs)) return undefined
  return { key, family, usedUnixMs }
}
