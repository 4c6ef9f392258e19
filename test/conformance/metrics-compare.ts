/** What two expositions of the same moment have not in common. Pure. */
import type { Exposition, Family } from './exposition.ts'

export type Unlike = {
  /** A family, such as `dial_failure_count`, or one of its series; without the prefix that all families of a program share. */
  readonly what: string
  /** A value, or a property of the family in words. */
  readonly stock: string
  readonly ours: string
}

export const ABSENT = 'absent'
/** Families that come with a language or a library, and all that only Culvert has: compared as one. */
const BUNDLES = ['go', 'promhttp', 'nodejs', 'culvert']
const SHARED_PREFIX = /^konnectivity_network_proxy_(server|agent)_/

export function compare(stock: Exposition, ours: Exposition): Unlike[] {
  const unlike = new Map<string, Unlike>()
  const note = (what: string, theirs: string, own: string): void => {
    if (theirs !== own) unlike.set(what, { what, stock: theirs, ours: own })
  }
  const counted = new Set<string>() // families whose values are compared
  for (const name of new Set([...stock.families.keys(), ...ours.families.keys()])) {
    const [theirs, own] = [stock.families.get(name), ours.families.get(name)]
    const bundle = BUNDLES.find((prefix) => name.startsWith(`${prefix}_`))
    const oneSided = theirs === undefined || own === undefined
    // A family that has labels and is missing as a whole has not happened yet: its series say the same in more detail.
    if (oneSided && bundle === undefined && (theirs ?? own)!.labels.length > 0) counted.add(name)
    else {
      const what = bundle === undefined ? name.replace(SHARED_PREFIX, '') : `${bundle}_*`
      note(what, theirs ? shape(theirs) : ABSENT, own ? shape(own) : ABSENT)
      if (!oneSided && SHARED_PREFIX.test(name)) counted.add(name)
    }
  }
  for (const series of new Set([...stock.series.keys(), ...ours.series.keys()])) {
    const family = series.replace(/\{.*/, '')
    if (!counted.has(family) && !counted.has(family.replace(/_count$/, ''))) continue
    note(series.replace(SHARED_PREFIX, ''), figureOf(stock, series), figureOf(ours, series))
  }
  return [...unlike.values()]
}

const figureOf = ({ series }: Exposition, name: string): string => String(series.get(name) ?? ABSENT)

function shape({ type, labels, buckets }: Family): string {
  return [
    type,
    ...labels.map((label) => `by ${label}`),
    ...(buckets.length > 0 ? [`le ${buckets.join(', ')}`] : []),
  ].join(' ')
}
