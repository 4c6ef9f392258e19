/**
 * The certificate authority of a hub: one self-signed ECDSA P-256 certificate that issues leaves and nothing below them.
 * It carries its trust domain as a URI SAN (`spiffe://<trust domain>`), so that whoever has the CA needs no second file.
 */
import { TunnelError } from '../platform/errors.ts'
import { type CertificateAndKey, distinguishedName, newKeys, sign, validity } from './certificate.ts'
import { isTrustDomain, trustDomainUri } from './identity.ts'
import { DAY_MS } from './lifetime.ts'
import { x509 } from './x509.ts'

export type Authority = CertificateAndKey & { readonly trustDomain: string }

export type AuthorityRequest = {
  /** Lower case: letters, digits, ".", "-", "_"; by convention the hub's DNS name. */
  readonly trustDomain: string
  /** Default 10 years. */
  readonly lifetimeMs?: number
  /** When it begins to be valid, less the clock skew; default now. */
  readonly nowUnixMs?: number
}

export const AUTHORITY_LIFETIME_MS = 10 * 365 * DAY_MS

/** @throws TunnelError `bad-option` */
export async function createAuthority(request: AuthorityRequest): Promise<Authority> {
  const { trustDomain, lifetimeMs = AUTHORITY_LIFETIME_MS, nowUnixMs = Date.now() } = request
  if (!isTrustDomain(trustDomain)) {
    throw new TunnelError(
      'bad-option',
      `expected a trust domain such as hub.example (a-z, 0-9, ".", "-", "_"), got ${JSON.stringify(trustDomain)}`,
    )
  }
  const keys = await newKeys()
  const subject = distinguishedName({ organization: 'culvert', commonName: 'Culvert hub CA' })
  const { KeyUsageFlags } = x509
  const extensions = [
    new x509.BasicConstraintsExtension(true, 0, true),
    new x509.KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
    await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    new x509.SubjectAlternativeNameExtension([{ type: 'url', value: trustDomainUri(trustDomain) }]),
  ]
  const pair = await sign({ ...validity(nowUnixMs, lifetimeMs), subject, extensions }, keys, subject, keys.privateKey)
  return { trustDomain, ...pair }
}
