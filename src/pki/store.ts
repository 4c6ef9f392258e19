/**
 * Certificates and keys in a folder: `ca.crt`, `ca.key`, and `<name>.crt`, `<name>.key` for each leaf.
 *
 * A file is written beside its place and then put there whole, so nobody ever reads half a file, and without `replace`
 * an existing file is never touched, whoever made it and when. Keys are 0600, a folder made here is 0700.
 */
import { randomBytes, X509Certificate } from 'node:crypto'
import { closeSync, existsSync, fsyncSync, linkSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { TunnelError } from '../platform/errors.ts'
import type { Authority } from './authority.ts'
import type { CertificateAndKey } from './certificate.ts'
import { readTrustDomain } from './identity.ts'
import { readCertificates, readPem, readPrivateKey, reason } from './pem.ts'

/** The name of the CA's own files, which no leaf may take. */
export const AUTHORITY_NAME = 'ca'

export type Files = { readonly certificateFile: string; readonly keyFile: string }
export type Existing = 'keep' | 'replace'

export function filesOf(folder: string, name: string): Files {
  return { certificateFile: join(folder, `${name}.crt`), keyFile: join(folder, `${name}.key`) }
}

/** @throws TunnelError `bad-option` when one of the files exists and is to be kept, or cannot be written */
export function writePair(folder: string, name: string, pair: CertificateAndKey, existing: Existing): Files {
  const files = filesOf(folder, name)
  write(folder, existing, [
    { file: files.keyFile, text: pair.keyPem, mode: 0o600 },
    { file: files.certificateFile, text: pair.certificatePem, mode: 0o644 },
  ])
  return files
}

/** Puts the CA's certificate beside leaves that are kept elsewhere. One that is there already is left alone. */
export function writeAuthorityCertificate(folder: string, authority: Authority, existing: Existing): string {
  const { certificateFile } = filesOf(folder, AUTHORITY_NAME)
  const { fingerprint256 } = new X509Certificate(authority.certificatePem)
  if (existsSync(certificateFile) && readCertificates(certificateFile)[0].fingerprint256 === fingerprint256) {
    return certificateFile
  }
  write(folder, existing, [{ file: certificateFile, text: authority.certificatePem, mode: 0o644 }])
  return certificateFile
}

/** A file for nobody else, which must not be there yet. */
export function writeSecretFile(file: string, text: string): void {
  write(dirname(file), 'keep', [{ file, text, mode: 0o600 }])
}

/** A file for everybody, whole, in the place of the one before. */
export function writePublicFile(folder: string, name: string, text: string): void {
  write(folder, 'replace', [{ file: join(folder, name), text, mode: 0o644 }])
}

/**
 * The CA of a folder, checked: a CA certificate, the key that belongs to it, and a trust domain.
 *
 * @param trustDomain of a CA that was not made by culvert and names none
 * @throws TunnelError `bad-option`
 */
export function readAuthority(folder: string, trustDomain?: string): Authority {
  const { certificateFile, keyFile } = filesOf(folder, AUTHORITY_NAME)
  if (!existsSync(certificateFile)) {
    throw new TunnelError(
      'bad-option',
      `${certificateFile}: there is no CA here: make one with "culvert pki init --dir ${folder}", or name its folder by --dir`,
    )
  }
  const [certificate] = readCertificates(certificateFile)
  const named = readTrustDomain(certificate.subjectAltName)
  if (!certificate.ca) throw new TunnelError('bad-option', `${certificateFile}: is not the certificate of a CA`)
  if (!certificate.checkPrivateKey(readPrivateKey(keyFile))) {
    throw new TunnelError('bad-option', `${keyFile}: does not belong to ${certificateFile}`)
  }
  if (named !== undefined && trustDomain !== undefined && named !== trustDomain) {
    throw new TunnelError(
      'bad-option',
      `--trust-domain: ${certificateFile} is the CA of ${named}, not of ${trustDomain}`,
    )
  }
  const domain = named ?? trustDomain
  if (domain === undefined) {
    throw new TunnelError('bad-option', `${certificateFile}: names no trust domain: give it by --trust-domain`)
  }
  return { trustDomain: domain, certificatePem: certificate.toString(), keyPem: readPem(keyFile) }
}

type NewFile = { readonly file: string; readonly text: string; readonly mode: number }

function write(folder: string, existing: Existing, files: readonly NewFile[]): void {
  const taken = files.map(({ file }) => file).filter((file) => existing === 'keep' && existsSync(file))
  if (taken.length > 0) throw exists(taken)
  const ending = `.${randomBytes(6).toString('hex')}.new`
  const written: string[] = []
  const placed: string[] = []
  try {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    for (const { file, text, mode } of files) {
      written.push(file + ending)
      writeWhole(file + ending, text, mode)
    }
    for (const { file } of files) {
      if (existing === 'replace') renameSync(file + ending, file)
      else linkNew(file + ending, file)
      placed.push(file)
    }
  } catch (cause) {
    if (existing === 'keep') for (const file of placed) rmSync(file)
    if (cause instanceof TunnelError) throw cause
    throw new TunnelError('bad-option', `${folder}: cannot be written to: ${reason(cause)}`, { cause })
  } finally {
    for (const file of written) if (existsSync(file)) rmSync(file) // a name that cannot be cannot be removed either
  }
}

/** Refuses a place that has been taken since we looked. */
function linkNew(from: string, file: string): void {
  try {
    linkSync(from, file)
  } catch (cause) {
    throw cause instanceof Error && 'code' in cause && cause.code === 'EEXIST' ? exists([file]) : cause
  }
}

function writeWhole(file: string, text: string, mode: number): void {
  const descriptor = openSync(file, 'wx', mode)
  try {
    writeSync(descriptor, text)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

function exists(files: readonly string[]): TunnelError {
  const many = files.length > 1
  const said = `${files.join(' and ')} ${many ? 'exist' : 'exists'} already: choose another folder or name,`
  return new TunnelError('bad-option', `${said} or --force to replace ${many ? 'them' : 'it'}`)
}
