/** What a certificate says, for people and for scripts. Text from a certificate is untrusted: no control character passes. */
import type { X509Certificate } from 'node:crypto'
import { alternativeNames } from './alternative-names.ts'
import { type PeerIdentity, readIdentity, readTrustDomain } from './identity.ts'
import { DAY_MS } from './lifetime.ts'

export type CertificateSummary = {
  readonly subject: string
  readonly issuer: string
  readonly serialNumber: string
  readonly names: readonly string[]
  readonly identity: PeerIdentity
  readonly notBefore: string
  readonly notAfter: string
  /** Rounded down: 0 is the last day, -1 the first after it. */
  readonly daysLeft: number
  readonly sha256: string
  readonly isAuthority: boolean
}

/** @param trustDomain as for `readIdentity` */
export function summarize(
  certificate: X509Certificate,
  nowUnixMs: number,
  trustDomain: string | undefined,
): CertificateSummary {
  const { subjectAltName, validFromDate, validToDate } = certificate
  const names = alternativeNames(subjectAltName ?? '') ?? []
  return {
    subject: nameOf(certificate.subject),
    issuer: nameOf(certificate.issuer),
    serialNumber: certificate.serialNumber.toLowerCase(),
    names: names.map(({ kind, value }) => printable(`${kind}:${value}`)),
    // A CA's own URI has no path; only a leaf has an identity.
    identity: certificate.ca ? { role: 'none' } : readIdentity(subjectAltName, trustDomain),
    notBefore: isoSeconds(validFromDate),
    notAfter: isoSeconds(validToDate),
    daysLeft: Math.floor((validToDate.getTime() - nowUnixMs) / DAY_MS),
    sha256: certificate.fingerprint256,
    isAuthority: certificate.ca,
  }
}

/** The block that `culvert pki show` prints below the file's name. */
export function summaryLines(summary: CertificateSummary, subjectAltName: string | undefined): readonly string[] {
  const left = summary.daysLeft < 0 ? 'EXPIRED' : `${summary.daysLeft} days left`
  const rows: readonly (readonly [string, string])[] = [
    ['subject', summary.subject],
    ['issuer', summary.issuer],
    ['role', summary.isAuthority ? authorityText(subjectAltName) : identityText(summary.identity)],
    ...summary.names.map((name, index) => [index === 0 ? 'names' : '', name] as const),
    ['not before', summary.notBefore],
    ['not after', `${summary.notAfter} (${left})`],
    ['CA', summary.isAuthority ? 'yes' : 'no'],
    ['serial', summary.serialNumber],
    ['SHA-256', summary.sha256],
  ]
  return rows.map(([label, text]) => `  ${label.padEnd(11)}${text}`)
}

export function identityText(identity: PeerIdentity): string {
  switch (identity.role) {
    case 'agent':
      return `agent ${identity.name} of cluster ${identity.cluster} in ${identity.trustDomain}`
    case 'apiserver':
      return `apiserver of cluster ${identity.cluster} in ${identity.trustDomain}`
    case 'user':
      return `user ${identity.name} in ${identity.trustDomain}`
    case 'server':
      return `server ${identity.id} in ${identity.trustDomain}`
    case 'none':
      return 'none: no URI of a trust domain'
    case 'invalid':
      return `INVALID: ${identity.why}`
  }
}

function authorityText(subjectAltName: string | undefined): string {
  const trustDomain = readTrustDomain(subjectAltName)
  return trustDomain === undefined ? 'CA' : `CA of ${trustDomain}`
}

/** Node gives undefined for an empty one, whatever its types say. */
const nameOf = (name: string | undefined): string => printable(name ?? '')

function printable(text: string): string {
  return text.replaceAll('\n', ', ').replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?')
}

/** A certificate's dates have no fractions. */
function isoSeconds(date: Date): string {
  return date.toISOString().replace('.000Z', 'Z')
}
