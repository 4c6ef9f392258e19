/** Each question that has processes of its own, as small as it can be asked, of this checkout. */
import t from 'tap'
import { floor } from '../../bench/peers/floor.ts'
import { withClusters } from '../../bench/peers/tenants.ts'
import { clusters } from '../../bench/scenarios/clusters.ts'
import { floodingCluster } from '../../bench/scenarios/flooding-cluster.ts'
import { grpcBulk } from '../../bench/scenarios/grpc-bulk.ts'
import { grpcFrontend } from '../../bench/scenarios/grpc-frontend.ts'
import { messageSizes } from '../../bench/scenarios/message-sizes.ts'
import { stalledReaders } from '../../bench/scenarios/stalled-readers.ts'
import { writeThenClose } from '../../bench/scenarios/write-then-close.ts'
import { ask, readings } from './asking.ts'

t.test('clients in gRPC mode get answers and bulk, and every byte of it is looked at', async (t) => {
  for (const scenario of [grpcFrontend, grpcBulk])
    for (const result of await ask(scenario)) t.ok(Number(readings(result).rate) > 0, result.subject.label)
})

t.test('large messages come back whole', async (t) => {
  const [result] = await ask(messageSizes)
  t.ok(Number(readings(result!).p50) > 0)
})

t.test('ours loses nothing of what is written and closed at once, either way', async (t) => {
  for (const result of await ask(writeThenClose))
    t.strictSame(readings(result), { 'bytes lost': 0, 'transfers cut short': 0 }, result.subject.label)
})

t.test('one server has the agents of several clusters, and none is lost', async (t) => {
  const [result] = await ask(clusters)
  const { 'all ready': seconds, 'server processor at heartbeats': percent } = readings(result!)
  t.ok(Number(seconds) > 0 && Number(seconds) < 60, `${seconds} s`)
  t.ok(Number(percent) >= 0 && Number(percent) <= 200, `${percent} %`)
})

t.test('a cluster that floods is answered, and its neighbour goes on', async (t) => {
  const [result] = await ask(floodingCluster, withClusters, 200) // it takes ten windows
  const { p99, 'p99 : alone': ratio, 'dials of the flood': perSecond } = readings(result!)
  t.ok(Number(p99) > 0)
  t.ok(Number(ratio) > 0, `${ratio} times`)
  t.ok(Number(perSecond) > 0, `${perSecond} dials a second`)
})

t.test('nobody who stalls is the first point of the isolation graph', async (t) => {
  const [result] = await ask(stalledReaders)
  t.ok(Number(readings(result!)['round trip p99']) > 0)
})

t.test('a peer that cannot be asked is skipped with the reason, not failed', async (t) => {
  const [result] = await ask(grpcFrontend, floor)
  t.match(result!.rounds, [[{ kind: 'skipped', why: 'plain pipes speak no gRPC' }]])
})
