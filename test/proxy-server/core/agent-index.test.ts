import t from 'tap'
import { type AgentIndex, createAgentIndex, type IndexedAgent } from '../../../src/proxy-server/core/agent-index.ts'
import type { Strategy } from '../../../src/proxy-server/core/strategies.ts'

type Agent = IndexedAgent & { readonly name: string }

function agent(agentId: string, { hosts = [], route = false }: { hosts?: string[]; route?: boolean } = {}): Agent {
  return { agentId, name: agentId, hosts: new Set(hosts), defaultRoute: route }
}

function index(order: readonly Strategy[], ...agents: Agent[]): AgentIndex<Agent> {
  const filled = createAgentIndex<Agent>(order)
  for (const each of agents) filled.add(each)
  return filled
}

/** Everybody who may be picked. */
function picked(from: AgentIndex<Agent>, address: string, except?: Agent): string[] {
  const names = Array.from({ length: 100 }, (_, lot) => from.pick(address, lot / 100, except)?.name ?? 'nobody')
  return [...new Set(names)].sort()
}

const plain = agent('plain')
const node = agent('node', { hosts: ['node-1', '10.0.0.1', 'fd00::1'] })
const twin = agent('twin', { hosts: ['10.0.0.1'] })
const route = agent('route', { route: true })
const everybody = [plain, node, twin, route]

t.test('default takes anybody, whatever is dialled', async (t) => {
  const agents = index(['default'], ...everybody)
  t.strictSame(picked(agents, '10.0.0.1:443'), ['node', 'plain', 'route', 'twin'])
  t.strictSame(picked(index(['default']), '10.0.0.1:443'), ['nobody'])
})

t.test('destHost takes any of those that named the host, and nobody else', async (t) => {
  const agents = index(['destHost'], ...everybody)
  t.strictSame(picked(agents, '10.0.0.1:443'), ['node', 'twin'], 'not always the first that came')
  t.strictSame(picked(agents, '10.0.0.1'), ['node', 'twin'])
  t.strictSame(picked(agents, '[fd00::1]:443'), ['node'])
  t.strictSame(picked(agents, 'node-1:10250'), ['node'])
  for (const address of ['10.0.0.11:443', 'node-1.example:443', 'node', '10.0.0.2:443', ':443', '']) {
    t.strictSame(picked(agents, address), ['nobody'], address)
  }
})

t.test('defaultRoute takes any of those that have it', async (t) => {
  const agents = index(['defaultRoute'], ...everybody, agent('other', { hosts: ['a'], route: true }))
  t.strictSame(picked(agents, '10.0.0.1:443'), ['other', 'route'])
  t.strictSame(picked(index(['defaultRoute'], plain, node), '10.0.0.1:443'), ['nobody'])
})

t.test('strategies are tried in their order, the next one when nobody was found', async (t) => {
  const expected: [Strategy[], address: string, string[]][] = [
    [['destHost', 'defaultRoute', 'default'], '10.0.0.1:443', ['node', 'twin']],
    [['destHost', 'defaultRoute', 'default'], '10.0.0.2:443', ['route']],
    [['destHost', 'default'], '10.0.0.2:443', ['node', 'plain', 'route', 'twin']],
    [['destHost', 'defaultRoute'], '10.0.0.2:443', ['route']],
    [['defaultRoute', 'destHost'], '10.0.0.1:443', ['route']],
    [['default', 'destHost', 'defaultRoute'], '10.0.0.1:443', ['node', 'plain', 'route', 'twin']],
    [['destHost', 'destHost'], '10.0.0.2:443', ['nobody']],
  ]
  for (const [order, address, names] of expected) {
    t.strictSame(picked(index(order, ...everybody), address), names, `${order} for ${address}`)
  }
  const order = ['destHost', 'defaultRoute', 'default'] as const
  t.strictSame(picked(index(order, plain, node), '10.0.0.2:443'), ['node', 'plain'], 'the last of three')
})

t.test('whoever was tried already stands in no strategy', async (t) => {
  const order = ['destHost', 'defaultRoute', 'default'] as const
  t.strictSame(picked(index(order, node, twin, route), '10.0.0.1:443', node), ['twin'])
  t.strictSame(picked(index(order, node, route), '10.0.0.1:443', node), ['route'])
  t.strictSame(picked(index(order, node), '10.0.0.1:443', node), ['nobody'])
})

t.test('finds a host that is spelt otherwise, but only when nobody has the exact name', async (t) => {
  const upper = agent('upper', { hosts: ['NODE-1', 'FD00:0::1', 'Node-2.'] })
  const lower = agent('lower', { hosts: ['node-1', 'fd00::1', 'node-3'] })
  const other = agent('other', { hosts: ['Node-1'] })
  const agents = index(['destHost'], upper, lower, other)
  t.strictSame(picked(agents, 'node-1:1'), ['lower'], 'exact')
  t.strictSame(picked(agents, 'NODE-1:1'), ['upper'], 'exact')
  t.strictSame(picked(agents, 'nOdE-1:1'), ['lower'], 'the plain spelling')
  t.strictSame(picked(agents, '[fd00::1]:1'), ['lower'])
  t.strictSame(picked(agents, '[FD00:0::1]:1'), ['upper'])
  t.strictSame(picked(agents, '[fd00::0:1]:1'), ['lower', 'upper'])
  t.strictSame(picked(agents, 'NODE-3.:1'), ['lower'])
  t.strictSame(picked(agents, 'node-2:1'), ['upper'])
  t.strictSame(picked(agents, 'node-1:1', lower), ['other', 'upper'])
  agents.remove(lower)
  t.strictSame(picked(agents, 'node-1:1'), ['other', 'upper'])
  agents.remove(upper)
  t.strictSame(picked(agents, 'node-1:1'), ['other'])
  t.strictSame(picked(agents, '[fd00::1]:1'), ['nobody'])
})

t.test('counts what konnectivity counts: agent ids, and for destHost the hosts that were named', async (t) => {
  const agents = index(['destHost', 'defaultRoute', 'default'], ...everybody, agent('twin', { hosts: ['Node-1'] }))
  const names = (strategy: Strategy): string[] => [...agents.entries(strategy).keys()].sort()
  t.strictSame(names('default'), ['node', 'plain', 'route', 'twin'])
  t.strictSame(names('destHost'), ['10.0.0.1', 'Node-1', 'fd00::1', 'node-1'])
  t.strictSame(names('defaultRoute'), ['route'])
  for (const each of everybody) agents.remove(each)
  t.strictSame([names('default'), names('destHost'), names('defaultRoute')], [['twin'], ['Node-1'], []])
})

t.test('leaves nothing of an agent behind', async (t) => {
  const order = ['destHost', 'defaultRoute', 'default'] as const
  const hosts = Array.from({ length: 5_000 }, (_, number) => `Node-${number}`)
  const big = agent('big', { hosts, route: true })
  const agents = index(order, node, big)
  t.strictSame(picked(agents, 'Node-4999:1'), ['big'])
  t.strictSame(picked(agents, 'node-4999:1'), ['big'])
  agents.remove(big)
  t.strictSame(
    order.map((strategy) => agents.entries(strategy).size),
    [3, 0, 1],
  )
  t.strictSame(picked(agents, 'node-4999:1'), ['node'], 'by the next strategy')
})

t.test('keeps no hosts where no strategy asks for them', async (t) => {
  t.equal(index(['default', 'defaultRoute'], ...everybody).entries('destHost').size, 0)
})
