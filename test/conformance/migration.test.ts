/**
 * docs/migration.md, walked forth and back: konnectivity's server and two of its agents, then our server, our agents, and the
 * same way back, by the guide's own flags and checks, while clients transfer and reconnect all the time.
 */
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { makePki, temporaryFolder } from '../integration/certificates.ts'
import { eventually, within } from '../integration/deadline.ts'
import { AGENT, fetchFrom, figureBecomes } from '../integration/figures.ts'
import { freePort } from '../programs/free-port.ts'
import { type Ask, makeAsk } from './frontend.ts'
import { check, fillIn, readGuide, type Values } from './guide.ts'
import type { Maker, Way } from './pairing.ts'
import { commandOf } from './peers.ts'
import { type Running, start } from './process.ts'
import { type Attempt, type Outcome, startTraffic, type Traffic } from './traffic.ts'

const WALK_DEADLINE_MS = 180_000
const STOCK = 'v0.36.0'
const AGENTS = [0, 1]
const TRANSFERS = 40
/** Between what a server breaks when its time is up and the end of its process, on a busy machine. */
const CLOSING_MS = 3_000
/** What our programs take at most for connections that are open when they are told to end, and a little. */
const ENDED_DEADLINE_MS = 30_000

t.setTimeout(WALK_DEADLINE_MS)
const guide = readGuide()
const pki = await makePki(t)

t.jobs = 3 // most of it is waiting
const ways: readonly Way[] = [
  { mode: 'http-connect', transport: 'tls' },
  { mode: 'grpc', transport: 'uds', client: 'v0.36.0' },
  { mode: 'grpc', transport: 'uds', client: 'v0.37.0' },
]
for (const way of ways) {
  const name = way.mode === 'grpc' ? `grpc, client ${way.client}` : way.mode
  void t.test(
    `${name}: forth and back, and nobody gets wrong bytes`,
    { buffered: true, timeout: WALK_DEADLINE_MS },
    (t) => walk(t, way),
  )
}

async function walk(t: Test, way: Way): Promise<void> {
  const place = await makePlace(t, way)
  const { startServer, startAgent } = place
  let server = await startServer(STOCK)
  const agents = await Promise.all(AGENTS.map((index) => startAgent(STOCK, index)))
  await place.checkServer()
  const traffic = await startTraffic(t, place.ask)
  const troubles = troublesOf(traffic)

  t.strictSame(await troubles(() => traffic.more(TRANSFERS)), [], "konnectivity's pair: every connection is whole")

  const ofServer = await troubles(async () => {
    await end(server)
    server = await startServer('ours')
    await place.checkServer()
  })
  t.strictSame(other(ofServer, ['refused', 'broken']), [], 'our server in its place: connections break or are refused')
  t.strictSame(await troubles(() => traffic.more(TRANSFERS)), [], "and with konnectivity's agents every one is whole")

  for (const index of AGENTS) {
    const ofAgent = await troubles(async () => {
      agents[index]!.signal('SIGTERM')
      await place.sawDraining()
      await isIdle(place.agentHealthPort(index))
      await agents[index]!.kill('SIGKILL') // the kubelet's: it does not end by itself
      agents[index] = await startAgent('ours', index)
      await place.checkServer()
    })
    t.strictSame(ofAgent, [], `our agent in the place of agent ${index}: not one connection breaks`)
  }
  t.strictSame(await troubles(() => traffic.more(TRANSFERS)), [], 'all ours: every connection is whole')

  for (const index of AGENTS) {
    const ofAgent = await troubles(async () => {
      t.equal(await end(agents[index]!), 0, 'our agent ends by itself')
      agents[index] = await startAgent(STOCK, index)
      await place.checkServer()
    })
    t.strictSame(ofAgent, [], `konnectivity's agent ${index} back in its place: not one connection breaks`)
  }

  let endedMs = 0
  const ofOurs = await troubles(async () => {
    t.equal(await end(server), 0, 'our server ends by itself')
    endedMs = performance.now()
    server = await startServer(STOCK)
    await place.checkServer()
  })
  const early = ofOurs.filter((attempt) => attempt.endedMs < endedMs - CLOSING_MS)
  t.strictSame(early, [], 'which serves on while clients come')
  t.strictSame(other(ofOurs, ['refused', 'broken']), [], "konnectivity's server back in its place: as forth")
  t.strictSame(await troubles(() => traffic.more(TRANSFERS)), [], "konnectivity's pair again: every one is whole")
  await traffic.stop()
}

