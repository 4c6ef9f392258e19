/**
 * What a set of revocation lists says of a chain of certificates. A list counts for the CA that has signed it, which is looked
 * for by name and found by its key: two CAs of one name, as in a rotation, do not share their lists. Who has renewed is revoked
 * with the whole family.
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
  /** Names of CAs, in the lists' own form, that are none of `authorities`: perhaps those of an intermediate. */
  readonly strangers: number
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
  let strangers = 0
  for (const [index, crl] of crls.entries()) {
    const named = known.filter(({ name }) => name === crl.issuer)
    if (named.length === 0) strangers++
    else if (!named.some(({ authority }) => isSignedBy(crl, authority.publicKey))) {
      const who = named[0]?.authority.subject.replaceAll('\n', ', ')
      return {
        ok: false,
        problem: `list number ${index + 1} is in the name of ${who}, whose signature it does not have`,
      }
    }
  }
  const ends = crls.flatMap(({ nextUpdateUnixMs }) => nextUpdateUnixMs ?? [])
  const find = (chain: readonly X509Certificate[]): X509Certificate | undefined =>
    chain.find((certificate, index) => {
      const { issuer, serial } = namesOf(certificate)
      const key = (chain[index + 1] ?? certificate).publicKey // the last has signed itself
      const family = index === 0 ? statedFamily(certificate) : undefined
      const isListed = ({ serials }: Crl): boolean =>
        serials.has(serial) || (family !== undefined && serials.has(family))
      return crls.some((crl) => crl.issuer === issuer && isListed(crl) && isSignedBy(crl, key))
    })
  return {
    ok: true,
    revocations: {
      find,
      endUnixMs: ends.length > 0 ? Math.min(...ends) : undefined,
      count: crls.reduce((sum, { serials }) => sum + serials.size, 0),
      strangers,
    },
  }
}
