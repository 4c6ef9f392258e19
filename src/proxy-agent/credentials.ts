/**
 * The agent's own certificate and key as files: each written whole, the key 0600, and never one that does not belong to the
 * other. A new key waits beside its place (`<key>.next`) until its certificate is there: whoever is stopped in between finds
 * both when it starts again.
 */
import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, X509Certificate } from 'node:crypto'
import {
  closeSync,
  existsSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs'
import { dirname } from 'node:path'
import { reason } from '../pki/pem.ts'
import { TunnelError } from '../platform/errors.ts'

export type CredentialFiles = { readonly cert: string; readonly key: string }

const next = (file: string): string => `${file}.next`

/** Finishes what was interrupted. */
export function mendCredentials({ cert, key }: CredentialFiles): void {
  const waiting = readKey(next(key))
  if (!waiting) return
  if (readCertificate(cert)?.checkPrivateKey(waiting)) takeWaiting(key)
}

function takeWaiting(key: string): void {
  try {
    renameSync(next(key), key)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error // else another agent with the same files has
  }
}

/** The certificate, when it is of the key and not over. */
export function usableCertificate({ cert, key }: CredentialFiles, nowUnixMs: number): X509Certificate | undefined {
  const certificate = readCertificate(cert)
  const own = readKey(key)
  if (!certificate || !own || !certificate.checkPrivateKey(own)) return undefined
  return certificate.validToDate.getTime() > nowUnixMs ? certificate : undefined
}

/**
 * A new key, kept beside its place until `storeCertificate`; one that waits there already, perhaps for another agent which was given the same
 * files, is taken again.
 *
 * @throws TunnelError `bad-option` when it cannot be written
 */
export function prepareKey({ key }: CredentialFiles): KeyObject {
  const file = next(key)
  const waiting = readKey(file)
  if (isOurs(waiting)) return waiting
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  writeWhole(file, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(), 0o600, placeFirst)
  const first = readKey(file)
  return isOurs(first) ? first : privateKey
}

/** Unless somebody has put a key there meanwhile: a link, other than a name, is never put over another file. */
function placeFirst(fresh: string, file: string): void {
  try {
    linkSync(fresh, file)
    rmSync(fresh)
  } catch {
    if (isOurs(readKey(file))) rmSync(fresh)
    else renameSync(fresh, file) // what was there is no key, or this file system has no links
  }
}

const isOurs = (key: KeyObject | undefined): key is KeyObject => key?.asymmetricKeyDetails?.namedCurve === 'prime256v1'

/**
 * Puts the certificate in its place, and then its key, unless another agent with the same files has done so already.
 *
 * @throws TunnelError `bad-option` when it cannot be written, or its key is not there any more
 */
export function storeCertificate({ cert, key }: CredentialFiles, pem: string): void {
  const certificate = new X509Certificate(pem)
  const isKeyOf = (file: string): boolean => {
    const found = readKey(file)
    return found !== undefined && certificate.checkPrivateKey(found)
  }
  const waits = isKeyOf(next(key))
  if (!waits && !isKeyOf(key)) {
    throw new TunnelError(
      'bad-option',
      `${key}: the key of the certificate is gone: is it the file of another agent too?`,
    )
  }
  writeWhole(cert, pem, 0o644)
  if (waits) takeWaiting(key)
}

/** @throws TunnelError `bad-option` */
export function writeWhole(
  file: string,
  text: string,
  mode: number,
  place: (fresh: string, file: string) => void = renameSync,
): void {
  const fresh = `${file}.${randomBytes(6).toString('hex')}.new`
  try {
    const descriptor = openSync(fresh, 'wx', mode)
    try {
      writeSync(descriptor, text)
      fsyncSync(descriptor)
    } finally {
      closeSync(descriptor)
    }
    place(fresh, file)
    syncFolder(dirname(file)) // or, after a power failure, the key may be the new one and the certificate the old
  } catch (cause) {
    if (existsSync(fresh)) rmSync(fresh)
    throw new TunnelError('bad-option', `${dirname(file)}: cannot be written to: ${reason(cause)}`, { cause })
  }
}

/** Not every file system can, nor may every owner read the folder: the file is written all the same. */
function syncFolder(folder: string): void {
  let descriptor: number | undefined
  try {
    descriptor = openSync(folder, 'r')
    fsyncSync(descriptor)
  } catch {
    return
  } finally {
    if (descriptor !== undefined) closeSync(descriptor)
  }
}

/** @throws TunnelError `bad-option` when the file could not be written, which is better known before than after */
export function tryToWrite(file: string): void {
  const trial = `${file}.${randomBytes(6).toString('hex')}.trial`
  writeWhole(trial, '', 0o600)
  rmSync(trial, { force: true })
}

function readKey(file: string): KeyObject | undefined {
  try {
    return existsSync(file) ? createPrivateKey(readFileSync(file)) : undefined
  } catch {
    return undefined
  }
}

function readCertificate(file: string): X509Certificate | undefined {
  try {
    return existsSync(file) ? new X509Certificate(readFileSync(file)) : undefined
  } catch {
    return undefined
  }
}
