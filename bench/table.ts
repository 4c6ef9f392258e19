/** Results as a table for people. Pure. */
import type { Growth } from './growth.ts'
import type { CaseResult } from './harness.ts'
import type { Metric, Reading } from './scenarios/scenario.ts'
import { compare, type Summary, summarize } from './statistics.ts'

const ARROWS = { more: '↑', less: '↓' } as const satisfies Record<Metric['better'], string>

export type Row = {
  readonly scenario: string
  readonly question: string
  readonly subject: string
  readonly metric: string
  readonly unit: Metric['unit']
  readonly better: Metric['better']
  readonly peers: readonly PeerCell[]
}
export type PeerCell = {
  readonly peer: string
  /** Rounds that failed have none. */
  readonly readings: readonly (Reading | undefined)[]
  readonly summary?: Summary
  /** Of this peer to the reference; the reference itself has none. */
  readonly ratio?: Summary
  readonly failures: readonly string[]
}

/** @param reference the index of the peer that the others are set against */
export function toRows(results: readonly CaseResult[], peers: readonly string[], reference: number): Row[] {
  return results.flatMap(({ scenario, subject, rounds }) =>
    subject.metrics.map((metric, at) => {
      const readings = rounds.map((ofPeer) =>
        ofPeer.map((round) => (round.kind === 'measured' ? round.readings[at] : undefined)),
      )
      return {
        scenario: scenario.name,
        question: scenario.question,
        subject: subject.label,
        metric: metric.name,
        unit: metric.unit,
        better: metric.better,
        peers: peers.map((peer, index) => {
          const failures = rounds[index]!.flatMap((round) => (round.kind === 'failed' ? [round.why] : []))
          const numbers = readings[index]!.filter((reading) => reading !== undefined)
          const ratio = index === reference ? undefined : compare(readings[index]!, readings[reference]!)
          return {
            peer,
            readings: readings[index]!,
            ...(numbers.length > 0 && { summary: summarize(numbers) }),
            ...(ratio !== undefined && { ratio }),
            failures,
          }
        }),
      }
    }),
  )
}

/** One line for each row; where sizes grew, one line more that says what that did. */
export function renderTable(
  rows: readonly Row[],
  growths: readonly Growth[],
  peers: readonly string[],
  reference: number,
): string {
  const isOther = (_: unknown, index: number): boolean => index !== reference
  const header = ['', '', ...peers, ...peers.filter(isOther).map((peer) => `${peer} : ${peers[reference]}`)]
  const lines = rows.map((row) => [
    `${row.question}, ${row.subject}`,
    `${row.metric}, ${row.unit} ${ARROWS[row.better]}`,
    ...row.peers.map(valueCell),
    ...row.peers.filter(isOther).map(ratioCell),
  ])
  const growthLines = growths.map(({ question, series, from, to, metric, times }) => [
    `${question}, ${from} → ${to} ${series}`,
    `${metric}, times`,
    ...times.map((factor) => (factor === undefined ? '–' : shown(factor))),
    ...peers.filter(isOther).map(() => ''),
  ])
  return `${align([header, ...lines, ...growthLines])}\n${renderFailures(rows)}`
}

/** Columns under each other; what the first column would repeat is left out. */
function align(table: readonly (readonly string[])[]): string {
  const widths = table[0]!.map((_, column) => Math.max(...table.map((line) => line[column]!.length)))
  const text = table.map((line, index) => {
    const repeats = index > 0 && line[0] === table[index - 1]![0]
    const cells = line.map((cell, column) => (repeats && column === 0 ? '' : cell).padEnd(widths[column]!))
    return cells.join('  ').trimEnd()
  })
  return text.join('\n')
}

/** Failed rounds, each with its reason once. */
function renderFailures(rows: readonly Row[]): string {
  const lines = new Set<string>()
  for (const { question, subject, peers } of rows) {
    for (const { peer, failures, readings } of peers) {
      if (failures.length === 0) continue
      const reasons = [...new Set(failures)].join('; ')
      lines.add(
        `failed: ${question}, ${subject}, ${peer}: ${failures.length} of ${readings.length} rounds: ${reasons}\n`,
      )
    }
  }
  return [...lines].join('')
}

function valueCell({ summary, failures, readings }: PeerCell): string {
  if (summary === undefined) return 'failed'
  const { median, least, most } = summary
  const spread = least === most ? '' : ` (${shown(least)}–${shown(most)})`
  const failed = failures.length === 0 ? '' : ` ${failures.length}/${readings.length} failed`
  return `${shown(median)}${spread}${failed}`
}

function ratioCell({ ratio }: PeerCell): string {
  if (ratio === undefined) return '–'
  const digits = (value: Reading): string => (typeof value === 'number' ? value.toFixed(2) : value)
  return `${digits(ratio.median)}x (${digits(ratio.least)}–${digits(ratio.most)})`
}

/** Three digits that count. */
function shown(value: Reading): string {
  if (value === 'no answer') return value
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US')
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2)
}
