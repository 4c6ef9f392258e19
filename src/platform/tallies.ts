/** Plain numbers that a program keeps, shown to Prometheus when somebody looks: nothing is looked up when they change. */
import { Counter, Gauge, type Registry } from 'prom-client'

export type Tally = { readonly labels: Readonly<Record<string, string>>; readonly value: number }

/** A series that is still zero is left out: it has not happened yet. */
export function tallyCounter(
  registry: Registry,
  name: string,
  help: string,
  labelNames: string[],
  read: () => Tally[],
): void {
  new Counter({
    name,
    help,
    labelNames,
    registers: [registry],
    collect() {
      this.reset()
      for (const { labels, value } of read()) if (value > 0) this.inc(labels, value)
    },
  })
}

/** A word of ours as a label value: as konnectivity spells its own. */
export const labelValue = (word: string): string => word.replaceAll('-', '_')

/** One number, which is there from the start. */
export function tallyGauge(
  registry: Registry,
  name: string,
  help: string,
  read: () => number,
  aggregator: MergedAs = 'sum',
): void {
  new Gauge({
    name,
    help,
    aggregator,
    registers: [registry],
    collect() {
      this.set(read())
    },
  })
}

/** How a figure of several processes is the figure of all: what each has of its own is added up. */
export type MergedAs = 'sum' | 'min' | 'max'

/** A number for each value of a label; a value that `read` does not give has no series. */
export function labelledGauge(
  registry: Registry,
  name: string,
  help: string,
  label: string,
  read: () => Readonly<Record<string, number>>,
  aggregator: MergedAs = 'sum',
): void {
  new Gauge({
    name,
    help,
    aggregator,
    labelNames: [label],
    registers: [registry],
    collect() {
      this.reset()
      for (const [value, figure] of Object.entries(read())) this.set({ [label]: value }, figure)
    },
  })
}
