/** The report of a run for people: one page of Markdown with a table for each question, and plots. Pure but for drawing. */
import { basename, dirname, join } from 'node:path'
import { limitText, type Verdict } from './bars.ts'
import type { Report } from './report.ts'
import { type Row, remarks, type Section, shown, toLines } from './table.ts'

/** Two sizes make no line. */
const LEAST_SIZES = 3
/** A healthy client gives up then: what stands for no answer in a plot, far above all answers. */
const NO_ANSWER: Partial<Record<Row['unit'], number>> = { ms: 2_000, µs: 2_000_000 }

type Plot = { readonly name: string; readonly svg: string; readonly says: string }

/**
 * Files by their names: the page, and its plots in a folder of the same name.
 *
 * @param base of the names, without an ending
 */
export async function pages(
  report: Report,
  sections: readonly Section[],
  verdicts: readonly Verdict[],
  base: string,
): Promise<Map<string, string>> {
  const plots = await import('./plot.ts') // only who keeps a report pays for the library
  const overview = ratioPlot(verdicts, plots)
  const files = new Map<string, string>()
  const add = ({ name, svg, says }: Plot): string => {
    const file = join(base, `${name}.svg`)
    files.set(file, svg)
    return `![${says}](${basename(base)}/${basename(file)})\n`
  }
  const lines = [
    `# ${basename(base)}\n`,
    origin(report),
    summary(verdicts),
    ...(overview === undefined ? [] : [add(overview)]),
  ]
  for (const section of sections) {
    for (const [scenario, rows] of Map.groupBy(section.rows, (row) => row.scenario)) {
      const growth = section.growth.filter((one) => one.scenario === scenario)
      lines.push(`## ${scenario}\n`, markdown(toLines({ ...section, rows, growth }, verdicts)))
      lines.push(...remarks(rows).map((line) => `- ${line}`))
      lines.push(...growthPlots(scenario, rows, section.peers, plots).map(add))
    }
  }
  files.set(join(dirname(base), `${basename(base)}.md`), `${lines.join('\n').trimEnd()}\n`)
  return files
}

function origin({ command, commit, date, seconds, machine, effort, peers }: Report): string {
  const { node, cpu, cores, memoryMiB, kernel, loadAverageBefore } = machine
  return [
    `\`${command}\` at ${commit}, ${date}, took ${seconds} s.\n`,
    `- Machine: ${cores} × ${cpu}, ${Math.round(memoryMiB / 1024)} GiB, Linux ${kernel}, Node ${node}; load average before: ${loadAverageBefore.toFixed(1)}.`,
    ...peers.map(({ name, what }) => `- ${name}: ${what}`),
    `- Medians of ${effort.rounds} rounds in turn (stalled readers ${effort.stalledRounds}, memory and clusters ${effort.memoryRounds}, long way ${effort.wanRounds}), the least and the most in brackets. Ratios are taken round by round. ↑ more is better, ↓ less is better. How to read it: \`bench/README.md\`.\n`,
  ].join('\n')
}

function summary(verdicts: readonly Verdict[]): string {
  const measured = verdicts.filter(({ must, goal }) => must !== 'not measured' && goal !== 'not measured')
  const lines = measured.map(({ bar, row, cell, must, goal }) => {
    const limit = bar.must ?? bar.goal
    const found =
      limit?.of === 'ratio' ? cell?.ratio?.median : limit?.of === 'worst' ? cell?.summary?.most : cell?.summary?.median
    const unit = limit?.of === 'ratio' ? 'x' : ` ${row?.unit ?? ''}`
    const isBoth = bar.goal !== undefined && bar.goal.of !== limit?.of // then the two limits are about different figures
    const value = `${found === undefined ? '–' : shown(found)}${unit}${isBoth && cell?.summary ? `, ${shown(cell.summary.median)} ${row?.unit}` : ''}`
    const outcome = (limit: typeof bar.must, said: string): string =>
      limit === undefined ? '' : `${limitText(limit, row?.unit ?? '')} ${said === 'met' ? '✓' : '✗'} ${said}`
    return [bar.what, bar.peer ?? 'ours', value, outcome(bar.must, must), outcome(bar.goal, goal)]
  })
  const missing = verdicts.length - measured.length
  const said = missing === 0 ? '' : `\n${missing} of ${verdicts.length} bars were not measured in this run.\n`
  return `## Bars\n\n${markdown([['', 'who', 'measured', 'must', 'goal'], ...lines])}${said}`
}

function markdown(lines: readonly (readonly string[])[]): string {
  const [header = [], ...rest] = lines
  const row = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  return `${[row(header), row(header.map(() => '---')), ...rest.map(row)].join('\n')}\n`
}

type Draw = Pick<typeof import('./plot.ts'), 'linePlot' | 'barPlot'>

function ratioPlot(verdicts: readonly Verdict[], { barPlot }: Draw): Plot | undefined {
  const bars = verdicts.flatMap(({ bar, row, cell }) => {
    const { must, peer } = bar
    const ratio = cell?.ratio?.median
    if (peer !== undefined || must?.of !== 'ratio' || typeof ratio !== 'number' || !row) return []
    const name = `${row.scenario}, ${row.subject}, ${row.metric} ${row.better === 'more' ? '↑' : '↓'}`
    return [{ name, value: Number(shown(ratio)), mark: 'least' in must ? must.least : must.most }]
  })
  if (bars.length === 0) return undefined
  const title = 'Ours : stock, and what it must be'
  const svg = barPlot({ title, axis: 'ratio (↑ more is better, ↓ less is better)', bars })
  return { name: 'ratios', svg, says: title }
}

/** What became of each measure when the size grew, one plot each. */
function growthPlots(scenario: string, rows: readonly Row[], peers: readonly string[], { linePlot }: Draw): Plot[] {
  const series = Map.groupBy(rows, ({ series, metric }) => `${series}, ${metric}`)
  return [...series.values()].flatMap((sizes): Plot[] => {
    const { question, series, metric, unit } = sizes[0]!
    if (sizes.length < LEAST_SIZES) return []
    const noAnswer = NO_ANSWER[unit]
    const lines = peers.map((name, index) => ({
      name,
      points: sizes.map(({ size, peers }): [number, number] => {
        const median = peers[index]!.summary?.median
        return [size, median === 'no answer' ? (noAnswer ?? Number.NaN) : (median ?? Number.NaN)]
      }),
    }))
    const silent = sizes.some(({ peers }) => peers.some(({ summary }) => summary?.median === 'no answer'))
    const values = lines.flatMap(({ points }) => points.map(([, y]) => y)).filter((y) => y > 0)
    const isWide = Math.max(...values) > WIDE * Math.min(...values)
    const title = `${question}: ${metric}${silent ? ` (${shown(noAnswer ?? 0)} ${unit}: no answer)` : ''}`
    const sizeKind = sizes[0]!.size > 0 ? 'log' : 'steps'
    const svg = linePlot(
      title,
      { name: series, kind: sizeKind },
      { name: unit, kind: isWide ? 'log' : 'linear' },
      lines,
    )
    return [{ name: fileName(`${scenario}-${series}-${metric}`), svg, says: `${title}, by ${series}` }]
  })
}

/** Largest value : smallest, beyond which a linear axis hides the small ones. */
const WIDE = 20

function fileName(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '')
}
