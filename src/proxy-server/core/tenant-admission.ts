/**
 * Which cluster a peer is of, on a server of many: by what somebody has vouched for, never by what it says of itself. Everything
 * that says so must say the same; what says nothing is refused. Pure. Source: docs/tenancy.md.
 */
import { canonicalName } from '../../clusters/cluster.ts'
import type { Directory, Side } from '../../clusters/directory.ts'
import { alternativeNames } from '../../pki/alternative-names.ts'
import type { PeerIdentity, Role } from '../../pki/identity.ts'
import { type Admission, type PeerCertificate, principalOf, type Refused, subjectOf, verify } from './admission.ts'

const ROLES: Readonly<Record<Side, readonly Role[]>> = { agents: ['agent'], frontends: ['apiserver', 'user'] }

export function admitAgent(peer: PeerCertificate, trustDomain: string | undefined, directory: Directory): Admission {
  return admitPeer(peer, 'agents', trustDomain, directory, undefined)
}

/** @param serverName what the client asked for by SNI */
export function admitFrontend(
  peer: PeerCertificate,
  serverName: string | undefined,
  trustDomain: string | undefined,
  directory: Directory,
): Admission {
  const asked = serverName === undefined ? undefined : directory.byServerName(serverName)
  return admitPeer(peer, 'frontends', trustDomain, directory, asked)
}

/**
 * An agent that has shown a token, by the user that TokenReview found. Where it must show a certificate as well, that one may name no
 * cluster, but not another one.
 */
export function admitUser(
  user: string,
  peer: PeerCertificate,
  trustDomain: string | undefined,
  directory: Directory,
): Admission {
  const cluster = directory.byAgentUser(user)
  if (cluster === undefined) return unmapped('the user of its token is of no cluster')
  if (!peer.required) return admitted(cluster, user)
  const verified = verify(peer, ROLES.agents, trustDomain)
  if (verified.kind === 'refused') return verified
  const vouched = [...vouchedFor(peer, verified.identity, 'agents', directory).keys()]
  if (vouched.every((its) => its === cluster)) return admitted(cluster, user)
  return unmapped('its certificate is of another cluster than the user of its token')
}

/** A client that came in by a Unix socket, whose permissions say who may use it. */
export function admitSocket(socket: string, cluster: string, directory: Directory): Admission {
  return directory.get(cluster)?.frontends.socket === socket
    ? admitted(cluster, `cluster/${cluster}/unix-socket`)
    : unmapped('the socket is of no cluster')
}

function admitPeer(
  peer: PeerCertificate,
  side: Side,
  trustDomain: string | undefined,
  directory: Directory,
  asked: string | undefined,
): Admission {
  const verified = verify(peer, ROLES[side], trustDomain)
  if (verified.kind === 'refused') return verified
  const { identity } = verified
  const vouched = vouchedFor(peer, identity, side, directory)
  if (vouched.size > 1) return unmapped('what it says is of more than one cluster')
  const [[cluster, by] = [undefined, undefined]] = vouched
  if (cluster !== undefined && directory.get(cluster) === undefined) {
    return worded(`the cluster ${cluster} is not one of this server`)
  }
  if (cluster === undefined && side === 'frontends' && vouchedFor(peer, identity, 'agents', directory).size > 0) {
    return unmapped("it is that of an agent, by the clusters' mappings") // the server name it asks for says nothing then
  }
  if (identity.role === 'user') return admitHolder(identity.name, cluster, asked, directory)
  if (cluster !== undefined && asked !== undefined && cluster !== asked) {
    return unmapped('it is of another cluster than the server name that was asked for')
  }
  const found = cluster ?? asked
  if (found === undefined) return unmapped('it names no cluster of this server')
  return admitted(
    found,
    identity.role === 'none' ? `cluster/${found}/${by ?? subjectOf(peer)}` : principalOf(identity, ''),
  )
}

/** The holder of a user certificate, who may reach the clusters that list him; he says by the server name which one. */
function admitHolder(
  name: string,
  vouched: string | undefined,
  asked: string | undefined,
  directory: Directory,
): Admission {
  const allowed = new Set([...directory.byFrontendUser(name), ...(vouched === undefined ? [] : [vouched])])
  const [only] = allowed
  if (only === undefined) return worded(`the user ${name} is of no cluster`)
  if (asked === undefined && allowed.size > 1) {
    return worded(`the user ${name} is of several clusters: ask for one by its server name`)
  }
  if (asked !== undefined && !allowed.has(asked)) {
    return worded(`the user ${name} is not of the cluster whose server name was asked for`)
  }
  return admitted(asked ?? only, `user/${name}`)
}

/** Clusters, each with what it was known by. */
function vouchedFor(
  { subject, subjectAltName }: PeerCertificate,
  identity: PeerIdentity,
  side: Side,
  directory: Directory,
): ReadonlyMap<string, string> {
  const found = new Map<string, string>()
  if (identity.role === 'agent' || identity.role === 'apiserver') found.set(identity.cluster, identity.role)
  const bySubject = directory.bySubject(side, subject)
  if (bySubject !== undefined) found.set(bySubject, subject)
  for (const { kind, value } of alternativeNames(subjectAltName ?? '') ?? []) {
    const name = canonicalName(`${kind}:${value}`)
    const cluster = directory.byName(side, name)
    if (cluster !== undefined && !found.has(cluster)) found.set(cluster, name)
  }
  return found
}

const admitted = (cluster: string, principal: string): Admission => ({ kind: 'admitted', cluster, principal })
const unmapped = (cause: string): Refused => ({ kind: 'refused', cause, unmapped: true })
const worded = (cause: string): Refused => ({ ...unmapped(cause), worded: true })
