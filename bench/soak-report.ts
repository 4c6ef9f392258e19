/** What a soak found, for people: figures at its beginning and its end, and plots over its time. */
import { basename, join } from 'node:path'
import { linePlot } from './plot.ts'
import type { Origin } from './report.ts'
import { type Figures, leftOver, type Sample } from './soak.ts'
import { median } from './statistics.ts'

export type SoakReport = Origin & { readonly samples: readonly Sample[] }

const ends = ['server', 'agent'] as const
const figures = {
  heapMiB: 'heap in use, MiB',
  residentMiB: 'resident memory, MiB',
  descriptors: 'descriptors',
} as const
type Figure = keyof typeof figures

/** Files by their names. @param base of the names, without an ending */
export function soakPages({ samples, ...origin }: SoakReport, base: string): Map<string, string> {
  const files = new Map<string, string>()
  const plots = (Object.keys(figures) as Figure[]).map((figure) => {
    const lines = ends.map((end) => ({
      name: end,
      points: samples.map((sample): [number, number] => [sample.minutes, sample[end][figure]]),
    }))
    const title = `${figures[figure]}, at rest after each cycle`
    const x = { name: 'minutes', kind: 'linear' } as const
    const file = join(base, `${figure.toLowerCase()}.svg`)
    files.set(file, linePlot(title, x, { name: figures[figure], kind: 'linear' }, lines))
    return `![${title}](${basename(base)}/${basename(file)})\n`
  })
  const rows = ends.flatMap((end) =>
    (Object.keys(figures) as Figure[]).map((figure) => {
      const of = (some: readonly Sample[]): string => middle(some, end, figure).toFixed(1)
      const [first, last] = [quarter(samples, 1), quarter(samples, 3)]
      const times = middle(last, end, figure) / middle(first, end, figure)
      return `| ${end}, ${figures[figure]} | ${of(first)} | ${of(last)} | ${times.toFixed(2)} |`
    }),
  )
  const tunnels = samples.reduce((sum, sample) => sum + sample.tunnels, 0)
  const megabytes = samples.reduce((sum, sample) => sum + sample.megabytes, 0)
  const { machine } = origin
  const page = [
    `# ${basename(base)}\n`,
    `\`${origin.command}\` at ${origin.commit}, ${origin.date}; ${machine.cores} × ${machine.cpu}, Linux ${machine.kernel}, Node ${machine.node}.\n`,
    `${samples.length} cycles of mixed traffic in ${(samples.at(-1)?.minutes ?? 0).toFixed(0)} minutes: ${tunnels.toLocaleString('en-US')} tunnels, ${Math.round(megabytes / 1000).toLocaleString('en-US')} GB. In each cycle every connection of the agent was reset in full flight, once.`,
    `Tables (connections, dials, buffered bytes) that were not empty at rest: ${leftOver(samples).length} of ${samples.length} looks.\n`,
    '| | second quarter | last quarter | times |\n| --- | --- | --- | --- |',
    ...rows,
    '',
    ...plots,
  ]
  files.set(`${base}.md`, `${page.join('\n').trimEnd()}\n`)
  return files
}

/** The first one warms up. */
function quarter(samples: readonly Sample[], index: number): readonly Sample[] {
  const length = samples.length / 4
  const found = samples.slice(Math.floor(index * length), Math.floor((index + 1) * length))
  return found.length > 0 ? found : samples
}

function middle(samples: readonly Sample[], end: (typeof ends)[number], figure: keyof Figures): number {
  return median(samples.map((sample) => sample[end][figure])) as number
}
