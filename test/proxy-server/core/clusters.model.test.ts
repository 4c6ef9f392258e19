/**
 * The pools beside a naive model of them, under random schedules of agents that come, drain and go: whatever was asked, the
 * same agents may be picked, each agent id as often as the others, and nothing is left of those that went.
 * A failing run prints its seed; CULVERT_MODEL_SEED replays or shifts, CULVERT_MODEL_ROUNDS prolongs.
 */
import t from 'tap'
import { createClusters, type PooledAgent } from '../../../src/proxy-server/core/clusters.ts'
import type { Strategy } from '../../../src/proxy-server/core/strategies.ts'
import { createRandom } from '../../platform/random.ts'

const ROUNDS = Number(process.env.CULVERT_MODEL_ROUNDS ?? 300)
const SEED = Number(process.env.CULVERT_MODEL_SEED ?? 1)
const STEPS = 60

type Agent = PooledAgent & { readonly number: number; since: number }

const HOSTS = ['10.0.0.1', '10.0.0.2', 'fd00::1', 'node-1', 'node-2']
const ADDRESSES = [
  ...HOSTS.map((host) => (host.includes(':') ? `[${host}]:443` : `${host}:443`)),
  '10.9.9.9:1',
  'node-1',
]
const ORDERS: readonly (readonly Strategy[])[] = [
  ['default'],
  ['destHost'],
  ['defaultRoute'],
  ['destHost', 'default'],
  ['destHost', 'defaultRoute'],
  ['destHost', 'defaultRoute', 'default'],
  ['defaultRoute', 'destHost'],
  ['default', 'destHost'],
]

const rankOf = ({ draining, refusing }: Agent): string => (refusing ? 'refuses' : draining ? 'drains' : 'serves')

/** The rules as one would say them: all agents looked through for each question. */
function candidates(agents: readonly Agent[], order: readonly Strategy[], address: string, except?: Agent): Agent[] {
  const host = address.startsWith('[') ? address.slice(1, address.indexOf(']')) : address.split(':')[0]!
  for (const rank of ['serves', 'drains', 'refuses']) {
    for (const strategy of order) {
      const able = agents.filter((agent) => {
        if (agent === except || rankOf(agent) !== rank) return false
        if (strategy === 'defaultRoute') return agent.defaultRoute
        return strategy === 'default' || agent.hosts.has(host)
      })
      // Of one id the oldest, or the one that drains, or refuses, for the longest time.
      const byAge = able.toSorted((one, other) => one.since - other.since)
      const oldest = byAge.filter((agent) => byAge.find(({ agentId }) => agentId === agent.agentId) === agent)
      if (oldest.length > 0) return oldest
    }
  }
  return []
}

function namedBy(agents: readonly Agent[], strategy: Strategy): number {
  if (strategy === 'destHost') return new Set(agents.flatMap(({ hosts }) => [...hosts])).size
  const able = agents.filter(({ defaultRoute }) => strategy === 'default' || defaultRoute)
  return new Set(able.map(({ agentId }) => agentId)).size
}

/** @throws Error when the two differ */
function runSchedule(seed: number): void {
  const random = createRandom(seed)
  const order = random.pick(ORDERS)
  const clusters = createClusters<Agent>(order)
  const agents: Agent[] = []
  const any = (): Agent | undefined => agents[random.below(Math.max(1, agents.length))]
  const expect = (what: string, got: unknown, wanted: unknown): void => {
    const [found, expected] = [JSON.stringify(got), JSON.stringify(wanted)]
    if (found !== expected) throw new Error(`seed ${seed}, ${order}: ${what}: expected ${expected}, got ${found}`)
  }

  for (let step = 0; step < STEPS; step++) {
    const kind = random.below(10)
    const chosen = any()
    if (kind < 4) {
      const hosts = new Set(HOSTS.filter(() => random.below(4) === 0))
      const agentId = `agent-${random.below(6)}`
      const fresh = {
        agentId,
        number: step,
        since: step,
        draining: random.below(8) === 0,
        refusing: random.below(8) === 0,
        hosts,
        defaultRoute: random.below(3) === 0,
        judgesAddresses: random.below(2) === 0,
      }
      agents.push(fresh)
      clusters.add('default', fresh)
    } else if (kind < 6 && chosen) {
      const rank = rankOf(chosen)
      if (kind === 4) chosen.draining = true
      else chosen.refusing = !chosen.refusing
      if (rankOf(chosen) !== rank) chosen.since = step
      clusters.changed('default', chosen)
    } else if (kind < 8 && chosen) {
      agents.splice(agents.indexOf(chosen), 1)
      clusters.remove('default', chosen)
    }
    const address = random.pick(ADDRESSES)
    const except = random.below(2) === 0 ? any() : undefined
    const judges = agents.filter(({ judgesAddresses }) => judgesAddresses)
    for (const [pick, able] of [
      [clusters.pick, candidates(agents, order, address, except)],
      [clusters.pickJudge, candidates(judges, order, address, except)],
    ] as const) {
      // One lot from the middle of each share: each candidate comes once.
      const shares = Math.max(1, able.length)
      const lots = Array.from({ length: shares }, (_, share) => (share + 0.5) / shares)
      const got = lots.map((lot) => pick('default', address, lot, except)?.number ?? -1)
      const numbers = able.length > 0 ? able.map(({ number }) => number) : [-1]
      expect(`step ${step}, ${address}`, got.toSorted(), numbers.toSorted())
    }
    expect(`step ${step}, streams`, clusters.all().length, agents.length)
    for (const strategy of order) expect(strategy, clusters.backends()[strategy], namedBy(agents, strategy))
    expect('ready', clusters.ready(), namedBy(agents, order[0]!) > 0)
  }
  for (const agent of agents) clusters.remove('default', agent)
  expect('what is left', [clusters.names(), Object.values(clusters.backends())], [[], [...new Set(order)].map(() => 0)])
}

t.test('picks whom a naive model would, with even chances, and leaves nothing behind', async (t) => {
  for (let seed = SEED; seed < SEED + ROUNDS; seed++) runSchedule(seed)
  t.pass(`${ROUNDS} schedules of ${STEPS} steps`)
})

t.test('picks among 10,000 agents as fast as among ten', async (t) => {
  const clusters = createClusters<Agent>(['destHost', 'defaultRoute', 'default'])
  const agents = Array.from({ length: 10_000 }, (_, number): Agent => {
    const hosts = new Set(['shared', `node-${number}`, `10.0.${number >> 8}.${number & 255}`])
    const able = { draining: false, refusing: false, hosts, defaultRoute: true, judgesAddresses: true }
    return { agentId: `agent-${number}`, number, since: number, ...able }
  })
  for (const agent of agents) clusters.add('default', agent)
  for (const agent of agents.slice(1)) {
    agent.draining = true
    clusters.changed('default', agent)
  }
  // Looking through all agents for each would take minutes. What one pick costs is looked at by the scale, not the clock.
  const picks = 300_000
  let found = 0
  for (let pick = 0; pick < picks; pick++) {
    const address = ['shared:1', 'node-0:1', 'elsewhere:1'][pick % 3]!
    if (clusters.pick('default', address, (pick % 1_000) / 1_000) === agents[0]) found++
  }
  t.equal(found, picks, 'the only one that does not drain')
  for (const agent of agents) clusters.remove('default', agent)
  t.strictSame([clusters.names(), clusters.backends()], [[], { destHost: 0, defaultRoute: 0, default: 0 }])
})
