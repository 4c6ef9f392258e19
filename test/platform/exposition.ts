/** Reads what a registry shows to Prometheus. */
import type { Registry } from 'prom-client'

export type Exposition = {
  /** Type of each family of the program's own, by name; not those of Node and of the process. */
  readonly families: Readonly<Record<string, string>>
  /** Value of each series, by its name and labels as they are written. */
  readonly series: Readonly<Record<string, number>>
  /** The series of a family; of a histogram its buckets, sum and count. */
  readonly of: (family: string) => string[]
  /** Upper ends of the buckets of a histogram, in order. */
  readonly buckets: (histogram: string) => string[]
}

export async function expose(registry: Registry): Promise<Exposition> {
  const lines = (await registry.metrics()).split('\n')
  const types = lines.flatMap((line) => {
    const [, name = '', type = ''] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? []
    return name === '' || /^(nodejs|process)_/.test(name) ? [] : [[name, type] as const]
  })
  const samples = lines.flatMap((line) => {
    const [, name = '', value = ''] = /^([a-z]\S*) (\S+)$/.exec(line) ?? []
    return name === '' ? [] : [[name, Number(value)] as const]
  })
  const of = (family: string): string[] =>
    samples
      .map(([name]) => name)
      .filter((name) => name.replace(/\{.*/, '').replace(/_(bucket|sum|count)$/, '') === family.replace(/_count$/, ''))
  return {
    families: Object.fromEntries(types),
    series: Object.fromEntries(samples),
    of,
    buckets: (histogram) => of(histogram).flatMap((name) => /_bucket\{le="(.+)"\}$/.exec(name)?.[1] ?? []),
  }
}
