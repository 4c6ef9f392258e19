/**
 * Who a peer on the agent port is, by the certificate of its connection; on a server of many clusters also of which one. Where
 * agents show tokens those say it (`agent-joining.ts`).
 */
import type { TLSSocket } from 'node:tls'
import type { TlsMaterial } from '../platform/tls-material.ts'
import type { AgentTenants } from './agent-tenants.ts'
import { type Admission, admit, type PeerCertificate } from './core/admission.ts'
import type { ServerMetrics } from './metrics.ts'
import type { Standing } from './standing.ts'
import type { Tenants } from './tenants.ts'
import { peerCertificate } from './tls-listener.ts'

export type AgentAdmissionOptions = {
  readonly material: TlsMaterial
  readonly standing?: Standing | undefined
  readonly trustDomain: string | undefined
  /** Whether agents show tokens: it is theirs then to say which cluster an agent is of. */
  readonly byToken: boolean
}

/** `tenants` and what they know of agents: on a server of many clusters. */
export type AgentAdmissionDeps = {
  readonly tenants: Tenants | undefined
  readonly agentTenants: AgentTenants | undefined
  readonly metrics: Pick<ServerMetrics, 'clientForbidden'>
}

export type AgentAdmission = {
  readonly peerOf: (socket: TLSSocket) => PeerCertificate
  /** Counts nothing: who is refused and told so is counted with `forbidden`. */
  readonly ofPeer: (peer: PeerCertificate) => Admission
  readonly ofSocket: (socket: TLSSocket) => Admission
  readonly forbidden: (refused: { readonly unmapped?: true }) => void
}

export function createAgentAdmission(
  { material, standing, trustDomain, byToken }: AgentAdmissionOptions,
  { tenants, agentTenants, metrics }: AgentAdmissionDeps,
): AgentAdmission {
  const required = material.ca !== undefined
  const peerOf = (socket: TLSSocket): PeerCertificate => peerCertificate(socket, required, standing)
  const ofPeer = (peer: PeerCertificate): Admission =>
    agentTenants && !byToken ? agentTenants.ofPeer(peer) : admit(peer, ['agent'], trustDomain)

  return {
    peerOf,
    ofPeer,
    ofSocket: (socket) => ofPeer(peerOf(socket)),
    forbidden({ unmapped }) {
      if (unmapped) tenants?.unmapped('agent')
      else metrics.clientForbidden('agent')
    },
  }
}
