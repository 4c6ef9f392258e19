import t from 'tap'
import { createRouterMetrics, newTally, type RouteTally } from '../../src/sni-router/metrics.ts'

t.test('shows what is known of each route, and nothing of one that has gone', async (t) => {
  const tallies = new Map<string, RouteTally>([['a', newTally()]])
  const { metrics, registry } = createRouterMetrics({
    clients: () => 5,
    tallies: () => tallies,
    backends: () => [...tallies.keys()].map((route) => ({ route, up: 2, down: 1 })),
    configAlarm: () => true,
  })
  const tally = tallies.get('a')!
  Object.assign(tally, { open: 3, dialing: 1 })
  tally.bytes.toClients = 7
  tally.ends['half-closed'] = 2
  tally.misses['no-backend'] = 4
  metrics.refused('dials-full')
  metrics.refused('dials-full')
  metrics.accepted()
  metrics.helloRead(20)
  const lines = new Set((await registry.metrics()).split('\n'))
  for (const line of [
    'culvert_router_clients 5',
    'culvert_router_config_broken 1',
    'culvert_router_open_connections{route="a"} 3',
    'culvert_router_backends{route="a",state="up"} 2',
    'culvert_router_backends{route="a",state="down"} 1',
    'culvert_router_payload_bytes_total{route="a",direction="to_clients"} 7',
    'culvert_router_connection_ends_total{route="a",how="half_closed"} 2',
    'culvert_router_failed_dials_total{route="a",why="no_backend"} 4',
    'culvert_router_refused_clients_total{why="dials_full"} 2',
    'culvert_router_accepted_total 1',
    'culvert_router_hello_seconds_bucket{le="0.005"} 0',
    'culvert_router_hello_seconds_bucket{le="0.025"} 1',
  ])
    t.ok(lines.has(line), line)
  tallies.clear()
  t.notMatch(await registry.metrics(), /route="a"/)
})
