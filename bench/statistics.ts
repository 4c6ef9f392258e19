/** Rounds to one line of the table. Pure. */
import type { Reading } from './scenarios/scenario.ts'

export type Summary = { readonly median: Reading; readonly least: Reading; readonly most: Reading }

/** @param readings of one metric and one peer, one for each round; at least one */
export function summarize(readings: readonly Reading[]): Summary {
  const sorted = ascending(readings)
  return { median: median(readings), least: asReading(sorted[0]!), most: asReading(sorted.at(-1)!) }
}

/** @param readings at least one */
export function median(readings: readonly Reading[]): Reading {
  const sorted = ascending(readings)
  const upper = sorted[Math.floor(sorted.length / 2)]!
  const lower = sorted[Math.ceil(sorted.length / 2) - 1]!
  return asReading((lower + upper) / 2)
}

/**
 * The ratios of the rounds, each of two measurements made one after the other: the machine's drift, which moves both,
 * cancels where a ratio of two medians would keep some of it. Undefined when no round has two numbers.
 */
export function compare(
  ours: readonly (Reading | undefined)[],
  theirs: readonly (Reading | undefined)[],
): Summary | undefined {
  const ratios = ours.flatMap((reading, round) => {
    const other = theirs[round]
    return typeof reading === 'number' && typeof other === 'number' && other > 0 ? [reading / other] : []
  })
  return ratios.length === 0 ? undefined : summarize(ratios)
}

function ascending(readings: readonly Reading[]): number[] {
  return readings.map(asNumber).sort((a, b) => a - b)
}

/** No answer is slower than any number. */
const asNumber = (reading: Reading): number => (reading === 'no answer' ? Number.POSITIVE_INFINITY : reading)
const asReading = (number: number): Reading => (number === Number.POSITIVE_INFINITY ? 'no answer' : number)
