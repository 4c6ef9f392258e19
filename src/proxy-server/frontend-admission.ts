/**
 * Who a client of the frontend is: by its certificate, on a server of many clusters also by the server name it asked for, or by the
 * Unix socket it came in by. One that is not accepted is counted and warned of.
 */
import type { Socket } from 'node:net'
import type { TLSSocket } from 'node:tls'
import type { Audit, AuditRecord } from '../audit/record.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { createWarnings } from '../platform/repeats.ts'
import { type Admission, admit, DEFAULT_CLUSTER, type PeerCertificate } from './core/admission.ts'
import { admitFrontend, admitSocket } from './core/tenant-admission.ts'
import type { ServerMetrics } from './metrics.ts'
import { plainAddress, sourceOf } from './source.ts'
import type { Standing } from './standing.ts'
import type { Tenants } from './tenants.ts'
import { peerCertificate } from './tls-listener.ts'

/** Clients that are remembered, so as to warn of each once in a while and not at each of its requests. */
const MAX_WARNED = 1_000

export type AdmissionDeps = {
  readonly clock: Clock
  readonly log: Log
  readonly metrics: Pick<ServerMetrics, 'clientForbidden'>
  readonly audit?: Audit | undefined
  /** For those who have no credential, of whom there may be any number. */
  readonly auditOften?: Audit | undefined
}

/** The Unix socket of a cluster. */
export type Entrance = { readonly path: string; readonly cluster: string }

/** What the handshake said, as texts: to read a certificate takes 70 µs. */
type Asking = { readonly peer: PeerCertificate; readonly serverName: string | undefined }

export type FrontendAdmission = {
  readonly overTls: (socket: TLSSocket) => Admission
  /** @param entrance none: the server has one Unix socket and one cluster */
  readonly overSocket: (socket: Socket, entrance?: Entrance) => Admission
  /** The same as when it came, as the clusters are now; counts nothing. */
  readonly again: (socket: Socket) => Admission
}

const ONLY: Admission = { kind: 'admitted', cluster: DEFAULT_CLUSTER, principal: 'unix-socket' }

export function createFrontendAdmission(
  {
    trustDomain,
    tenants,
    standing,
  }: {
    readonly trustDomain: string | undefined
    readonly tenants?: Pick<Tenants, 'directory' | 'unmapped'>
    readonly standing?: Standing | undefined
  },
  { clock, log, metrics, audit, auditOften }: AdmissionDeps,
): FrontendAdmission {
  const warnings = createWarnings(log, clock, MAX_WARNED)
  const entrances = new WeakMap<Socket, Entrance>() // of those who came in by a cluster's own socket
  const asked = new WeakMap<Socket, Asking>() // a change of the clusters asks for all of them again, in one turn

  function ofCertificate(socket: TLSSocket): Admission {
    const peer = peerCertificate(socket, true, standing)
    if (!tenants) return admit(peer, ['apiserver', 'user'], trustDomain)
    const asking = { peer: { ...peer }, serverName: serverNameOf(socket) }
    asked.set(socket, asking)
    return admitFrontend(asking.peer, asking.serverName, trustDomain, tenants.directory())
  }

  function ofCertificateAgain(socket: Socket): Admission {
    const asking = asked.get(socket)
    if (!asking || !tenants) return ofCertificate(socket as TLSSocket)
    return admitFrontend(asking.peer, asking.serverName, trustDomain, tenants.directory())
  }

  function ofEntrance({ path, cluster }: Entrance): Admission {
    return tenants ? admitSocket(path, cluster, tenants.directory()) : ONLY
  }

  function noticed(socket: Socket, admission: Admission, remote: string | undefined): Admission {
    const isStranger = admission.kind === 'refused' && !admission.unmapped
    if (isStranger) auditOften?.({ event: 'frontend', ...decisionOf(admission), source: plainAddress(remote) })
    else audit?.({ event: 'frontend', ...decisionOf(admission), source: sourceOf(socket) })
    if (admission.kind === 'admitted') return admission
    if (admission.unmapped) tenants?.unmapped('frontend')
    else metrics.clientForbidden('frontend')
    const { cause, worded } = admission
    warnings.warn(`${worded ? 'worded' : cause} ${remote}`, { cause, remote }, 'client certificate not accepted')
    return admission
  }

  return {
    overTls: (socket) => noticed(socket, ofCertificate(socket), socket.remoteAddress),
    overSocket(socket, entrance) {
      if (!entrance) return ONLY
      entrances.set(socket, entrance)
      return noticed(socket, ofEntrance(entrance), entrance.path)
    },
    again(socket) {
      const entrance = entrances.get(socket)
      return entrance ? ofEntrance(entrance) : ofCertificateAgain(socket)
    },
  }
}

/** What SNI asked for; Node says false where there was none. */
function serverNameOf(socket: TLSSocket): string | undefined {
  const { servername } = socket as { readonly servername?: string | false | null }
  return typeof servername === 'string' && servername !== '' ? servername : undefined
}

const decisionOf = (admission: Admission): Omit<AuditRecord, 'event'> =>
  admission.kind === 'refused'
    ? { verdict: 'refused', reason: `client certificate not accepted: ${admission.cause}` }
    : { cluster: admission.cluster, principal: admission.principal, verdict: 'allowed' }
