/**
 * Certificate, key and CA as files: read within a limit and checked before anyone uses them. What is wrong is said by flag
 * and file, never with anything from inside a key.
 */
import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto'
import { closeSync, constants, fstatSync, openSync, readFileSync } from 'node:fs'
import { createSecureContext } from 'node:tls'

/** By flag (`--server-cert`), for the messages. A certificate comes with its key. */
export type TlsFile = { readonly flag: string; readonly path: string }
export type TlsFiles = { readonly cert?: TlsFile; readonly key?: TlsFile; readonly ca?: TlsFile }
/** PEM, for `tls.createSecureContext`, `tls.connect` and `server.setSecureContext`. */
export type TlsMaterial = { readonly cert?: string; readonly key?: string; readonly ca?: string }
export type LoadedTls =
  | { readonly ok: true; readonly material: TlsMaterial }
  | { readonly ok: false; readonly problems: readonly string[] }

/** Longest file of certificates or keys: room for every public CA there is. */
const MAX_FILE_BYTES = 1_048_576
const DAY_MS = 86_400_000

/** Reads and checks all of `files`; every mistake is reported. */
export function loadTls(files: TlsFiles): LoadedTls {
  const problems: string[] = []
  const material: { -readonly [Kind in keyof TlsMaterial]: string } = {}
  for (const kind of ['cert', 'key', 'ca'] as const) {
    const file = files[kind]
    if (file === undefined) continue
    try {
      material[kind] = readText(file.path)
    } catch (cause) {
      problems.push(`${file.flag}: could not read ${file.path}: ${reason(cause)}`)
    }
  }
  problems.push(...mistakes(material, files))
  return problems.length > 0 ? { ok: false, problems } : { ok: true, material }
}

/** Whole days until the first certificate of `pem` expires; negative afterwards. */
export function daysLeft(pem: string, unixMs: number): number {
  return Math.floor((new X509Certificate(pem).validToDate.getTime() - unixMs) / DAY_MS)
}

function mistakes({ cert, key, ca }: TlsMaterial, files: TlsFiles): string[] {
  const problems: string[] = []
  const inspect = <T>(
    file: TlsFile | undefined,
    text: string | undefined,
    read: (text: string) => T,
  ): T | undefined => {
    if (file === undefined || text === undefined) return undefined
    try {
      return read(text)
    } catch (cause) {
      problems.push(`${file.flag}: ${file.path} ${reason(cause)}`)
      return undefined
    }
  }
  const leaf = inspect(files.cert, cert, certificates)?.[0]
  const privateKey = inspect(files.key, key, keyOf)
  inspect(files.ca, ca, certificates)
  if (leaf && privateKey && !leaf.checkPrivateKey(privateKey)) {
    problems.push(`${files.key?.flag}: ${files.key?.path} is not the key of the certificate ${files.cert?.path}`)
  }
  if (problems.length === 0) inspect(files.cert ?? files.ca, cert ?? ca, () => usable({ cert, key, ca }))
  return problems
}

/** What OpenSSL's security level refuses only when it is asked to serve with it: keys that are too short, for example. */
function usable(material: { readonly [Kind in keyof TlsMaterial]: string | undefined }): void {
  try {
    createSecureContext(material)
  } catch (cause) {
    throw new Error(`cannot be used: ${reason(cause)}`, { cause })
  }
}

function certificates(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []
  if (blocks.length === 0) throw new Error('holds no certificate in PEM form')
  return blocks.map((block, index) => {
    try {
      return new X509Certificate(block)
    } catch (cause) {
      throw new Error(`holds a damaged certificate, number ${index + 1} of ${blocks.length}`, { cause })
    }
  })
}

function keyOf(pem: string): KeyObject {
  try {
    return createPrivateKey(pem)
  } catch (cause) {
    throw new Error('holds no private key in PEM form that can be read without a passphrase', { cause })
  }
}

function readText(path: string): string {
  const file = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const about = fstatSync(file)
    if (!about.isFile()) throw new Error('it is no regular file')
    if (about.size > MAX_FILE_BYTES) throw new Error(`its ${about.size} bytes are over the limit of ${MAX_FILE_BYTES}`)
    const bytes = readFileSync(file)
    try {
      return new TextDecoder('utf-8', { fatal: true }).decode(bytes)
    } catch {
      throw new Error('it is not text, as PEM would be')
    }
  } finally {
    closeSync(file)
  }
}

function reason(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause)
  const { code } = cause as NodeJS.ErrnoException
  if (code === 'ENOENT') return 'there is no such file'
  return code === 'EACCES' ? 'permission denied' : cause.message
}
