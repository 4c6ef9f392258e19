/** `npm run bench`: reads the flags, starts the load, runs the questions, prints the answers. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { makeCertificates } from './certificates.ts'
import { growths } from './growth.ts'
import { type CaseResult, runScenario } from './harness.ts'
import { startLoad } from './load/load.ts'
import { type BenchOptions, readOptions, SAVE_UNDER_RESULTS } from './options.ts'
import type { Peer } from './peers/peer.ts'
import { removeAtExit } from './processes.ts'
import { makeReport, type Report, readOrigin } from './report.ts'
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
    process.exitCode = await bench(read.options).then(
      (sound) => (sound ? 0 : 1),
      (error: Error) => {
        console.error(`bench: ${error.message}`)
        return 1
      },
    )
    break
  default:
    read satisfies never
}

/** Whether no round failed. */
async function bench(options: BenchOptions): Promise<boolean> {
  const { peers, reference } = options
  const origin = readOrigin()
  const started = performance.now()
  const results = await measureAll(options, () => (performance.now() - started) / 1000)
  const labels = peers.map(({ name }, index) => label(name, peers.slice(0, index)))
  const rows = toRows(results, labels, reference)
  const growth = growths(results)
  const report = makeReport(origin, options, results, rows, growth, (performance.now() - started) / 1000)
  const json = `${JSON.stringify(report, null, 2)}\n`
  const table = `\n${renderTable(rows, growth, labels, reference)}\n${footer(report)}`
  process.stdout.write(options.output === 'json' ? json : table)
  if (options.saveTo !== undefined) {
    const name = `${report.date.slice(0, 10)}-${options.question}.json`
    save(options.saveTo === SAVE_UNDER_RESULTS ? join(import.meta.dirname, 'results', name) : options.saveTo, json)
  }
  return rows.every((row) => row.peers.every(({ failures }) => failures.length === 0))
}

async function measureAll({ effort, peers, scenarios }: BenchOptions, seconds: () => number): Promise<CaseResult[]> {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-bench-'))
  removeAtExit(folder)
  const progress = (line: string): void => console.error(`${seconds().toFixed(0).padStart(4)} s  ${line}`)
  for (const peer of peers) await peer.prepare(join(folder, 'checkouts'))
  const certificates = await makeCertificates(folder)
  await using load = await startLoad()
  const results: CaseResult[] = []
  for (const scenario of scenarios) {
    results.push(...(await runScenario(scenario, { peers, effort, load, certificates, folder, progress })))
  }
  return results
}

function footer({ effort, commit, machine, seconds }: Report): string {
  const { node, cores, cpu, kernel, loadAverageBefore } = machine
  return [
    `Medians of ${effort.rounds} rounds (stalled readers ${effort.stalledRounds}, memory ${effort.memoryRounds}), least and most in brackets.`,
    'Ratios round by round. ↑ more is better, ↓ less is better. A difference within the brackets is none.',
    `${commit}, node ${node}, ${cores} × ${cpu}, Linux ${kernel}, load average before ${loadAverageBefore.toFixed(1)}, took ${seconds} s\n`,
  ].join('\n')
}

function save(file: string, json: string): void {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, json)
  console.error(`written to ${file}`)
}

/** The second of a name is told from the first. */
function label(name: string, before: readonly Peer[]): string {
  const count = before.filter((peer) => peer.name === name).length
  return count === 0 ? name : `${name} #${count + 1}`
}