/** What went wrong with the connections that began since the last call and while that was done. */
function troublesOf(traffic: Traffic): (act: () => Promise<void>) => Promise<Attempt[]> {
  let fromMs = 0
  return async (act) => {
    await act()
    const toMs = performance.now()
    await traffic.settled(toMs)
    const began = traffic.attempts.filter(({ startedMs }) => startedMs >= fromMs && startedMs < toMs)
    fromMs = toMs
    return began.filter(({ outcome }) => outcome !== 'whole')
  }
}

/** The agent has no connection open: what is killed then breaks nothing. */
const isIdle = (healthPort: number): Promise<number> =>
  figureBecomes({ healthPort, adminPort: 0 }, `${AGENT}open_endpoint_connections`, 0)

const other = (attempts: readonly Attempt[], expected: readonly Outcome[]): Attempt[] =>
  attempts.filter(({ outcome }) => !expected.includes(outcome))

const end = (program: Running): Promise<number | NodeJS.Signals> =>
  within(program.kill('SIGTERM'), `${program.name} ends`, ENDED_DEADLINE_MS)

type Place = {
  readonly ask: Ask
  readonly startServer: (maker: Maker) => Promise<Running>
  readonly startAgent: (maker: Maker, index: number) => Promise<Running>
  /** As the guide says, with all agents there. */
  readonly checkServer: () => Promise<void>
  /** Our server has noticed that one of its agents drains. */
  readonly sawDraining: () => Promise<unknown>
  readonly agentHealthPort: (index: number) => number
}

/** What the guide's names stand for on this machine. Each agent has health and admin ports of its own. */
async function makePlace(t: Test, way: Way): Promise<Place> {
  const folder = temporaryFolder(t)
  const peers = { pki, frontendPort: await freePort(), socketPath: join(folder, 'frontend.sock') }
  const adminPort = await freePort()
  const values: Values = {
    '/etc/kubernetes/konnectivity-server/konnectivity-server.socket': peers.socketPath,
    '/etc/kubernetes/pki/konnectivity-ca.crt': pki.caFile,
    '/etc/kubernetes/pki/konnectivity-server.crt': pki.server.certFile,
    '/etc/kubernetes/pki/konnectivity-server.key': pki.server.keyFile,
    '/etc/kubernetes/pki/konnectivity-agent.crt': pki.agent.certFile,
    '/etc/kubernetes/pki/konnectivity-agent.key': pki.agent.keyFile,
    'konnectivity-server.example': '127.0.0.1',
    8131: `${peers.frontendPort}`,
    8132: `${await freePort()}`,
    8133: `${adminPort}`,
    8134: `${await freePort()}`,
  }
  const healthPorts = await Promise.all(AGENTS.map(freePort))
  const ofAgents = await Promise.all(
    healthPorts.map(async (port): Promise<Values> => ({ ...values, 8135: `${await freePort()}`, 8136: `${port}` })),
  )
  const checkAll = async (lines: readonly string[], of: Values): Promise<void> => {
    for (const line of lines) await check(line, of)
  }
  return {
    ask: await makeAsk(t, way, peers, folder),
    startServer: async (maker) =>
      start(t, await commandOf('proxy-server', maker, fillIn(guide.serverFlags(way.mode), values))),
    async startAgent(maker, index) {
      const agent = start(t, await commandOf('proxy-agent', maker, fillIn(guide.agentFlags, ofAgents[index]!)))
      await checkAll(guide.agentChecks, ofAgents[index]!)
      return agent
    },
    checkServer: () => checkAll(guide.serverChecks, values),
    sawDraining: () =>
      eventually(
        'an agent drains',
        async () => (await fetchFrom(adminPort, '/v1/clusters')).text(),
        (clusters) => clusters.includes('"draining": true'),
      ),
    agentHealthPort: (index) => healthPorts[index]!,
  }
}
