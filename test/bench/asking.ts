/** Asks a question of the benchmark, as small as it can be asked, of this checkout. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { makeCertificates } from '../../bench/certificates.ts'
import { type CaseResult, runScenario } from '../../bench/harness.ts'
import { startLoad } from '../../bench/load/load.ts'
import { culvert } from '../../bench/peers/culvert.ts'
import { pair } from '../../bench/peers/pair.ts'
import type { Peer } from '../../bench/peers/peer.ts'
import { oneMachine } from '../../bench/places.ts'
import { type Effort, quickEffort, type Scenario } from '../../bench/scenarios/scenario.ts'

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

export const ask = (scenario: Scenario, peer: Peer = ours, windowMs = effort.windowMs): Promise<CaseResult[]> =>
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
export function readings({ subject, rounds }: CaseResult): Record<string, unknown> {
  const [round] = rounds[0]!
  if (round?.kind !== 'measured') throw new Error(JSON.stringify(round))
  return Object.fromEntries(subject.metrics.map(({ name }, at) => [name, round.readings[at]]))
}
