/** Plain numbers that grow while the program runs, shown to Prometheus as one counter when somebody looks. */
import { Counter, type Registry } from 'prom-client'

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
