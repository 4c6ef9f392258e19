/**
 * Frames for connections that are not there: what their sender is told. One has crossed the end of its connection, or makes no
 * sense; peers without half close are answered in the words of konnectivity, which its programs expect. Pure.
 * Source: docs/protocol.md section 5.
 */
import type { Int64, Packet } from './packet.ts'

/** Connections of a stock agent that are remembered for having been refused. */
const MAX_REFUSED = 1_024

export type StraysDeps = {
  readonly role: 'server' | 'agent'
  readonly halfClose: boolean
  /** To the peer, behind the data before it. */
  readonly answer: (packet: Packet) => void
  readonly violate: (violation: 'unknown-connection') => void
}

/** @param crossed whether there was a connection of this number */
export type StrayFrame = (connectId: Int64, type: Packet['type'], crossed: boolean) => void

export function createStrays({ role, halfClose, answer, violate }: StraysDeps): StrayFrame {
  const refused = new Set<Int64>() // DATA came for them that nobody takes, and the agent was told

  /** Server: an agent that has not heard of the end yet may send much: one CLOSE_REQ tells it, and more would help nobody. */
  function refuseOnce(connectId: Int64): void {
    if (refused.has(connectId)) return
    refused.add(connectId)
    if (refused.size > MAX_REFUSED) for (const oldest of refused) if (refused.delete(oldest)) break
    answer({ type: 'CLOSE_REQ', connectId, reason: '' })
  }

  return (connectId, type, crossed) => {
    if (connectId === 0 && type === 'DATA') return // as the reference: dropped
    if (crossed && halfClose) return
    if (!crossed) violate('unknown-connection')
    if (type === 'DATA' && role === 'server') refuseOnce(connectId)
    else if (type === 'DATA') answer({ type: 'CLOSE_RSP', connectId, error: 'unrecognized connectID' })
    else if (type === 'CLOSE_REQ' && role === 'agent') {
      answer({ type: 'CLOSE_RSP', connectId, error: 'Unknown connectID' })
    }
  }
}
