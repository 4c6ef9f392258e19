/**
 * The certificates that came of one another by renewal: each carries the number of the family, which is the serial number of the
 * first. To revoke any of them by `culvert pki revoke` is to revoke all, also one that a thief has renewed and nobody else has seen.
 *
 * In a certificate it is a non-critical extension, which other programs pass over: the number as an INTEGER.
 */
import { Buffer } from 'node:buffer'
import type { X509Certificate } from 'node:crypto'
import { namesOf } from './chain.ts'
import { readSequence, TAG } from './der.ts'

/** Of the branch for identifiers that are made from random numbers; no part is too long for Go. */
export const FAMILY_OID = '1.2.840.113556.1.8000.2554.48127.22913.6204.17550.46321.9275631.12380417'
const FAMILY_OID_DER = '2a864886f71401be40937a82f77f81b301b03c81890e82e97184b6916f85f3d201'
const EXTENSIONS_TAG = 0xa3
/** A shorter number, as CAs have that count from 1, may well be another certificate's of another CA: bytes. */
const SHORTEST = 8
/** Of a serial number, with a sign: bytes. */
const LONGEST = 21

/** As a certificate states it, in the form that a revocation list has: undefined when it is the first, or of a CA that states none. */
export function statedFamily(certificate: X509Certificate): string | undefined {
  const [body] = readSequence(certificate.raw as Buffer)
  const extensions = body && readSequence(body.whole).find(({ tag }) => tag === EXTENSIONS_TAG)
  const [all] = extensions ? [readSequence(extensions.content)] : []
  for (const { whole } of all ?? []) {
    const [id, value] = readSequence(whole)
    if (id?.content.toString('hex') !== FAMILY_OID_DER || !value) continue
    const { content } = value
    const isNumber = content[0] === TAG.integer && content[1] === content.length - 2
    if (isNumber && content.length >= 2 + SHORTEST && content.length <= 2 + LONGEST) {
      return content.subarray(2).toString('hex')
    }
  }
  return undefined
}

/** The number for what is renewed from it. */
export function familyOf(certificate: X509Certificate): string {
  const stated = statedFamily(certificate)
  if (stated !== undefined) return stated
  const { serial } = namesOf(certificate)
  if (serial.length >= 2 * SHORTEST && serial.length <= 2 * LONGEST) return serial
  return `40${certificate.fingerprint256.replaceAll(':', '').slice(0, 30).toLowerCase()}`
}

/** The value of the extension. */
export function familyDer(family: string): ArrayBuffer {
  const number = Buffer.from(family, 'hex')
  return Uint8Array.from([TAG.integer, number.length, ...number]).buffer
}
