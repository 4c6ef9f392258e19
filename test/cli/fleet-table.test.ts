import t from 'tap'
import { fleetTable } from '../../src/cli/fleet-table.ts'

const at = (seconds: number): string => new Date(seconds * 1_000).toISOString()
const agent = (lastHeardAt: string, more = {}) => ({
  agentId: 'a',
  connections: 2,
  draining: false,
  lastHeardAt,
  ...more,
})
const clusters = [
  {
    id: 'default',
    state: 'established',
    since: at(0),
    reason: 'an agent is connected',
    agents: [
      agent(at(86_398), { roundTripMs: 1.26, health: { agentVersion: '1.0.0' } }),
      agent(at(86_390), { roundTripMs: 0.5, health: { agentVersion: '1.0.0' } }),
    ],
  },
  { id: 'eu-1', state: 'lost', since: at(86_340), reason: 'heartbeat_timeout', agents: [] },
]

t.test('shows a line for each cluster', async (t) => {
  t.strictSame(fleetTable(clusters, 86_400_000, false), [
    'CLUSTER  STATE        SINCE  AGENTS  CONNECTIONS  HEARD',
    'default  established  1d     2       4            2s',
    'eu-1     lost         1m     0       0            -',
  ])
})

t.test('shows round trips, versions and reasons when there is room', async (t) => {
  t.strictSame(fleetTable(clusters, 86_400_000, true), [
    'CLUSTER  STATE        SINCE  AGENTS  CONNECTIONS  HEARD  RTT    VERSION  REASON',
    'default  established  1d     2       4            2s     1.3ms  1.0.0    an agent is connected',
    'eu-1     lost         1m     0       0            -      -      -        heartbeat_timeout',
  ])
})

t.test('says that there is none, and does without what it is not told', async (t) => {
  t.strictSame(fleetTable([], 0, true), ['no cluster is connected'])
  t.match(fleetTable([{ id: 'x', agents: [agent(at(3_600))] }], 7_200_000, true)[1], /^x +- +- +1 +2 +1h +- +- +-$/)
})

t.test('lets no agent steer the terminal', async (t) => {
  const [, row] = fleetTable([{ id: 'x', state: '\u009b2J\u001b[31m', agents: [] }], 0, false)
  t.match(row, /^x +\?2J\?\[31m /)
})
