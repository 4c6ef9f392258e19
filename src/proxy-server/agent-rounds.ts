/**
 * What is new for all agents, a policy or a list of replicas, on its way to them: to a few in each turn of the event loop, as what is told to
 * all at once waits at once, and is more than the budget of a cluster, or of the process, may hold. Who is dialled before its turn gets a
 * policy with the dial.
 */

/** With the longest policy they have half of what the smallest budget of a cluster holds. */
export const AGENTS_PER_TURN = 8

export type AgentRoundsDeps<A> = {
  /** All that are connected. */
  readonly agents: () => readonly A[]
  /** Says what is true by then. */
  readonly tell: (agent: A) => void
  /** Runs it in the next turn of the event loop. */
  readonly later: (turn: () => void) => void
}

/** @returns what is called when there is something new; a round that is under way begins again */
export function createAgentRounds<A>({ agents, tell, later }: AgentRoundsDeps<A>): () => void {
  let waiting: A[] = []
  let isUnderWay = false

  function turn(): void {
    for (const agent of waiting.splice(0, AGENTS_PER_TURN)) tell(agent)
    isUnderWay = waiting.length > 0
    if (isUnderWay) later(turn)
  }

  return () => {
    waiting = [...agents()]
    if (!isUnderWay) turn()
  }
}
