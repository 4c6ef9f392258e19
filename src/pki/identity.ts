/**
 * Who a certificate says its holder is. Pure and cheap: the proxy-server asks on each TLS handshake.
 *
 *   spiffe://<trust domain>/cluster/<cluster id>/agent/<name>
 *   spiffe://<trust domain>/cluster/<cluster id>/apiserver
 *   spiffe://<trust domain>/user/<name>
 *   spiffe://<trust domain>/server/<id>
 *
 * Cluster ids are DNS labels (RFC 1123). Names, ids and trust domains have the characters that the SPIFFE-ID standard,
 * section 2, allows, so nothing is ever percent-encoded.
 */
import { TunnelError } from '../platform/errors.ts'
import { uriNames } from './alternative-names.ts'

export const ROLES = ['agent', 'apiserver', 'user', 'server'] as const
export type Role = (typeof ROLES)[number]

export type Identity =
  | { readonly role: 'agent'; readonly cluster: string; readonly name: string }
  | { readonly role: 'apiserver'; readonly cluster: string }
  | { readonly role: 'user'; readonly name: string }
  | { readonly role: 'server'; readonly id: string }

export type PeerIdentity =
  | (Identity & { readonly trustDomain: string })
  | { readonly role: 'none' } // no URI SAN of the trust domain: a certificate as the reference knows it
  | { readonly role: 'invalid'; readonly why: string } // says something about us that cannot be trusted: refuse the peer

const CLUSTER = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/
const NAME = /^(?!\.{1,2}$)[A-Za-z0-9._-]{1,253}$/
const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/
const OUR_PATH = /^\/(?:cluster|user|server)(?:\/|$)/i
const SHOWN_CHARACTERS = 200

export const isClusterId = (text: string): boolean => CLUSTER.test(text)
export const isIdentityName = (text: string): boolean => NAME.test(text)
export const isTrustDomain = (text: string): boolean => TRUST_DOMAIN.test(text)

/**
 * Reads the identity from the subject alternative names as Node prints them: `subjectaltname` of
 * `tlsSocket.getPeerCertificate()` or `subjectAltName` of an X509Certificate. Never throws.
 *
 * @param trustDomain the one whose URIs count; others are somebody else's and ignored. Without it, a URI of any trust
 *   domain counts whose path begins as ours do.
 */
export function readIdentity(subjectAltName: string | undefined, trustDomain: string | undefined): PeerIdentity {
  const uris = uriNames(subjectAltName ?? '')
  if (uris === undefined) return invalid('the subject alternative names of the certificate cannot be read')
  let found: PeerIdentity = { role: 'none' }
  for (const uri of uris) {
    const identity = readUri(uri, trustDomain)
    if (identity.role === 'invalid') return identity
    if (identity.role === 'none') continue
    if (found.role !== 'none') return invalid('the certificate names more than one identity')
    found = identity
  }
  return found
}

/** @throws TunnelError `bad-option` when a part is not what the top of this file allows */
export function identityUri(trustDomain: string, identity: Identity): string {
  const problem = identityProblem(trustDomain, identity)
  if (problem !== undefined) throw new TunnelError('bad-option', problem)
  return trustDomainUri(trustDomain) + pathOf(identity)
}

/** The URI that marks a CA as the one of a trust domain. */
export const trustDomainUri = (trustDomain: string): string => `spiffe://${trustDomain}`

/** The trust domain that a CA certificate names, if it names exactly one. */
export function readTrustDomain(subjectAltName: string | undefined): string | undefined {
  const domains = (uriNames(subjectAltName ?? '') ?? [])
    .filter((uri) => uri.startsWith('spiffe://'))
    .map((uri) => uri.slice('spiffe://'.length))
  const [domain] = domains
  return domains.length === 1 && domain !== undefined && isTrustDomain(domain) ? domain : undefined
}

function readUri(uri: string, trustDomain: string | undefined): PeerIdentity {
  if (!/^spiffe:/i.test(uri)) return { role: 'none' }
  const shown = JSON.stringify(uri.slice(0, SHOWN_CHARACTERS))
  const [, authority = '', path = ''] = /^spiffe:\/\/([^/]*)(.*)$/is.exec(uri) ?? []
  // Compared in lower case: another spelling of our domain is refused below, that of a stranger's is none of our business.
  const domain = authority.toLowerCase()
  if (!isTrustDomain(domain)) return invalid(`the certificate's URI ${shown} has no valid trust domain`)
  if (trustDomain === undefined ? !OUR_PATH.test(path) : domain !== trustDomain) return { role: 'none' }
  const identity = readPath(path)
  if (identity === undefined || trustDomainUri(domain) + pathOf(identity) !== uri) {
    return invalid(
      `the certificate's URI ${shown} is of the trust domain but names no agent, apiserver, user or server`,
    )
  }
  return { ...identity, trustDomain: domain }
}

/** A path with more parts than its role has is no longer the same when written again, which is what the caller checks. */
function readPath(path: string): Identity | undefined {
  const [, kind, first = '', role, last = ''] = path.split('/') // the first is the nothing before the leading slash
  let identity: Identity
  if (kind === 'cluster' && role === 'agent') identity = { role, cluster: first, name: last }
  else if (kind === 'cluster' && role === 'apiserver') identity = { role, cluster: first }
  else if (kind === 'user') identity = { role: kind, name: first }
  else if (kind === 'server') identity = { role: kind, id: first }
  else return undefined
  return partsProblem(identity) === undefined ? identity : undefined
}

function pathOf(identity: Identity): string {
  switch (identity.role) {
    case 'agent':
      return `/cluster/${identity.cluster}/agent/${identity.name}`
    case 'apiserver':
      return `/cluster/${identity.cluster}/apiserver`
    case 'user':
      return `/user/${identity.name}`
    case 'server':
      return `/server/${identity.id}`
  }
}

function identityProblem(trustDomain: string, identity: Identity): string | undefined {
  if (!isTrustDomain(trustDomain)) {
    return `expected a trust domain such as hub.example (a-z, 0-9, ".", "-", "_"), got ${JSON.stringify(trustDomain)}`
  }
  return partsProblem(identity)
}

function partsProblem(identity: Identity): string | undefined {
  if ('cluster' in identity && !isClusterId(identity.cluster)) {
    return `expected a cluster id that is a DNS label such as default or eu-1, got ${JSON.stringify(identity.cluster)}`
  }
  const name = 'name' in identity ? identity.name : 'id' in identity ? identity.id : undefined
  if (name === undefined || isIdentityName(name)) return undefined
  return `expected a name of 1 to 253 letters, digits, ".", "-" or "_", got ${JSON.stringify(name)}`
}

function invalid(why: string): PeerIdentity {
  return { role: 'invalid', why }
}
