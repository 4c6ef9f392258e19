/**
 * A leaf certificate of the hub's CA: ECDSA P-256, for one identity.
 *
 * A server's certificate serves (EKU serverAuth) and does nothing else: one that also opened connections would make a stolen
 * server key worth more. All others open connections (clientAuth); one that carries a DNS name or an address may serve
 * under it too, as a kubelet does.
 */
import type { KeyObject, webcrypto } from 'node:crypto'
import type { AuthorityKeyIdentifierExtension, JsonGeneralName, Name, X509Certificate } from '@peculiar/x509'
import { TunnelError } from '../platform/errors.ts'
import type { Authority } from './authority.ts'
import {
  type CertificateAndKey,
  certify,
  distinguishedName,
  newKeys,
  P256,
  type Subject,
  sign,
  signingKey,
  type Validity,
  validity,
} from './certificate.ts'
import { FAMILY_OID, familyDer } from './family.ts'
import { isDnsName, isIpAddress, plainAddress } from './hosts.ts'
import { type Identity, identityUri } from './identity.ts'
import { DAY_MS } from './lifetime.ts'
import { USAGES, type Usage } from './usage.ts'
import { x509 } from './x509.ts'

export type LeafRequest = {
  /** Becomes the URI SAN. Without it the certificate is one as the reference uses: its holder's role is `none`. */
  readonly identity?: Identity
  readonly dnsNames?: readonly string[]
  readonly ipAddresses?: readonly string[]
  /** Default 1 year. Never outlives the CA: cut to its end. */
  readonly lifetimeMs?: number
  /** When it begins to be valid, less the clock skew; default now. */
  readonly nowUnixMs?: number
  /** Default from the identity. For a kube-apiserver or a kubelet, whose name and groups are read from here. */
  readonly subject?: Subject
  /** Default from the identity and the names. */
  readonly usages?: readonly Usage[]
  /** Of the certificate that it follows, in hexadecimal: family.ts. */
  readonly family?: string
}

export const LEAF_LIFETIME_MS = 365 * DAY_MS

const LONGEST_COMMON_NAME = 64 // ub-common-name, RFC 5280 appendix A

/** @throws TunnelError `bad-option` when the request cannot become a certificate, or the CA has expired */
export async function issueLeaf(authority: Authority, request: LeafRequest): Promise<CertificateAndKey> {
  const keys = await newKeys()
  const { certificate, issuer } = await prepare(authority, request, keys.publicKey)
  return sign(certificate, keys, issuer.subjectName, signingKey(authority.keyPem))
}

/** The same for a key that is somebody else's: the certificate alone, in PEM. */
export async function issueLeafFor(authority: Authority, request: LeafRequest, key: KeyObject): Promise<string> {
  const publicKey = key.toCryptoKey(P256, true, ['verify'])
  const { certificate, issuer } = await prepare(authority, request, publicKey)
  return certify(certificate, publicKey, issuer.subjectName, signingKey(authority.keyPem))
}

async function prepare(
  authority: Authority,
  request: LeafRequest,
  publicKey: webcrypto.CryptoKey,
): Promise<{ certificate: Parameters<typeof certify>[0]; issuer: X509Certificate }> {
  const { identity, lifetimeMs = LEAF_LIFETIME_MS, nowUnixMs = Date.now() } = request
  const issuer = new x509.X509Certificate(authority.certificatePem)
  const dates = withinLife(validity(nowUnixMs, lifetimeMs), issuer.notAfter, nowUnixMs)
  const names = alternativeNames(authority.trustDomain, request)
  const extensions = [
    new x509.BasicConstraintsExtension(false, undefined, true),
    new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
    new x509.ExtendedKeyUsageExtension((request.usages ?? usagesOf(request)).map((usage) => USAGES[usage].oid)),
    await x509.SubjectKeyIdentifierExtension.create(publicKey),
    await authorityKey(issuer),
    ...(request.family === undefined ? [] : [new x509.Extension(FAMILY_OID, false, familyDer(request.family))]),
    ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
  ]
  const subject = subjectName(request.subject ?? subjectOf(identity))
  return { certificate: { ...dates, subject, extensions }, issuer }
}

/** The end is the CA's at the latest: nobody would accept a longer one. */
function withinLife(dates: Validity, authorityEnd: Date, nowUnixMs: number): Validity {
  if (nowUnixMs >= authorityEnd.getTime()) {
    throw new TunnelError('bad-option', `the CA expired at ${authorityEnd.toISOString()}: make a new one`)
  }
  return dates.notAfter > authorityEnd ? { ...dates, notAfter: authorityEnd } : dates
}

function alternativeNames(trustDomain: string, request: LeafRequest): JsonGeneralName[] {
  const { identity, dnsNames = [], ipAddresses = [] } = request
  for (const name of dnsNames) {
    if (!isDnsName(name)) throw new TunnelError('bad-option', `expected a DNS name, got ${JSON.stringify(name)}`)
  }
  for (const address of ipAddresses) {
    if (!isIpAddress(address)) {
      throw new TunnelError('bad-option', `expected an IP address, got ${JSON.stringify(address)}`)
    }
  }
  return [
    ...(identity === undefined ? [] : [{ type: 'url' as const, value: identityUri(trustDomain, identity) }]),
    ...dnsNames.map((value) => ({ type: 'dns' as const, value })),
    ...ipAddresses.map((address) => ({ type: 'ip' as const, value: plainAddress(address) })),
  ]
}

function usagesOf({ identity, dnsNames = [], ipAddresses = [] }: LeafRequest): readonly Usage[] {
  if (identity?.role === 'server') return ['serve']
  return dnsNames.length + ipAddresses.length > 0 ? ['connect', 'serve'] : ['connect']
}

/** Groups of our own: where the hub's CA is a client CA of Kubernetes too, the organization is the group. */
function subjectOf(identity: Identity | undefined): Subject {
  switch (identity?.role) {
    case undefined:
      return { organization: 'culvert', commonName: 'culvert' }
    case 'agent':
    case 'user':
      return { organization: `culvert:${identity.role}`, commonName: identity.name }
    case 'apiserver':
      return { organization: 'culvert:apiserver', commonName: 'kube-apiserver' }
    case 'server':
      return { organization: 'culvert:server', commonName: identity.id }
  }
}

/** A common name too long for X.509 is left out: nobody reads it, the identity is in the URI. */
function subjectName({ organization, commonName }: Subject): Name {
  const fits = commonName !== undefined && commonName.length <= LONGEST_COMMON_NAME
  return distinguishedName({ organization, ...(fits ? { commonName } : {}) })
}

/** As the CA states its own key's identifier, which for a CA made elsewhere need not be the hash that we would take. */
async function authorityKey(issuer: X509Certificate): Promise<AuthorityKeyIdentifierExtension> {
  const own = issuer.getExtension(x509.SubjectKeyIdentifierExtension)
  if (own) return new x509.AuthorityKeyIdentifierExtension(own.keyId)
  return x509.AuthorityKeyIdentifierExtension.create(issuer.publicKey)
}
