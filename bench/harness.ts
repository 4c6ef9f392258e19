/**
 * Runs the cases: peers side by side, one warm-up round that is thrown away, then rounds in turn (A B A B …), so that what
 * else happens on the machine meets all of them. A round that fails is reported as failed and never becomes a number.
 */
import { mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { NoAnswer } from './load/control.ts'
import { type Load, startLoad } from './load/load.ts'
import type { Certificates, Peer, RunningPeer } from './peers/peer.ts'
import { doorApart, openWan, type Places } from './places.ts'
import { processorMs } from './process-usage.ts'
import type { Case, Effort, Reading, Scenario } from './scenarios/scenario.ts'
import { Skipped } from './skipped.ts'

export type Round =
  | { readonly kind: 'measured'; readonly readings: readonly Reading[]; readonly processorMs: ProcessorMs }
  | { readonly kind: 'failed'; readonly why: string }
  | { readonly kind: 'skipped'; readonly why: string }
type Unmeasured = Exclude<Round, { kind: 'measured' }>
/** Used in one round, warm-up of the round included: tells whether the load or the peer was the bottleneck. */
export type ProcessorMs = { readonly server: number; readonly agent: number; readonly load: number }
export type CaseResult = {
  readonly scenario: Scenario
  readonly subject: Case
  /** In the order of the peers; of each, its rounds in order. */
  readonly rounds: readonly (readonly Round[])[]
}
export type Bench = {
  readonly peers: readonly Peer[]
  readonly effort: Effort
  readonly load: Load
  readonly certificates: Certificates
  readonly folder: string
  readonly places: Places
  readonly progress: (line: string) => void
}

/** Longest wait for the tunnels of a round to be gone at the target, before the next peer has its turn. */
const QUIET_DEADLINE_MS = 5_000

export async function runScenario(scenario: Scenario, bench: Bench): Promise<CaseResult[]> {
  const results: CaseResult[] = []
  const key = ({ frontend, start, path, doorApart }: Case): string => JSON.stringify([frontend, start, path, doorApart])
  const groups = Map.groupBy(scenario.cases(bench.effort), key)
  for (const cases of groups.values()) {
    const { start } = cases[0]!
    const run = start === 'fresh' ? runFresh : runShared
    const open = elsewhere(cases[0]!)
    results.push(
      ...(open === undefined
        ? await run(scenario, cases, bench)
        : await runElsewhere(open, cases, scenario, bench, (there) => run(scenario, cases, there))),
    )
  }
  return results
}

type OpenPlaces = () => Promise<Places & AsyncDisposable>

/** Places that a case wants for itself. */
function elsewhere({ path, doorApart: isDoorApart }: Case): OpenPlaces | undefined {
  if (path) return () => openWan(path)
  return isDoorApart ? doorApart : undefined
}

/** The same, with a load of its own at these places; skipped where they cannot be had. */
async function runElsewhere(
  open: OpenPlaces,
  cases: readonly Case[],
  scenario: Scenario,
  bench: Bench,
  run: (bench: Bench) => Promise<CaseResult[]>,
): Promise<CaseResult[]> {
  try {
    await using places = await open()
    await using load = await startLoad(places)
    return await run({ ...bench, load, places })
  } catch (error) {
    if (!(error instanceof Skipped)) throw error
    const skipped: Round = { kind: 'skipped', why: error.message }
    return cases.map((subject) => ({ scenario, subject, rounds: bench.peers.map(() => [skipped]) }))
  }
}

/** The same processes for all rounds of all these cases, which have one kind of frontend. */
async function runShared(scenario: Scenario, cases: readonly Case[], bench: Bench): Promise<CaseResult[]> {
  await using stack = new AsyncDisposableStack()
  const running = await Promise.all(
    bench.peers.map(async (peer) => {
      const started = await startPeer(peer, cases[0]!, bench)
      return 'kind' in started ? started : stack.use(started)
    }),
  )
  const results: CaseResult[] = []
  for (const subject of cases) {
    const turn = (index: number): Promise<Round> => measure(subject, running[index]!, bench)
    for (const index of running.keys()) await turn(index)
    results.push({ scenario, subject, rounds: await interleave(bench, subject.rounds, turn) })
    bench.progress(`${scenario.question}, ${subject.label}`)
  }
  return results
}

async function runFresh(scenario: Scenario, cases: readonly Case[], bench: Bench): Promise<CaseResult[]> {
  const results: CaseResult[] = []
  for (const subject of cases) {
    const rounds = await interleave(bench, subject.rounds, async (index) => {
      const started = await startPeer(bench.peers[index]!, subject, bench)
      if ('kind' in started) return started
      await using running = started
      return await measure(subject, running, bench)
    })
    results.push({ scenario, subject, rounds })
    bench.progress(`${scenario.question}, ${subject.label}`)
  }
  return results
}

async function interleave(bench: Bench, count: number, turn: (index: number) => Promise<Round>): Promise<Round[][]> {
  const rounds: Round[][] = bench.peers.map(() => [])
  for (let round = 0; round < count; round++) {
    for (const index of bench.peers.keys()) rounds[index]!.push(await turn(index))
  }
  return rounds
}

/** The running peer, or what every round of it is, as there is none. */
async function startPeer(peer: Peer, { frontend }: Case, bench: Bench): Promise<RunningPeer | Unmeasured> {
  const { certificates, places } = bench
  const folder = mkdtempSync(join(bench.folder, 'peer-'))
  try {
    return await peer.start({ frontend, folder, certificates, places })
  } catch (error) {
    return { kind: error instanceof Skipped ? 'skipped' : 'failed', why: (error as Error).message }
  }
}

async function measure(subject: Case, peer: RunningPeer | Unmeasured, { load }: Bench): Promise<Round> {
  if ('kind' in peer) return peer
  try {
    const others = await connections(load)
    const before = await usage(peer, load)
    const readings = await subject.measure(peer, load).catch((error) => {
      if (error instanceof NoAnswer) return subject.metrics.map((): Reading => 'no answer')
      throw error
    })
    const after = await usage(peer, load)
    if (subject.start === 'shared') await untilGone(load, others) // else what is left goes with the processes
    return { kind: 'measured', readings, processorMs: difference(after, before) }
  } catch (error) {
    return { kind: 'failed', why: whyFailed(peer, error as Error) }
  }
}

/** A peer that has ended says more of it than the load, which only saw a connection break. */
function whyFailed(peer: RunningPeer, seen: Error): string {
  try {
    peer.assertRunning()
    return seen.message
  } catch (error) {
    return `${seen.message}; ${(error as Error).message}`
  }
}

/** Tunnels that are open at the targets before a round: left behind by another peer, so not this one's fault. */
function connections({ light, heavy }: Load): Promise<number[]> {
  const ask = { most: Number.MAX_SAFE_INTEGER, deadlineMs: 0 }
  return Promise.all([light, heavy].map(({ target }) => target.call('connections', ask)))
}

/** @throws Error when tunnels that the client has closed are still open at the target */
async function untilGone({ light, heavy }: Load, others: readonly number[]): Promise<void> {
  for (const [index, { target }] of [light, heavy].entries()) {
    const most = others[index]!
    const open = await target.call('connections', { most, deadlineMs: QUIET_DEADLINE_MS })
    if (open <= most) continue
    throw new Error(`${open - most} connections to the target outlive their clients by ${QUIET_DEADLINE_MS} ms`)
  }
}

async function usage(peer: RunningPeer, { light, heavy }: Load): Promise<ProcessorMs> {
  const loads = [light.generator, light.target, heavy.generator, heavy.target]
  const used = await Promise.all(loads.map(({ pid }) => processorMs(pid)))
  return {
    server: await processorMs(peer.server),
    agent: await processorMs(peer.agent),
    load: used.reduce((sum, ms) => sum + ms, 0),
  }
}

function difference(after: ProcessorMs, before: ProcessorMs): ProcessorMs {
  return { server: after.server - before.server, agent: after.agent - before.agent, load: after.load - before.load }
}
