/**
 * Lanes where the other end is konnectivity's: our agent told to have four, on its servers, and its agents on a server of ours
 * that grants as many. Nobody speaks of lanes to who does not know them, and nothing is lost for the want of them.
 */
import t from 'tap'
import { makePki, type Pki } from '../integration/certificates.ts'
import { figure, readFigures } from '../integration/figures.ts'
import { makeAsk } from './frontend.ts'
import type { Maker } from './pairing.ts'
import { agentOf, type RunningAgent, type RunningServer, serverOf } from './programs-of.ts'
import { carriesBulk, carriesManyAtOnce, echoes } from './transfers.ts'
import { clientWritesAndCloses } from './writers.ts'

const WRITES = 200
const way = { mode: 'http-connect', transport: 'uds' } as const
const pki = await makePki(t)
t.setTimeout(180_000)

for (const release of ['v0.36.0', 'v0.31.4'] as const) {
  t.test(`an agent of ours with --lanes=4 has none on a server of ${release}, and carries all`, async (t) => {
    const { agent, seen } = await carryAll(t, pki, release, 'ours', ['--lanes=4'])
    t.strictSame(seen, { echo: 'ok', bulk: 'ok', many: 'ok', writers: 'ok' })
    t.equal(await figure(agent, 'culvert_agent_open_lanes'), 0)
    t.strictSame(await attempts(agent), [], 'it did not try')
  })

  t.test(`a server of ours gives no lane to an agent of ${release}, which carries all`, async (t) => {
    const { server, seen } = await carryAll(t, pki, 'ours', release)
    t.match(seen, { echo: 'ok', bulk: 'ok', many: 'ok', writers: /^(ok|\d of \d+ lost)$/ }) // as in differences.ts
    t.equal(await figure(server, 'culvert_server_open_lanes'), 0)
    t.strictSame(await attempts(server), [], 'nobody tried')
  })
}

type Test = Parameters<typeof serverOf>[0]

async function carryAll(t: Test, pki: Pki, maker: Maker, agentMaker: Maker, agentFlags: readonly string[] = []) {
  const server: RunningServer = await serverOf(t, maker, pki)
  const agent: RunningAgent = await agentOf(t, agentMaker, server, agentFlags)
  await agent.answersOk(agent.healthPort, '/readyz')
  await server.answersOk(server.healthPort, '/readyz')
  const ask = await makeAsk(t, way, server, '')
  const seen = {
    echo: await echoes(t, ask),
    bulk: await carriesBulk(t, ask),
    many: await carriesManyAtOnce(t, ask),
    writers: await clientWritesAndCloses(t, ask, WRITES),
  }
  return { server, agent, seen }
}

/** What counts lanes, or moves to them, and has counted. */
async function attempts(program: RunningServer | RunningAgent): Promise<string[]> {
  const { series } = await readFigures(program)
  return [...series]
    .filter(([series, count]) => /lanes|"MOVE"|LANE/.test(series) && count > 0)
    .map(([series]) => series)
}
