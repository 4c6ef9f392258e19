/** The way from a certificate to a CA that is trusted, as TLS has found it before: looked for again when what is trusted changes. */
import type { Buffer } from 'node:buffer'
import type { X509Certificate } from 'node:crypto'
import { malformed, readSequence, TAG } from './der.ts'

/** Longest chain, and most certificates that a peer may bring along: a limit on the search. */
const MAX_LENGTH = 8

/**
 * From the leaf to the self-signed CA of the bundle; undefined when there is no way. Dates are not looked at.
 *
 * @param more intermediates, besides those that the leaf's own connection brought along
 */
export function chainTo(
  leaf: X509Certificate,
  authorities: readonly X509Certificate[],
  more: readonly X509Certificate[] = [],
): readonly X509Certificate[] | undefined {
  const brought = more.slice(0, MAX_LENGTH)
  for (let next = leaf.issuerCertificate; next && brought.length < MAX_LENGTH; next = next.issuerCertificate) {
    brought.push(next)
  }
  const search = (chain: readonly [X509Certificate, ...X509Certificate[]]): readonly X509Certificate[] | undefined => {
    const [last] = chain
    if (chain.length > MAX_LENGTH) return undefined
    for (const authority of authorities) {
      if (!isIssuer(authority, last)) continue
      if (isIssuer(authority, authority)) return [authority, ...chain]
      const further = isNew(chain, authority) && search([authority, ...chain])
      if (further) return further
    }
    for (const issuer of brought) {
      const further = isNew(chain, issuer) && isIssuer(issuer, last) && search([issuer, ...chain])
      if (further) return further
    }
    return undefined
  }
  return search([leaf])?.toReversed()
}

/** What a revocation list knows a certificate by: its issuer's name and its serial number, as their DER has them. */
export function namesOf(certificate: X509Certificate): { issuer: string; subject: string; serial: string } {
  const [body] = readSequence(certificate.raw as Buffer)
  if (!body) throw malformed('it is no Certificate')
  const fields = readSequence(body.whole)
  if (fields[0]?.tag !== TAG.integer) fields.shift() // the version
  const [serial, , issuer, , subject] = fields
  if (!serial || !issuer || !subject) throw malformed('it is no Certificate')
  return {
    serial: serial.content.toString('hex'),
    issuer: issuer.whole.toString('hex'),
    subject: subject.whole.toString('hex'),
  }
}

const isNew = (chain: readonly X509Certificate[], candidate: X509Certificate): boolean =>
  !chain.some(({ fingerprint256 }) => fingerprint256 === candidate.fingerprint256)

/** What a peer brings along may have a key that OpenSSL cannot decode, and then throws. */
function isIssuer(authority: X509Certificate, issued: X509Certificate): boolean {
  try {
    return authority.ca && issued.checkIssued(authority) && issued.verify(authority.publicKey)
  } catch {
    return false
  }
}
