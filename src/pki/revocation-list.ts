/**
 * The revocation list of a CA in a folder: `crl.pem` beside `ca.crt`. Each change is a new list with the next number, signed
 * and put in the place of the one before whole. One that the CA has not signed is never built upon.
 */
import { X509Certificate } from 'node:crypto'
import { closeSync, existsSync, openSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { TunnelError } from '../platform/errors.ts'
import type { Authority } from './authority.ts'
import { P256, signingKey } from './certificate.ts'
import { type Crl, isSignedBy, readCrls } from './crl.ts'
import { CLOCK_SKEW_MS } from './lifetime.ts'
import { readPem, reason } from './pem.ts'
import { writePublicFile } from './store.ts'
import { x509 } from './x509.ts'

export const LIST_NAME = 'crl.pem'

export type Revoked = { readonly serialNumber: string; readonly revokedAt: Date }
export type RevocationList = {
  readonly number: number
  readonly thisUpdate: Date
  readonly nextUpdate: Date | undefined
  readonly revoked: readonly Revoked[]
}

const CRL_NUMBER = '2.5.29.20'
const SERIAL = /^(?:[0-9a-f]{2})+$/

/** As it is compared: lower case, no colons, whole bytes, no leading zeros but one. undefined: no serial number. */
export function plainSerial(text: string): string | undefined {
  const digits = text.toLowerCase().replaceAll(':', '').replace(/^0x/, '')
  const whole = digits.length % 2 === 0 ? digits : `0${digits}`
  return SERIAL.test(whole) && whole.length <= 40 ? whole.replace(/^(?:00)+(?=..)/, '') : undefined
}

/** undefined: the CA has none yet. @throws TunnelError `bad-option` when the file is not a list that the CA has signed */
export function readList(folder: string, authority: Authority): RevocationList | undefined {
  const file = join(folder, LIST_NAME)
  if (!existsSync(file)) return undefined
  const pem = readPem(file)
  const crls = readNamed(file, pem)
  const [crl] = crls
  if (crls.length !== 1 || !crl || !isSignedBy(crl, new X509Certificate(authority.certificatePem).publicKey)) {
    throw new TunnelError('bad-option', `${file}: is not the one list of this CA: move it away`)
  }
  const list = new x509.X509Crl(pem)
  const number = list.extensions.find(({ type }) => type === CRL_NUMBER)
  return {
    number: number ? numberOf(Buffer.from(number.value)) : 0,
    thisUpdate: list.thisUpdate,
    nextUpdate: list.nextUpdate,
    revoked: list.entries.map(({ serialNumber, revocationDate }) => ({
      serialNumber: plainSerial(serialNumber) ?? serialNumber,
      revokedAt: revocationDate,
    })),
  }
}

/**
 * Adds serial numbers to the list, none to sign it anew, and makes it when there is none.
 *
 * @returns the new list
 * @throws TunnelError `bad-option`
 */
export async function updateList(
  folder: string,
  authority: Authority,
  {
    serials,
    lifetimeMs,
    nowUnixMs,
  }: { readonly serials: readonly string[]; readonly lifetimeMs: number; readonly nowUnixMs: number },
): Promise<RevocationList> {
  using _lock = lock(folder)
  const before = readList(folder, authority)
  const known = new Set(before?.revoked.map(({ serialNumber }) => serialNumber))
  const added = [...new Set(serials)].filter((serial) => !known.has(serial))
  const revokedAt = new Date(Math.floor(nowUnixMs / 1_000) * 1_000)
  const list = {
    number: (before?.number ?? 0) + 1,
    thisUpdate: new Date(nowUnixMs - CLOCK_SKEW_MS), // the clocks of those who read it differ
    nextUpdate: new Date(nowUnixMs + lifetimeMs),
    revoked: [...(before?.revoked ?? []), ...added.map((serialNumber) => ({ serialNumber, revokedAt }))],
  }
  const issuer = new x509.X509Certificate(authority.certificatePem)
  const keyId = issuer.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId
  const crl = await x509.X509CrlGenerator.create({
    issuer: issuer.subjectName,
    thisUpdate: list.thisUpdate,
    nextUpdate: list.nextUpdate,
    entries: list.revoked.map(({ serialNumber, revokedAt }) => ({ serialNumber, revocationDate: revokedAt })),
    extensions: [
      keyId === undefined
        ? await x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey)
        : new x509.AuthorityKeyIdentifierExtension(keyId),
      new x509.Extension(CRL_NUMBER, false, numberDer(list.number)),
    ],
    signingKey: signingKey(authority.keyPem),
    signingAlgorithm: P256,
  })
  writePublicFile(folder, LIST_NAME, `${x509.PemConverter.encode(crl.rawData, 'X509 CRL')}\n`) // as OpenSSL calls it
  return list
}

function readNamed(file: string, pem: string): readonly Crl[] {
  try {
    return readCrls(Buffer.from(pem, 'latin1'))
  } catch (cause) {
    if (!(cause instanceof TunnelError)) throw cause
    throw new TunnelError(cause.code, `${file}: ${cause.message}`, { cause })
  }
}

/** Two that add to one list at once would each lose what the other adds. */
function lock(folder: string): Disposable {
  const file = join(folder, `${LIST_NAME}.lock`)
  try {
    closeSync(openSync(file, 'wx', 0o600))
  } catch (cause) {
    const taken = cause instanceof Error && 'code' in cause && cause.code === 'EEXIST'
    const why = taken ? 'somebody else changes the list right now; if not, remove this file' : reason(cause)
    throw new TunnelError('bad-option', `${file}: ${why}`, { cause })
  }
  return { [Symbol.dispose]: () => rmSync(file, { force: true }) }
}

/** The DER of an INTEGER of up to six bytes. */
function numberDer(number: number): ArrayBuffer {
  const bytes = Buffer.alloc(9)
  bytes.set([0x02, 7])
  bytes.writeUIntBE(number, 3, 6)
  const start = bytes.findIndex((byte, at) => at >= 2 && (byte !== 0 || at === 8))
  const first = (bytes[start] ?? 0) >= 0x80 ? start - 1 : start
  return Uint8Array.from([0x02, 9 - first, ...bytes.subarray(first)]).buffer
}

function numberOf(der: Buffer): number {
  const length = der[1] ?? 0
  return der[0] === 0x02 && length > 0 && length <= 6 && der.length === 2 + length ? der.readUIntBE(2, length) : 0
}
