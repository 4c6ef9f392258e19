/** The way from a certificate to a CA that is trusted, as TLS has found it before: looked for again when what is trusted changes. */
import type { Buffer } from 'node:buffer'
import type { X509Certificate } from 'node:crypto'
import { malformed, readSequence, TAG } from './der.ts'

/** Longest chain, and most certificates that a peer may bring along. */
export const MAX_CHAIN_LENGTH = 8
/** Signatures that one search checks at most: somebody may bring certificates that all seem to have issued each other. */
const MAX_CHECKS = 128

type Chain = readonly [X509Certificate, ...X509Certificate[]]
/** From the CA that is farthest away down to the leaf, and when the first of them expires. */
type Way = { readonly chain: Chain; readonly endUnixMs: number }

/**
 * From the leaf to the self-signed CA of the bundle; undefined when there is no way. Of several ways, as when a CA was renewed
 * with the key that it had, the one that is good for longest. Dates are not looked at otherwise.
 *
 * @param more intermediates, besides those that the leaf's own connection brought along
 */
export function chainTo(
  leaf: X509Certificate,
  authorities: readonly X509Certificate[],
  more: readonly X509Certificate[] = [],
): readonly X509Certificate[] | undefined {
  const brought = more.slice(0, MAX_CHAIN_LENGTH)
  for (let next = leaf.issuerCertificate; next && brought.length < MAX_CHAIN_LENGTH; next = next.issuerCertificate) {
    brought.push(next)
  }
  const issuers = new Map([...brought, ...authorities].map((one) => [one.fingerprint256, one]))
  const trusted = new Set(authorities.map(({ fingerprint256 }) => fingerprint256))
  const gone = new Set<string>() // each certificate is gone on from once, by the best way to it
  const isIssuer = createCheck()
  const ways: Way[] = [{ chain: [leaf], endUnixMs: endOf(leaf) }]
  for (let way = takeBest(ways); way; way = takeBest(ways)) {
    const { chain, endUnixMs } = way
    const [last] = chain
    const { fingerprint256 } = last
    if (chain.length > 1 && trusted.has(fingerprint256) && isIssuer(last, last)) return chain.toReversed()
    if (gone.has(fingerprint256) || chain.length > MAX_CHAIN_LENGTH) continue
    gone.add(fingerprint256)
    for (const issuer of issuers.values()) {
      const isNew = chain.length === 1 || !gone.has(issuer.fingerprint256)
      if (!isNew || !isIssuer(issuer, last)) continue
      ways.push({ chain: [issuer, ...chain], endUnixMs: Math.min(endUnixMs, endOf(issuer)) })
    }
  }
  return undefined
}

function takeBest(ways: Way[]): Way | undefined {
  let best = 0
  for (const [index, { endUnixMs }] of ways.entries()) if (endUnixMs > (ways[best]?.endUnixMs ?? 0)) best = index
  return ways.splice(best, 1)[0]
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

function createCheck(): (authority: X509Certificate, issued: X509Certificate) => boolean {
  let left = MAX_CHECKS
  return (authority, issued) => {
    try {
      if (left === 0 || !authority.ca || !issued.checkIssued(authority)) return false
      left--
      return issued.verify(authority.publicKey)
    } catch {
      return false // what a peer brings along may have a key that OpenSSL cannot decode
    }
  }
}

const endOf = ({ validToDate }: X509Certificate): number => validToDate.getTime()
