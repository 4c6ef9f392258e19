/**
 * A policy that changed, on its way to all agents: to a few in each turn of the event loop, as what is pushed to all at once waits at
 * once, and is more than the budget of a cluster, or of the process, may hold. Who is dialled before its turn gets it with the dial.
 */
import type { AgentStream } from './agent-stream-owner.ts'

/** With the longest policy they have half of what the smallest budget of a cluster holds. */
export const AGENTS_PER_TURN = 8

export type PolicyRoundsDeps = {
  /** All that are connected. */
  readonly agents: () => readonly Pick<AgentStream, 'pushPolicy'>[]
  /** Runs it in the next turn of the event loop. */
  readonly later: (turn: () => void) => void
}

/** @returns what is called when the policy has changed; a round that is under way begins again */
export function createPolicyRounds({ agents, later }: PolicyRoundsDeps): () => void {
  let waiting: Pick<AgentStream, 'pushPolicy'>[] = []
  let isUnderWay = false

  function turn(): void {
    for (const agent of waiting.splice(0, AGENTS_PER_TURN)) agent.pushPolicy()
    isUnderWay = waiting.length > 0
    if (isUnderWay) later(turn)
  }

  return () => {
    waiting = [...agents()]
    if (!isUnderWay) turn()
  }
}
