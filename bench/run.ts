/** `npm run bench`: reads the flags, starts the load, runs the questions, prints the answers. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { makeCertificates } from './certificates.ts'
import { type CaseResult, runScenario } from './harness.ts'
import { startLoad } from './load/load.ts'
import { type BenchOptions, readOptions, SAVE_UNDER_RESULTS } from './options.ts'
import { removeAtExit } from './processes.ts'
import { makeReport } from './report.ts'
import { renderTable, toRows } from './table.ts'

const read = readOptions(process.argv.slice(2))
switch (read.kind) {
  case 'help':
    process.stdout.write(read.text)
    break
  case 'wrong':
    for (const problem of read.problems) console.error(`bench: ${problem}`)
    process.exitCode = 1
    break
  case 'run':
    process.exitCode = (await bench(read.options)) ? 0 : 1
    break
  default:
    read satisfies never
}

/** Whether no round failed. */
async function bench({
  effort,
  peers,
  reference,
  scenarios,
  output,
  saveTo,
  question,
}: BenchOptions): Promise<boolean> {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-bench-'))
  removeAtExit(folder)
  const started = performance.now()
  const secondsSoFar = (): number => (performance.now() - started) / 1000
  const progress = (line: string): void => console.error(`${secondsSoFar().toFixed(0).padStart(4)} s  ${line}`)
  for (const peer of peers) await peer.prepare()
  const certificates = await makeCertificates(folder)
  await using load = await startLoad()
  const results: CaseResult[] = []
  for (const scenario of scenarios) {
    results.push(...(await runScenario(scenario, { peers, effort, load, certificates, folder, progress })))
  }
  const labels = peers.map(({ name }, index) =>
    label(name, peers.slice(0, index).filter((p) => p.name === name).length),
  )
  const rows = toRows(results, labels, reference)
  const report = makeReport(peers, effort, results, rows, secondsSoFar())
  const json = `${JSON.stringify(report, null, 2)}\n`
  if (output === 'json') process.stdout.write(json)
  else {
    const { machine, commit } = report
    process.stdout.write(
      `\n${renderTable(rows, labels, reference)}\n` +
        `Medians of ${effort.rounds} rounds (${effort.freshRounds} where each starts anew), least and most in brackets; ratios round by round.\n` +
        `${commit}, node ${machine.node}, ${machine.cores} × ${machine.cpu}, Linux ${machine.kernel}, load ${machine.loadAverage[0]?.toFixed(1)}, ${report.seconds} s\n`,
    )
  }
  if (saveTo !== undefined) {
    const results = join(import.meta.dirname, 'results')
    const file = saveTo === SAVE_UNDER_RESULTS ? join(results, `${report.date.slice(0, 10)}-${question}.json`) : saveTo
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, json)
    console.error(`written to ${file}`)
  }
  return rows.every(({ peers }) => peers.every(({ failures }) => failures.length === 0))
}

/** The second of a name is told from the first. */
function label(name: string, before: number): string {
  return before === 0 ? name : `${name} #${before + 1}`
}
