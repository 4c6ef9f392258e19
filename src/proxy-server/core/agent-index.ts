/**
 * Agents as the strategies look for them: by lot, by a host that they named, by their default route. Pure; a choice takes
 * the same time among ten agents and ten thousand. Source: docs/protocol.md section 7; konnectivity's strategies.
 */
import { hostKey, hostOf } from './destination.ts'
import { createRoster, type Roster } from './roster.ts'
import type { Strategy } from './strategies.ts'

/** What the strategies need to know of an agent's stream. */
export type IndexedAgent = {
  /** As the agent said; two streams may say the same. */
  readonly agentId: string
  /** The hosts that it named, each once. */
  readonly hosts: ReadonlySet<string>
  readonly defaultRoute: boolean
}

export type AgentIndex<A> = {
  readonly add: (agent: A) => void
  readonly remove: (agent: A) => void
  /** By the first strategy that finds anybody. @param random @param except as a roster takes them */
  readonly pick: (address: string, random: number, except?: A) => A | undefined
  /** What konnectivity counts as the backends of a strategy: agent ids, for destHost the hosts that agents named. */
  readonly entries: (strategy: Strategy) => ReadonlyMap<string, unknown>
}

export function createAgentIndex<A extends IndexedAgent>(order: readonly Strategy[]): AgentIndex<A> {
  const everybody = createRoster<A>()
  const routes = createRoster<A>()
  const byHost = new Map<string, Roster<A>>()
  const byHostKey = new Map<string, Roster<A>>() // hosts that were named in another spelling than their key
  const byHosts = order.includes('destHost')

  /** Of the exact host, which is konnectivity's rule; only when nobody has it, of the same host spelt otherwise. */
  function pickByHost(address: string, random: number, except?: A): A | undefined {
    const host = hostOf(address)
    const key = hostKey(host)
    const rosters = [byHost.get(host), byHost.get(key), byHostKey.get(key)]
    for (const roster of rosters) {
      const agent = roster?.draw(random, except)
      if (agent) return agent
    }
    return undefined
  }

  const pickBy: Readonly<Record<Strategy, AgentIndex<A>['pick']>> = {
    default: (_address, random, except) => everybody.draw(random, except),
    destHost: pickByHost,
    defaultRoute: (_address, random, except) => routes.draw(random, except),
  }

  return {
    add(agent) {
      everybody.add(agent)
      if (agent.defaultRoute) routes.add(agent)
      for (const host of byHosts ? agent.hosts : []) {
        const key = hostKey(host)
        put(byHost, host, agent)
        if (key !== host) put(byHostKey, key, agent)
      }
    },
    remove(agent) {
      everybody.remove(agent)
      routes.remove(agent)
      for (const host of byHosts ? agent.hosts : []) {
        drop(byHost, host, agent)
        drop(byHostKey, hostKey(host), agent)
      }
    },
    pick(address, random, except) {
      for (const strategy of order) {
        const agent = pickBy[strategy](address, random, except)
        if (agent) return agent
      }
      return undefined
    },
    entries: (strategy) => ({ default: everybody.entries, destHost: byHost, defaultRoute: routes.entries })[strategy],
  }
}

function put<A extends IndexedAgent>(rosters: Map<string, Roster<A>>, key: string, agent: A): void {
  const roster = rosters.get(key) ?? createRoster<A>()
  rosters.set(key, roster)
  roster.add(agent)
}

function drop<A extends IndexedAgent>(rosters: Map<string, Roster<A>>, key: string, agent: A): void {
  const roster = rosters.get(key)
  roster?.remove(agent)
  if (roster?.entries.size === 0) rosters.delete(key)
}
