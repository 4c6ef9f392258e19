/** One dial and what became of it: the client's socket at the server, the target's at the agent. */
import type { Int64 } from '../../../src/tunnel/packet.ts'
import type { ModelSocket, Plan } from './socket.ts'

export type Tunnel = {
  /** Names it in the model, and its target. */
  readonly random: number
  /** Names its dial on the wire: another one may have had the same before. */
  readonly number: Int64
  readonly plans: { readonly client: Plan; readonly target: Plan }
  /** What the one who dialled heard. */
  dial: 'pending' | 'connected' | 'failed' | 'cancelled'
  /** What the agent did with the dial. */
  asked: 'not-yet' | 'pending' | 'accepted' | 'refused' | 'cancelled'
  client: ModelSocket | undefined
  target: ModelSocket | undefined
}

export const addressOf = ({ random }: Tunnel): string => `10.0.0.${random}:80`

export const socketsOf = ({ client, target }: Tunnel): ModelSocket[] =>
  [client, target].filter((socket) => socket !== undefined)

/** What is wrong with how the two ends of one tunnel ended, when both have; `undefined` when nothing is. */
export function wrongEnding(tunnel: Tunnel, halfClose: boolean): string | undefined {
  const { client, target } = tunnel
  if (!client?.ending || !target?.ending) return undefined
  for (const [here, there] of [
    [client, target],
    [target, client],
  ] as const) {
    const { ending } = here
    if (ending?.kind === 'reset' && ending.by === 'peer' && there.ending?.kind === 'finished') {
      // An end that has finished says nothing more: only a stock handshake can refuse later.
      return `${here.name} was reset by its peer, which finished`
    }
    if (ending?.kind === 'reset' && ending.inOrder && !here.broken && here.received !== there.sent) {
      return `${here.name} heard that its peer broke after ${here.received} of ${there.sent} bytes`
    }
    if (ending?.kind !== 'finished' || here.left) continue
    // A stock close cuts short what comes the other way, and a stock reset looks like a close.
    if (!halfClose && (here.sourceEnded || there.ending?.kind === 'reset')) continue
    if (here.received !== there.sent) return `${here.name} finished with ${here.received} of ${there.sent} bytes`
    if (!there.sourceEnded) return `${here.name} finished before its peer ended`
  }
  return undefined
}
