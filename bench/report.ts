/** The JSON of a run: every reading, and where it was taken. */
import { execFileSync } from 'node:child_process'
import { cpus, loadavg, release, totalmem } from 'node:os'
import type { Verdict } from './bars.ts'
import type { CaseResult } from './harness.ts'
import type { BenchOptions } from './options.ts'
import type { Peer } from './peers/peer.ts'
import type { Section } from './table.ts'

export type Origin = ReturnType<typeof readOrigin>
export type Report = ReturnType<typeof makeReport>

/** Where and of what a run is: read before it, because it loads the machine and the checkout may change meanwhile. */
export function readOrigin() {
  return {
    date: new Date().toISOString(),
    command: ['npm run bench --', ...process.argv.slice(2)].join(' '),
    commit: commit(),
    machine: {
      node: process.version,
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      memoryMiB: Math.round(totalmem() / 1024 / 1024),
      kernel: release(),
      loadAverageBefore: loadavg()[0] ?? 0,
    },
  }
}

export function makeReport(
  origin: Origin,
  { effort }: Pick<BenchOptions, 'effort'>,
  peers: readonly Peer[],
  results: readonly CaseResult[],
  sections: readonly Section[],
  verdicts: readonly Verdict[],
  seconds: number,
) {
  return {
    ...origin,
    seconds: Math.round(seconds),
    effort,
    peers: peers.map(({ name, what }) => ({ name, what })),
    rows: sections.flatMap(({ rows }) => rows),
    growth: sections.flatMap(({ growth }) => growth),
    bars: verdicts.map(({ bar, must, goal }) => ({ ...bar, verdict: { must, goal } })),
    processorMs: results.map(({ scenario, subject, rounds }) => ({
      scenario: scenario.name,
      subject: subject.label,
      peers: rounds.map((ofPeer) => ofPeer.map((round) => (round.kind === 'measured' ? round.processorMs : null))),
    })),
  }
}

/** With "+" when files differ from it; `unknown` outside a checkout. */
function commit(): string {
  const git = (...args: string[]): string =>
    execFileSync('git', args, {
      cwd: import.meta.dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim()
  try {
    const changed = git('status', '--porcelain', '--untracked-files=no') !== ''
    return `${git('rev-parse', '--short=12', 'HEAD')}${changed ? '+' : ''}`
  } catch {
    return 'unknown'
  }
}
