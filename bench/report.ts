/** The JSON of a run: every reading, and where it was taken. */
import { execFileSync } from 'node:child_process'
import { cpus, loadavg, release, totalmem } from 'node:os'
import type { Growth } from './growth.ts'
import type { CaseResult } from './harness.ts'
import type { Peer } from './peers/peer.ts'
import type { Effort } from './scenarios/scenario.ts'
import type { Row } from './table.ts'

export type Report = ReturnType<typeof makeReport>

export function makeReport(
  peers: readonly Peer[],
  effort: Effort,
  results: readonly CaseResult[],
  rows: readonly Row[],
  growth: readonly Growth[],
  seconds: number,
) {
  return {
    date: new Date().toISOString(),
    command: ['npm run bench --', ...process.argv.slice(2)].join(' '),
    seconds: Math.round(seconds),
    commit: commit(),
    machine: {
      node: process.version,
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      memoryMiB: Math.round(totalmem() / 1024 / 1024),
      kernel: release(),
      loadAverage: loadavg(),
    },
    effort,
    peers: peers.map(({ name, what }) => ({ name, what })),
    rows,
    growth,
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
