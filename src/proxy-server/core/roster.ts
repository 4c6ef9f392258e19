/**
 * Agents of which one is drawn by lot: each agent id has the same chance, however many streams it has, and of one id the
 * stream is taken that is here longest: a konnectivity agent closes the younger ones. Pure; every call takes constant time.
 */

export type Roster<A> = {
  readonly add: (agent: A) => void
  readonly remove: (agent: A) => void
  /**
   * @param random from 0 up to, not including, 1
   * @param except a stream that is not wanted
   */
  readonly draw: (random: number, except?: A) => A | undefined
  /** By agent id. */
  readonly entries: ReadonlyMap<string, unknown>
}

type Entry<A> = {
  /** Oldest first. */
  readonly streams: Set<A>
  place: number
}

export function createRoster<A extends { readonly agentId: string }>(): Roster<A> {
  const entries = new Map<string, Entry<A>>()
  const drawn: Entry<A>[] = [] // each at its place

  function add(agent: A): void {
    const entry = entries.get(agent.agentId)
    if (entry) return void entry.streams.add(agent)
    const fresh = { streams: new Set([agent]), place: drawn.length }
    entries.set(agent.agentId, fresh)
    drawn.push(fresh)
  }

  function remove(agent: A): void {
    const entry = entries.get(agent.agentId)
    if (!entry?.streams.delete(agent) || entry.streams.size > 0) return
    entries.delete(agent.agentId)
    const last = drawn.pop()!
    if (last === entry) return
    drawn[entry.place] = last
    last.place = entry.place
  }

  function draw(random: number, except?: A): A | undefined {
    const its = except && entries.get(except.agentId)
    const passedOver = its?.streams.size === 1 && its.streams.has(except!) ? its.place : drawn.length
    const choices = passedOver < drawn.length ? drawn.length - 1 : drawn.length
    const place = Math.floor(random * choices)
    for (const agent of drawn[place < passedOver ? place : place + 1]?.streams ?? []) {
      if (agent !== except) return agent
    }
    return undefined
  }

  return { add, remove, draw, entries }
}
