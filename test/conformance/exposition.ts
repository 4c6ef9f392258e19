/** What a program shows at /metrics, read so that two programs can be compared: numbers and the order of labels in one form. */

export type Family = {
  readonly type: string
  /** Names that its series have, but for `le`; sorted. */
  readonly labels: readonly string[]
  /** Upper ends of a histogram's buckets. */
  readonly buckets: readonly number[]
}

export type Exposition = {
  /** By name; only families that have a series: Go's client does not show the others. */
  readonly families: ReadonlyMap<string, Family>
  /** By name and sorted labels; of a histogram its count alone, as the rest is time. */
  readonly series: ReadonlyMap<string, number>
}

type Sample = { readonly name: string; readonly labels: ReadonlyMap<string, string>; readonly value: number }

export function readExposition(text: string): Exposition {
  const types = new Map<string, string>()
  const samples: Sample[] = []
  for (const line of text.split('\n')) {
    const [, named, type] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? []
    if (named !== undefined && type !== undefined) types.set(named, type)
    const [, name, labels = '', value] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/.exec(line) ?? []
    if (name !== undefined) samples.push({ name, labels: readLabels(labels), value: Number(value) })
  }
  const families = new Map<string, Family>()
  const series = new Map<string, number>()
  for (const [name, own] of Map.groupBy(samples, ({ name }) => familyOf(name, types))) {
    const labels = new Set(own.flatMap((sample) => [...sample.labels.keys()].filter((label) => label !== 'le')))
    const ends = new Set(own.flatMap(({ labels }) => (labels.has('le') ? [Number(labels.get('le'))] : [])))
    families.set(name, {
      type: types.get(name) ?? 'untyped',
      labels: [...labels].sort(),
      buckets: [...ends].filter(Number.isFinite).sort((a, b) => a - b),
    })
    for (const sample of own) {
      if (/_(bucket|sum)$/.test(sample.name) && sample.name !== name) continue
      series.set(seriesName(sample), sample.value)
    }
  }
  return { families, series }
}

/** `dial_duration_seconds_bucket` belongs to `dial_duration_seconds`, if that is a histogram; `x_count` may be a name itself. */
function familyOf(name: string, types: ReadonlyMap<string, string>): string {
  const stem = name.replace(/_(bucket|sum|count)$/, '')
  return types.get(stem) === 'histogram' || types.get(stem) === 'summary' ? stem : name
}

function readLabels(text: string): Map<string, string> {
  const pairs = [...text.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)]
  return new Map(pairs.map(([, name = '', value = '']): [string, string] => [name, value]))
}

function seriesName({ name, labels }: Sample): string {
  const sorted = [...labels].sort(([one], [other]) => (one < other ? -1 : 1))
  return sorted.length === 0 ? name : `${name}{${sorted.map(([label, value]) => `${label}="${value}"`).join(',')}}`
}
