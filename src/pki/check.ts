/** Whether a leaf certificate is what it should be: issued by the CA, in time, for this role, with this key. Pure. */
import type { KeyObject, X509Certificate } from 'node:crypto'
import { chainTo } from './chain.ts'
import { type PeerIdentity, type Role, readIdentity } from './identity.ts'
import { USAGES } from './usage.ts'

export type Expected = {
  readonly trustDomain?: string | undefined
  readonly role?: Role | undefined
  readonly cluster?: string | undefined
  readonly name?: string | undefined
}

/**
 * @param brought intermediate CAs, as they stand behind the leaf in its file
 * @returns every cause for which the certificate would be refused; none when it is good
 */
export function checkLeaf(
  leaf: X509Certificate,
  authorities: readonly X509Certificate[],
  key: KeyObject | undefined,
  expected: Expected,
  nowUnixMs: number,
  brought: readonly X509Certificate[] = [],
): readonly string[] {
  const chain = chainTo(leaf, authorities, brought)
  const identity = readIdentity(leaf.subjectAltName, expected.trustDomain)
  return [
    leaf.ca ? 'is a CA certificate where one of a server, agent, apiserver or user was expected' : undefined,
    ...(chain ? chain.slice(1).map((issuer) => inTime('the CA', issuer, nowUnixMs)) : ['was not issued by this CA']),
    inTime('the certificate', leaf, nowUnixMs),
    key !== undefined && !leaf.checkPrivateKey(key) ? 'the key does not belong to the certificate' : undefined,
    ...identityProblems(identity, expected),
    usageProblem(identity, leaf),
  ].filter((problem) => problem !== undefined)
}

function inTime(who: string, { validFromDate, validToDate }: X509Certificate, nowUnixMs: number): string | undefined {
  if (nowUnixMs < validFromDate.getTime()) return `${who} is not valid before ${validFromDate.toISOString()}`
  if (nowUnixMs > validToDate.getTime()) return `${who} expired at ${validToDate.toISOString()}`
  return undefined
}

function identityProblems(identity: PeerIdentity, expected: Expected): readonly (string | undefined)[] {
  if (identity.role === 'invalid') return [identity.why]
  const { role } = expected
  const cluster = 'cluster' in identity ? identity.cluster : undefined
  const name = 'name' in identity ? identity.name : 'id' in identity ? identity.id : undefined
  return [
    role !== undefined && role !== identity.role ? `expected the role ${role}, found ${identity.role}` : undefined,
    differs('cluster', expected.cluster, cluster),
    differs('name', expected.name, name),
  ]
}

function differs(what: string, expected: string | undefined, found: string | undefined): string | undefined {
  if (expected === undefined || expected === found) return undefined
  return `expected the ${what} ${expected}, found ${found ?? 'none'}`
}

function usageProblem({ role }: PeerIdentity, leaf: X509Certificate): string | undefined {
  if (role === 'none' || role === 'invalid' || leaf.keyUsage === undefined) return undefined // none stated: good for all
  const usage = role === 'server' ? USAGES.serve : USAGES.connect
  return leaf.keyUsage.includes(usage.oid)
    ? undefined
    : `its extended key usage lacks ${usage.name}, which the role needs`
}
