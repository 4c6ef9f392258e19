import t from 'tap'
import {
  agentOver,
  clientOver,
  createTenant,
  dialOver,
  joinOver,
  sessionOver,
  setLimits,
} from '../../../src/proxy-server/core/tenant.ts'
import { createBudget, spend, spendWithin } from '../../../src/tunnel/budget.ts'
import { cluster } from '../../clusters/cluster.ts'

const nothing = { [Symbol.dispose]: () => undefined }

function setup(limits = {}, processBytes = 1_000) {
  const processBudget = createBudget(processBytes)
  const full = cluster('eu-1', { limits }).limits
  return { processBudget, full, tenant: createTenant('eu-1', full, { processBudget, after: () => nothing }) }
}

t.test('is over a limit at the limit, and says which', async (t) => {
  const { tenant } = setup({ agents: 2, clients: 3 })
  tenant.agents = 1
  tenant.clients = 2
  tenant.sessions = 2
  t.equal(agentOver(tenant, false), undefined)
  for (const over of [clientOver, sessionOver]) t.equal(over(tenant), undefined)
  tenant.agents = 2
  tenant.clients = 3
  tenant.sessions = 3
  const text = 'cluster eu-1 is at its limit of 2 agents'
  t.strictSame(agentOver(tenant, false), { limit: 'agents', status: 503, text })
  t.match(clientOver(tenant), { limit: 'clients', text: /3 clients/ })
  t.match(sessionOver(tenant), { limit: 'sessions', text: /3 HTTP\/2 connections/ })
})

t.test('an agent that is there may come again beside its old stream, within twice the limit', async (t) => {
  const { tenant } = setup({ agents: 2 })
  tenant.agents = 2
  tenant.agentStreams = 3
  t.equal(agentOver(tenant, true), undefined)
  t.match(agentOver(tenant, false), { limit: 'agents' })
  tenant.agentStreams = 4
  t.match(agentOver(tenant, true), { limit: 'agents' })
})

t.test(
  'agents join as often as there may be of them, at once and in ten seconds, and twenty times at least',
  async (t) => {
    const joins = (limits: object, nowMs: number, { tenant, full } = setup(limits)) => {
      let joined = 0
      while (!joinOver(tenant, nowMs)) joined++
      return { joined, tenant, full }
    }
    t.equal(joins({ agents: 1 }, 0).joined, 20)
    const { joined, ...world } = joins({ agents: 100 }, 0)
    t.equal(joined, 100)
    t.strictSame(joinOver(world.tenant, 0), {
      limit: 'agent_joins',
      status: 503,
      text: 'cluster eu-1 is at its limit of agents that join one after the other',
    })
    t.equal(joins({}, 5_000, { ...setup(), ...world }).joined, 50)
    setLimits(world.tenant, { ...world.full, agents: 30 })
    t.equal(joins({}, 5_000, { ...setup(), ...world }).joined, 30, 'of the new limit')
  },
)

t.test('counts dials under way as the connections that they may become', async (t) => {
  const { tenant } = setup({ connections: 5, pendingDials: 3 })
  tenant.pendingDials = 2
  t.equal(dialOver(tenant, 2, 0), undefined)
  t.match(dialOver(tenant, 3, 0), { limit: 'connections', status: 503 })
  tenant.pendingDials = 3
  t.match(dialOver(tenant, 0, 0), { limit: 'pending_dials', status: 503 })
})

t.test('takes no token for a dial that another limit refuses', async (t) => {
  const { tenant } = setup({ dialsPerSecond: 2, connections: 1 })
  for (let dial = 0; dial < 5; dial++) t.match(dialOver(tenant, 1, 0), { limit: 'connections' })
  t.equal(dialOver(tenant, 0, 0), undefined)
  t.equal(dialOver(tenant, 0, 0), undefined)
  t.match(dialOver(tenant, 0, 0), { limit: 'dials_per_second', status: 429, text: /2 dials a second/ })
  t.equal(dialOver(tenant, 0, 500), undefined, 'they come back')
})

t.test('follows limits that change, and what is over stays', async (t) => {
  const { tenant, full } = setup({ agents: 5, dialsPerSecond: 1 })
  tenant.agents = 3
  t.equal(dialOver(tenant, 0, 0), undefined)
  setLimits(tenant, { ...full, agents: 2, bufferedBytes: 7 })
  t.match(agentOver(tenant, false), { limit: 'agents' })
  t.equal(tenant.budget.limitBytes, 7)
  t.match(dialOver(tenant, 0, 0), { status: 429 }, 'a change of something else gives no tokens')
  setLimits(tenant, { ...full, dialsPerSecond: 10 })
  t.equal(dialOver(tenant, 0, 0), undefined)
})

t.test('gives up its own largest when it holds too much, and when it holds most of all', async (t) => {
  const { tenant, processBudget } = setup({ bufferedBytes: 100 }, 150)
  const closed: string[] = []
  const stream = (name: string, parent = tenant.budget) => {
    const budget = createBudget(1_000, parent)
    budget.closeLargest = () => {
      closed.push(name)
      spend(budget, -budget.usedBytes)
    }
    return budget
  }
  const [small, large] = [stream('small'), stream('large')]
  const other = createTenant('eu-2', cluster('eu-2', { limits: { bufferedBytes: 100 } }).limits, {
    processBudget,
    after: () => nothing,
  })
  const neighbour = stream('neighbour', other.budget)
  spendWithin(large, 90)
  spendWithin(small, 10)
  t.strictSame(closed, [], 'at the limit')
  spendWithin(small, 1)
  t.strictSame(closed, ['large'])
  spendWithin(large, 80)
  spendWithin(neighbour, 59)
  t.strictSame(closed, ['large'], 'the process is full')
  spendWithin(neighbour, 1)
  t.strictSame(closed, ['large', 'large'], 'of the cluster that holds most')
  t.equal(processBudget.usedBytes, 11 + 60)
})
