/** Results as a table for people. Pure. */
import { limitText, type Verdict } from './bars.ts'
import type { Growth } from './growth.ts'
import type { CaseResult } from './harness.ts'
import type { Metric, Reading } from './scenarios/scenario.ts'
import { compare, type Summary, summarize } from './statistics.ts'

const ARROWS = { more: '↑', less: '↓' } as const satisfies Record<Metric['better'], string>

export type Row = {
  readonly scenario: string
  readonly question: string
  readonly subject: string
  readonly series: string
  readonly size: number
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
  /** Why it was not asked. */
  readonly skipped?: string
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
        series: subject.series,
        size: subject.size,
        metric: metric.name,
        unit: metric.unit,
        better: metric.better,
        peers: peers.map((peer, index) => {
          const failures = rounds[index]!.flatMap((round) => (round.kind === 'failed' ? [round.why] : []))
          const numbers = readings[index]!.filter((reading) => reading !== undefined)
          const skipped = rounds[index]!.find((round) => round.kind === 'skipped')
          const ratio = index === reference ? undefined : compare(readings[index]!, readings[reference]!)
          return {
            peer,
            readings: readings[index]!,
            ...(numbers.length > 0 && { summary: summarize(numbers) }),
            ...(ratio !== undefined && { ratio }),
            failures,
            ...(skipped !== undefined && { skipped: skipped.why }),
          }
        }),
      }
    }),
  )
}

/** What was measured of the same peers; the rows of a section have the same columns. */
export type Section = {
  readonly peers: readonly string[]
  readonly reference: number
  readonly rows: readonly Row[]
  readonly growth: readonly Growth[]
}

/** A header, one line for each row and, where sizes grew, one line more that says what that did. */
export function toLines({ peers, reference, rows, growth }: Section, verdicts: readonly Verdict[]): string[][] {
  const isOther = (_: unknown, index: number): boolean => index !== reference
  const others = peers.filter(isOther)
  const header = ['', '', ...peers, ...others.map((peer) => `${peer} : ${peers[reference]}`), 'must', 'goal']
  const lines = rows.map((row) => {
    const ofRow = verdicts.filter((verdict) => verdict.row === row)
    return [
      `${row.question}, ${row.subject}`,
      `${row.metric}, ${row.unit} ${ARROWS[row.better]}`,
      ...row.peers.map(valueCell),
      ...row.peers.filter(isOther).map(ratioCell),
      ...(['must', 'goal'] as const).map((limit) => verdictCell(ofRow, limit)),
    ]
  })
  const growthLines = growth.map(({ question, series, from, to, metric, times }) => [
    `${question}, ${from} → ${to} ${series}`,
    `${metric}, times`,
    ...times.map((factor) => (factor === undefined ? '–' : shown(factor))),
    ...others.map(() => ''),
    '',
    '',
  ])
  return [header, ...lines, ...growthLines]
}

export function renderTable(section: Section, verdicts: readonly Verdict[]): string {
  return `${align(toLines(section, verdicts))}\n${remarks(section.rows).join('')}`
}

/** Several peers may have the same bar on one row. */
function verdictCell(verdicts: readonly Verdict[], limit: 'must' | 'goal'): string {
  const texts = verdicts
    .filter(({ cell, [limit]: outcome }) => cell !== undefined && outcome !== 'none')
    .map(({ bar, row, [limit]: outcome }) => {
      const peer = bar.peer === undefined ? '' : `${bar.peer} `
      return `${peer}${limitText(bar[limit], row?.unit ?? '')} ${outcome}`
    })
  return texts.join(', ')
}

/** What was met, missed and not measured, and the names of the last two. */
export function renderSummary(verdicts: readonly Verdict[]): string {
  const of = (limit: 'must' | 'goal', outcome: Verdict['must']): Verdict[] =>
    verdicts.filter((verdict) => verdict[limit] === outcome)
  const names = (found: readonly Verdict[]): string[] =>
    found.map(({ bar }) => `  ${bar.what}${bar.peer === undefined ? '' : ` (${bar.peer})`}`)
  const lines = (['must', 'goal'] as const).flatMap((limit) => {
    const missed = of(limit, 'not met')
    const head = `${limit}: ${of(limit, 'met').length} met, ${missed.length} not met, ${of(limit, 'not measured').length} not measured`
    return missed.length === 0 ? [head] : [`${head}; not met:`, ...names(missed)]
  })
  return `${lines.join('\n')}\n`
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

/** Rounds that failed and peers that were not asked, each with its reason once; whole lines. */
export function remarks(rows: readonly Row[]): string[] {
  const lines = new Set<string>()
  for (const { question, subject, peers } of rows) {
    for (const { peer, failures, readings, skipped } of peers) {
      if (skipped !== undefined) lines.add(`skipped: ${question}, ${subject}, ${peer}: ${skipped}\n`)
      if (failures.length === 0) continue
      const reasons = [...new Set(failures)].join('; ')
      lines.add(
        `failed: ${question}, ${subject}, ${peer}: ${failures.length} of ${readings.length} rounds: ${reasons}\n`,
      )
    }
  }
  return [...lines]
}

function valueCell({ summary, failures, readings, skipped }: PeerCell): string {
  if (skipped !== undefined) return 'skipped'
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
export function shown(value: Reading): string {
  if (value === 'no answer') return value
  if (Math.abs(value) >= 100) return Math.round(value).toLocaleString('en-US')
  return value.toFixed(Math.abs(value) >= 10 ? 1 : 2)
}
