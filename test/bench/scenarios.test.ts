/** Each question that has processes of its own, as small as it can be asked, of this checkout. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { makeCertificates } from '../../bench/certificates.ts'
import { type CaseResult, runScenario } from '../../bench/harness.ts'
import { startLoad } from '../../bench/load/load.ts'
import { culvert } from '../../bench/peers/culvert.ts'
import { floor } from '../../bench/peers/floor.ts'
import { pair } from '../../bench/peers/pair.ts'
import type { Peer } from '../../bench/peers/peer.ts'
import { throughRouter } from '../../bench/peers/router.ts'
import { withClusters } from '../../bench/peers/tenants.ts'
import { oneMachine } from '../../bench/places.ts'
import { clusters } from '../../bench/scenarios/clusters.ts'
import { floodingCluster } from '../../bench/scenarios/flooding-cluster.ts'
import { frontDoor } from '../../bench/scenarios/front-door.ts'
import { grpcBulk } from '../../bench/scenarios/grpc-bulk.ts'
import { grpcFrontend } from '../../bench/scenarios/grpc-frontend.ts'
import { messageSizes } from '../../bench/scenarios/message-sizes.ts'
import { type Effort, quickEffort, type Scenario } from '../../bench/scenarios/scenario.ts'
import { stalledReaders } from '../../bench/scenarios/stalled-readers.ts'
import { writeThenClose } from '../../bench/scenarios/write-then-close.ts'

const ours = pair('ours', 'this checkout', culvert.server, culvert.agent)
const effort: Effort = {
  ...quickEffort,
  ...{ rounds: 1, stalledRounds: 1, memoryRounds: 1, warmUpMs: 20, windowMs: 500 },
  ...{
    bulkConnections: [2],
    dialsAtOnce: [2],
    grpcConnections: [2],
    transfers: [20],
    clusters: [5],
    steadyMs: 1_000,
    stalledReaders: [0],
    wan: [{ roundTripMs: 10, loss: 0, connections: 2, windowMs: 500 }],
  },
}
const folder = mkdtempSync(join(tmpdir(), 'culvert-scenarios-test-'))
const certificates = await makeCertificates(folder)
const load = await startLoad()
t.teardown(async () => {
  await load[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true })
})

const ask = (scenario: Scenario, peer: Peer = ours, windowMs = effort.windowMs): Promise<CaseResult[]> =>
  runScenario(scenario, {
    peers: [peer],
    effort: { ...effort, windowMs },
    load,
    certificates,
    folder,
    places: oneMachine,
    progress: () => {},
  })

/** Of the one round, by metric. */
function readings({ subject, rounds }: CaseResult): Record<string, unknown> {
  const [round] = rounds[0]!
  if (round?.kind !== 'measured') throw new Error(JSON.stringify(round))
  return Object.fromEntries(subject.metrics.map(({ name }, at) => [name, round.readings[at]]))
}

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

t.test('bulk both ways and CONNECTs pass a front door', async (t) => {
  const results = await ask(frontDoor, throughRouter)
  const near = results.filter(({ subject }) => !subject.path)
  t.strictSame(
    near.map(({ subject }) => subject.label),
    ['all pass it', 'agents alone pass it'].flatMap((who) =>
      ['bulk download, 2 connections', 'bulk upload, 2 connections', 'CONNECT, request, close, 2 at a time'].map(
        (what) => `${what}, ${who}`,
      ),
    ),
  )
  for (const result of near) t.ok(Number(readings(result).rate) > 0, result.subject.label)
  const far = results.filter(({ subject }) => subject.path)
  t.strictSame(
    far.map(({ subject }) => subject.label),
    ['download', 'upload'].map((direction) => `10 ms, 0 % lost, ${direction}, 2 connections`),
  )
  for (const result of far) {
    const [round] = result.rounds[0]!
    if (round?.kind === 'skipped') t.match(round.why, /root|namespace|TUN|needs Go/)
    else t.ok(Number(readings(result).rate) > 0, result.subject.label)
  }
})

t.test('nobody who stalls is the first point of the isolation graph', async (t) => {
  const [result] = await ask(stalledReaders)
  t.ok(Number(readings(result!)['round trip p99']) > 0)
})

t.test('a peer that cannot be asked is skipped with the reason, not failed', async (t) => {
  const [result] = await ask(grpcFrontend, floor)
  t.match(result!.rounds, [[{ kind: 'skipped', why: 'plain pipes speak no gRPC' }]])
})
