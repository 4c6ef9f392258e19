import t from 'tap'
import { mergeFleet } from '../../src/proxy-server/merged-fleet.ts'

const fleet = (...clusters: [id: string, ...agents: string[]][]): string =>
  JSON.stringify({
    clusters: clusters.map(([id, ...agents]) => ({ id, agents: agents.map((agentId) => ({ agentId })) })),
  })

t.test('shows each agent once for each worker that has it', async (t) => {
  const merged = mergeFleet([
    { worker: 1, serverId: 's-w1', body: fleet(['east', 'a', 'b'], ['west', 'c']) },
    { worker: 2, serverId: 's-w2', body: fleet(['east', 'a']) },
  ])
  t.strictSame(merged, {
    clusters: [
      {
        id: 'east',
        agents: [
          { agentId: 'a', worker: 1, serverId: 's-w1' },
          { agentId: 'b', worker: 1, serverId: 's-w1' },
          { agentId: 'a', worker: 2, serverId: 's-w2' },
        ],
      },
      { id: 'west', agents: [{ agentId: 'c', worker: 1, serverId: 's-w1' }] },
    ],
  })
})

t.test('names the workers that did not answer', async (t) => {
  const merged = mergeFleet([
    { worker: 1, serverId: 's-w1', body: fleet() },
    { worker: 2, serverId: 's-w2', body: undefined },
  ])
  t.strictSame(merged, { clusters: [], silentWorkers: [2] })
})
