/**
 * Whom konnectivity's server and ours choose for a dial, with the same agents, identifiers and strategies; what readiness and
 * the gauges say of them. Where ours is better on purpose, both are shown.
 */
import t from 'tap'
import { makePki } from '../integration/certificates.ts'
import { eventually } from '../integration/deadline.ts'
import { fetchFrom, readFigures } from '../integration/figures.ts'
import { chosen, type NamingAgent, namingAgent } from '../integration/naming-agent.ts'
import { RELEASES } from './pairing.ts'
import { type RunningServer, serverOf } from './programs-of.ts'

const ORDERS = ['default', 'destHost', 'defaultRoute', 'destHost,default', 'destHost,defaultRoute,default']
const ORDERS_ODD = ['defaultRoute,destHost', 'default,destHost', 'destHost,']
/** No two name the same host, so that the reference has no favourite to be compared with. */
const AGENTS: Readonly<Record<string, string>> = {
  plain: '',
  node: 'ipv4=10.0.0.1&host=node-1&ipv6=fd00::1&cidr=10.0.0.0/8&default-route=no',
  other: 'host=Node-2&host=a%2Eb&ipv4=10.0.0.2&ipv4=10.0.0.2&planet=mars',
  route: 'default-route=T&default-route=false',
}
const ADDRESSES = [
  ...['10.0.0.1:443', '10.0.0.2:443', '10.0.0.3:443', '10.0.0.11:443', '[fd00::1]:443', '[fd00::2]:443'],
  ...['node-1:10250', 'Node-2:1', 'a.b:1', 'mars:1'],
]
const GAUGES = /^konnectivity_network_proxy_server_ready_backend/

const pki = await makePki(t)

async function stateOf(server: RunningServer): Promise<Record<string, unknown>> {
  const ready = await fetchFrom(server.healthPort, '/readyz')
  const figures = [...(await readFigures(server)).series].filter(([series]) => GAUGES.test(series))
  return { ready: [ready.status, await ready.text()], ...Object.fromEntries(figures) }
}

async function both(t: Parameters<typeof serverOf>[0], order: string): Promise<[RunningServer, RunningServer]> {
  const flags = [`--proxy-strategies=${order}`]
  return [await serverOf(t, 'ours', pki, flags), await serverOf(t, RELEASES[0], pki, flags)]
}

for (const order of [...ORDERS, ...ORDERS_ODD]) {
  t.test(`${order}: the same agents are chosen, and the same is told of them`, async (t) => {
    const [ours, stock] = await both(t, order)
    const several = order.split(',').filter(Boolean).length > 1
    const compareStates = async (when: string): Promise<void> => {
      const [got, expected] = [await stateOf(ours), await stateOf(stock)]
      // With several strategies konnectivity shows that of whichever changed last.
      if (several)
        for (const state of [got, expected]) delete state.konnectivity_network_proxy_server_ready_backend_connections
      t.strictSame(got, expected, when)
    }
    await compareStates('nobody')
    for (const [name, identifiers] of Object.entries(AGENTS)) {
      for (const server of [ours, stock]) await namingAgent(t, server, name, identifiers)
      await compareStates(`with ${name}`)
    }
    for (const address of ADDRESSES) {
      t.strictSame(await chosen(ours, address), await chosen(stock, address), address)
    }
  })
}

t.test('of several agents that named a host ours chooses any, konnectivity the first', async (t) => {
  const [ours, stock] = await both(t, 'destHost')
  for (const name of ['first', 'second', 'third']) {
    for (const server of [ours, stock]) await namingAgent(t, server, name, 'ipv4=10.0.0.1')
  }
  t.strictSame(await chosen(stock, '10.0.0.1:443'), ['first'])
  t.strictSame(await chosen(ours, '10.0.0.1:443'), ['first', 'second', 'third'])
})

t.test(
  'an agent that drains is chosen by konnectivity before the next strategy is asked, by ours after all',
  async (t) => {
    const [ours, stock] = await both(t, 'destHost,default')
    for (const [server, others] of [
      [stock, ['drains']],
      [ours, ['other']],
    ] as const) {
      const drains: NamingAgent = await namingAgent(t, server, 'drains', 'ipv4=10.0.0.1')
      await namingAgent(t, server, 'other')
      drains.drain()
      // Both give it nothing that anybody may have: then it is known to drain.
      await eventually(
        'it drains',
        () => chosen(server, '10.9.9.9:443'),
        (names) => names.join() === 'other',
      )
      t.strictSame(await chosen(server, '10.0.0.1:443'), others)
    }
  },
)

t.test('a host that is spelt otherwise is found by ours, and left to the next strategy by konnectivity', async (t) => {
  const [ours, stock] = await both(t, 'destHost,defaultRoute')
  for (const server of [ours, stock]) {
    await namingAgent(t, server, 'node', 'host=Node-1&ipv6=fd00:0::1')
    await namingAgent(t, server, 'route', 'default-route=true')
  }
  for (const address of ['node-1:443', 'NODE-1.:443', '[fd00::1]:443']) {
    t.strictSame(await chosen(stock, address), ['route'], address)
    t.strictSame(await chosen(ours, address), ['node'], address)
  }
})
