/**
 * Who a peer is and whether it may use the port it came to, from its certificate alone. Pure.
 * Source: docs of identity in src/pki/identity.ts. Here every certificate of the CA is of the cluster `default`; a server of many
 * clusters asks `tenant-admission.ts`.
 */
import { type PeerIdentity, type Role, readIdentity } from '../../pki/identity.ts'

/** The one cluster of a server that serves one. */
export const DEFAULT_CLUSTER = 'default'

export type Admission =
  | { readonly kind: 'admitted'; readonly cluster: string; readonly principal: string }
  /**
   * @param unmapped it is accepted as it is, and leads to no cluster, or to more than one
   * @param worded the cause has words of the certificate: there are any number of it
   */
  | { readonly kind: 'refused'; readonly cause: string; readonly unmapped?: true; readonly worded?: true }

/** What TLS found out about a peer. */
export type PeerCertificate = {
  /** Whether the port asks for certificates at all. */
  readonly required: boolean
  readonly present: boolean
  /** OpenSSL's or Node's code when the certificate was not accepted. */
  readonly error: string | undefined
  readonly subject: string
  readonly subjectAltName: string | undefined
}

const CAUSES: Readonly<Record<string, string>> = {
  CERT_HAS_EXPIRED: 'it has expired',
  CERT_REVOKED: 'it was revoked',
  CERT_NOT_YET_VALID: 'it is not valid yet',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'it is self-signed',
  SELF_SIGNED_CERT_IN_CHAIN: 'its chain ends in a CA that this server does not trust',
  UNABLE_TO_GET_ISSUER_CERT: 'it was not issued by the CA of this server',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'it was not issued by the CA of this server',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'it was not issued by the CA of this server',
  INVALID_PURPOSE: 'it is not a certificate for clients',
  CERT_SIGNATURE_FAILURE: 'its signature is wrong',
}

/** A certificate that is good for the port. */
export type Verified = { readonly kind: 'verified'; readonly identity: PeerIdentity }
export type Refused = Extract<Admission, { readonly kind: 'refused' }>

/** @param roles what a certificate with a URI SAN must be to use this port; one without is taken as the reference takes it */
export function admit(peer: PeerCertificate, roles: readonly Role[], trustDomain: string | undefined): Admission {
  if (!peer.required) return admitted('anonymous') // what nobody has verified says nothing
  const verified = verify(peer, roles, trustDomain)
  return verified.kind === 'refused' ? verified : admitted(principalOf(verified.identity, subjectOf(peer)))
}

/** Of a port that asks for certificates. */
export function verify(
  peer: PeerCertificate,
  roles: readonly Role[],
  trustDomain: string | undefined,
): Verified | Refused {
  if (!peer.present) return refused('none was sent')
  if (peer.error !== undefined) return refused(CAUSES[peer.error] ?? `it does not verify (${peer.error})`)
  const identity = readIdentity(peer.subjectAltName, trustDomain)
  if (identity.role === 'invalid') return { ...refused(identity.why), worded: true }
  if (identity.role !== 'none' && !roles.includes(identity.role)) {
    return refused(
      `it is ${article(identity.role)} certificate, and this port is for ${roles.join(' and ')} certificates`,
    )
  }
  return { kind: 'verified', identity }
}

const admitted = (principal: string): Admission => ({ kind: 'admitted', cluster: DEFAULT_CLUSTER, principal })
const refused = (cause: string): Refused => ({ kind: 'refused', cause })
const article = (role: string): string => (role === 'user' || role === 'server' ? `a ${role}` : `an ${role}`)

/** Who has none is told from others by its names. */
export const subjectOf = ({ subject, subjectAltName = '' }: PeerCertificate): string =>
  subject === '' ? subjectAltName : subject

export function principalOf(identity: PeerIdentity, subject: string): string {
  switch (identity.role) {
    case 'agent':
      return `cluster/${identity.cluster}/agent/${identity.name}`
    case 'apiserver':
      return `cluster/${identity.cluster}/apiserver`
    case 'user':
      return `user/${identity.name}`
    case 'server':
      return `server/${identity.id}`
    default:
      return subject
  }
}
