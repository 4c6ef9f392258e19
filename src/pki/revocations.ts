/**
 * What a set of revocation lists says of a chain of certificates. A list counts for the CA that has signed it, known by its key:
 * two CAs of one name, as in a rotation, do not share their lists, and one that writes its name in another way than its
 * certificate does, which is one name to TLS, has its own. Who has renewed is revoked with the whole family, also by the list of the CA
 * that issued the first of it: a hub renews certificates of any CA that it trusts into ones of another.
 */
import type { X509Certificate } from 'node:crypto'
import { namesOf } from './chain.ts'
import { type Crl, isSignedBy } from './crl.ts'
import { statedFamily } from './family.ts'

export type Revocations = {
  /** The first certificate of the chain that was taken back. @param chain from the leaf to the CA */
  readonly find: (chain: readonly X509Certificate[]) => X509Certificate | undefined
  /** When the first of the lists expires; undefined: none does. */
  readonly endUnixMs: number | undefined
  /** Certificates on the lists. */
  readonly count: number
  /** Lists that none of `authorities` has signed: perhaps those of an intermediate, perhaps of use to nobody. */
  readonly strangers: number
  /** The last list of each CA: when it was signed, by the fingerprint of the CA. */
  readonly signedUnixMs: ReadonlyMap<string, number>
}

export type LoadedRevocations =
  | { readonly ok: true; readonly revocations: Revocations }
  | { readonly ok: false; readonly problem: string }

/**
 * @param authorities the CAs that are trusted: a list in the name of one of them that it has not signed is forged or damaged,
 *   and takes the whole set with it. One in another name is kept for the chains that bring its CA along.
 */
export function createRevocations(crls: readonly Crl[], authorities: readonly X509Certificate[]): LoadedRevocations {
  const known = authorities.map((authority) => ({ authority, name: namesOf(authority).subject }))
  const signedUnixMs = new Map<string, number>()
  const trusted = new Set<Crl>()
  let strangers = 0
  for (const [index, crl] of crls.entries()) {
    const named = known.filter(({ name }) => name === crl.issuer)
    const others = known.filter(({ name }) => name !== crl.issuer)
    const signer = [...named, ...others].find(({ authority }) => isSignedBy(crl, authority.publicKey))
    const [first] = named
    if (signer) {
      const { fingerprint256 } = signer.authority
      trusted.add(crl)
      signedUnixMs.set(fingerprint256, Math.max(crl.thisUpdateUnixMs, signedUnixMs.get(fingerprint256) ?? 0))
    } else if (!first) strangers++
    else {
      const name: string | undefined = first.authority.subject
      const who = name?.replaceAll('\n', ', ') ?? 'a CA of no name'
      return {
        ok: false,
        problem: `list number ${index + 1} is in the name of ${who}, whose signature it does not have`,
      }
    }
  }
  const ends = crls.flatMap(({ nextUpdateUnixMs }) => nextUpdateUnixMs ?? [])
  const find = (chain: readonly X509Certificate[]): X509Certificate | undefined =>
    chain.find((certificate, index) => {
      const { serial } = namesOf(certificate)
      const key = (chain[index + 1] ?? certificate).publicKey // the last has signed itself
      const family = index === 0 ? statedFamily(certificate) : undefined
      return crls.some((crl) => {
        const hasFamily = family !== undefined && crl.serials.has(family)
        if (hasFamily && trusted.has(crl)) return true
        return (hasFamily || crl.serials.has(serial)) && isSignedBy(crl, key)
      })
    })
  return {
    ok: true,
    revocations: {
      find,
      endUnixMs: ends.length > 0 ? Math.min(...ends) : undefined,
      count: crls.reduce((sum, { serials }) => sum + serials.size, 0),
      strangers,
      signedUnixMs,
    },
  }
}
