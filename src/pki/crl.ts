/**
 * Certificate revocation lists (RFC 5280, section 5) from PEM or DER: which serial numbers a CA has taken back. Read by us and not
 * by the X.509 library, so that a server which loads a list every now and then stays small, and a list of 100,000 is quick.
 *
 * A list that means something else than "these are revoked, by whom signed it" is refused: one of changes only (delta), one
 * that speaks for other CAs (indirect), one with a critical extension that we do not know.
 */
import { Buffer } from 'node:buffer'
import { type KeyObject, verify } from 'node:crypto'
import { TunnelError } from '../platform/errors.ts'
import { type Der, malformed, readDer, readSequence, readTime, TAG } from './der.ts'

export type Crl = {
  /** The distinguished name of the CA: its DER, in hexadecimal. */
  readonly issuer: string
  readonly thisUpdateUnixMs: number
  /** None: the list does not expire. */
  readonly nextUpdateUnixMs: number | undefined
  /** As the DER of a certificate has them, in hexadecimal. */
  readonly serials: ReadonlySet<string>
  readonly signed: Buffer
  readonly signature: Buffer
  /** `undefined` for a key that has its own, as Ed25519. */
  readonly hash: string | undefined
}

const BLOCK = /-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]*)-----END X509 CRL-----/g

const HASHES: Readonly<Record<string, string | undefined>> = {
  '2a8648ce3d040302': 'sha256', // ECDSA
  '2a8648ce3d040303': 'sha384',
  '2a8648ce3d040304': 'sha512',
  '2a864886f70d01010b': 'sha256', // RSA
  '2a864886f70d01010c': 'sha384',
  '2a864886f70d01010d': 'sha512',
  '2b6570': undefined, // Ed25519
  '2b6571': undefined, // Ed448
}
const DELTA = '551d1b'
const DISTRIBUTION_POINT = '551d1c'
const CERTIFICATE_ISSUER = '551d1d'
/** `indirectCRL [4] BOOLEAN` in an issuing distribution point. */
const INDIRECT_TAG = 0x84
const EXTENSIONS_TAG = 0xa0

/** All lists of a file, at least one: PEM, several one after the other, or one in DER. @throws TunnelError `bad-option` */
export function readCrls(bytes: Buffer): readonly Crl[] {
  if (bytes[0] === TAG.sequence) return [readCrl(bytes, 1)]
  const blocks = [...bytes.toString('latin1').matchAll(BLOCK)]
  if (blocks.length === 0) throw new TunnelError('bad-option', 'holds no revocation list, neither in PEM nor in DER')
  return blocks.map(([, base64 = ''], index) => readCrl(Buffer.from(base64, 'base64'), index + 1))
}

/** Whether the holder of the key has signed the list. */
export function isSignedBy({ hash, signed, signature }: Crl, key: KeyObject): boolean {
  try {
    return verify(hash, signed, key, signature)
  } catch {
    return false // the key is of another kind
  }
}

function readCrl(der: Buffer, number: number): Crl {
  try {
    return read(der)
  } catch (cause) {
    if (!(cause instanceof TunnelError)) throw cause
    throw new TunnelError('bad-option', `holds a damaged or unusable list, number ${number}: ${cause.message}`, {
      cause,
    })
  }
}

function read(der: Buffer): Crl {
  const [list, algorithm, signature, ...more] = readSequence(der)
  if (!list || !algorithm || signature?.tag !== TAG.bitString || signature.content[0] !== 0 || more.length > 0) {
    throw malformed('it is no CertificateList')
  }
  const fields = readSequence(list.whole)
  if (fields[0]?.tag === TAG.integer) fields.shift() // the version
  const [inner, issuer, thisUpdate, ...optional] = fields
  if (!inner || !issuer || !thisUpdate) throw malformed('it is no CertificateList')
  if (!inner.whole.equals(algorithm.whole)) throw malformed('it names two algorithms for one signature')
  const isTime = (field: Der | undefined): boolean => field?.tag === TAG.utcTime || field?.tag === TAG.generalizedTime
  const nextUpdate = isTime(optional[0]) ? optional.shift() : undefined
  const revoked = optional[0]?.tag === TAG.sequence ? optional.shift() : undefined
  const extensions = optional[0]?.tag === EXTENSIONS_TAG ? optional.shift() : undefined
  if (optional.length > 0) throw malformed('it has fields that nobody knows')
  checkExtensions(extensions ? readSequence(extensions.content) : [])
  return {
    issuer: issuer.whole.toString('hex'),
    thisUpdateUnixMs: readTime(thisUpdate),
    nextUpdateUnixMs: nextUpdate && readTime(nextUpdate),
    serials: new Set(revoked ? readDer(revoked.content).map(serialOf) : []),
    signed: list.whole,
    signature: signature.content.subarray(1),
    hash: hashOf(readSequence(algorithm.whole)[0]),
  }
}

function serialOf(entry: Der): string {
  const [serial, , extensions] = readSequence(entry.whole)
  if (serial?.tag !== TAG.integer) throw malformed('an entry has no serial number')
  if (extensions) checkExtensions(readSequence(extensions.whole))
  return serial.content.toString('hex')
}

function checkExtensions(extensions: readonly Der[]): void {
  for (const extension of extensions) {
    const [id, second, third] = readSequence(extension.whole)
    const name = id?.content.toString('hex') ?? ''
    const value = third ?? second
    if (name === DELTA) throw malformed('it is a delta list, which says less than a whole one')
    if (name === CERTIFICATE_ISSUER) throw malformed('it is an indirect list, which speaks for other CAs')
    if (name === DISTRIBUTION_POINT && value) checkDistributionPoint(value)
    else if (third && second?.content[0] === 0xff) throw malformed('it has a critical extension that is not known')
  }
}

/** A list of a part of the certificates is fine: whoever is on it is revoked all the same. */
function checkDistributionPoint({ content }: Der): void {
  const indirect = readSequence(content).some(({ tag, content }) => tag === INDIRECT_TAG && content[0] !== 0)
  if (indirect) throw malformed('it is an indirect list, which speaks for other CAs')
}

function hashOf(algorithm: Der | undefined): string | undefined {
  const id = algorithm?.content.toString('hex') ?? ''
  if (!Object.hasOwn(HASHES, id)) {
    throw malformed('it is signed in a way that is not supported: ECDSA or RSA with SHA-256 to SHA-512, or Ed25519, is')
  }
  return HASHES[id]
}
