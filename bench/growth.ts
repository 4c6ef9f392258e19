/** What happens to a number when the size that it was asked for grows. Pure. */
import type { CaseResult } from './harness.ts'
import { median } from './statistics.ts'

export type Growth = {
  readonly scenario: string
  readonly question: string
  readonly series: string
  readonly from: number
  readonly to: number
  readonly metric: string
  /** Whose `times` these are, in their order. */
  readonly peers: readonly string[]
  /** Median at the largest size : median at the smallest, of each peer; undefined where that makes no sense. */
  readonly times: readonly (number | undefined)[]
}

/** Two sizes make a comparison, not a growth. */
const LEAST_SIZES = 3

export function growths(results: readonly CaseResult[], peers: readonly string[]): Growth[] {
  const series = Map.groupBy(results, ({ scenario, subject }) => `${scenario.name} ${subject.series}`)
  return [...series.values()].filter((sizes) => sizes.length >= LEAST_SIZES).flatMap((sizes) => growthsOf(sizes, peers))
}

function growthsOf(sizes: readonly CaseResult[], peers: readonly string[]): Growth[] {
  const sorted = sizes.toSorted((a, b) => a.subject.size - b.subject.size)
  const [least, most] = [sorted[0]!, sorted.at(-1)!]
  const { scenario, subject } = least
  return subject.metrics.map(({ name }, at) => ({
    scenario: scenario.name,
    question: scenario.question,
    series: subject.series,
    from: subject.size,
    to: most.subject.size,
    metric: name,
    peers,
    times: least.rounds.map((_, peer) => {
      const [small, large] = [least, most].map(({ rounds }) => middle(rounds[peer]!, at))
      return small === undefined || large === undefined || small <= 0 ? undefined : large / small
    }),
  }))
}

function middle(rounds: CaseResult['rounds'][number], at: number): number | undefined {
  const readings = rounds.flatMap((round) => (round.kind === 'measured' ? [round.readings[at]!] : []))
  const found = readings.length === 0 ? undefined : median(readings)
  return typeof found === 'number' ? found : undefined
}
