/** `npm run bench`: reads the flags, starts the load, runs the questions, prints the answers. */
import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { broken, judge } from './bars.ts'
import { makeCertificates } from './certificates.ts'
import { growths } from './growth.ts'
import { type CaseResult, runScenario } from './harness.ts'
import { startLoad } from './load/load.ts'
import { type BenchOptions, readOptions, type Team } from './options.ts'
import { pages } from './pages.ts'
import type { Peer } from './peers/peer.ts'
import { oneMachine } from './places.ts'
import { removeAtExit } from './processes.ts'
import { makeReport, type Report, readOrigin } from './report.ts'
import { leftOver, soak } from './soak.ts'
import { renderSummary, renderTable, type Section, toRows } from './table.ts'

const read = readOptions(process.argv.slice(2))
switch (read.kind) {
  case 'help':
    process.stdout.write(read.text)
    break
  case 'soak':
    process.exitCode = await exitCode(runSoak(read.minutes, read.isSaved))
    break
  case 'wrong':
    for (const problem of read.problems) console.error(`bench: ${problem}`)
    process.exitCode = 1
    break
  case 'run':
    process.exitCode = await exitCode(bench(read.options))
    break
  default:
    read satisfies never
}

function exitCode(sound: Promise<boolean>): Promise<0 | 1> {
  return sound.then(
    (isSound) => (isSound ? 0 : 1),
    (error: Error) => {
      console.error(`bench: ${error.message}`)
      return 1
    },
  )
}

/** Whether no byte was lost and nothing was left at rest. */
async function runSoak(minutes: number, isSaved: boolean): Promise<boolean> {
  const origin = readOrigin()
  const samples = await soak(minutes, (line) => console.log(line))
  if (isSaved) {
    const base = join(import.meta.dirname, 'results', `${origin.date.slice(0, 10)}-soak`)
    const { soakPages } = await import('./soak-report.ts')
    const report = { ...origin, samples }
    save(`${base}.json`, `${JSON.stringify(report, null, 2)}\n`)
    for (const [file, text] of soakPages(report, base)) save(file, text)
  }
  const left = leftOver(samples)
  for (const { minutes } of left)
    console.error(`bench: tables were not empty at rest after ${minutes.toFixed(1)} minutes`)
  return left.length === 0
}

/** Whether no round failed, and ours lost nothing. */
async function bench(options: BenchOptions): Promise<boolean> {
  const origin = readOrigin()
  const started = performance.now()
  const teams = options.scenarios.map(options.teamOf)
  const peers = [...new Set(teams.flatMap(({ peers }) => peers))]
  const asked = await measureAll(options, peers, () => (performance.now() - started) / 1000)
  const sections = toSections(asked)
  const rows = sections.flatMap((section) => section.rows)
  const verdicts = judge(rows)
  const results = asked.flatMap((one) => one.results)
  const report = makeReport(origin, options, peers, results, sections, verdicts, (performance.now() - started) / 1000)
  const json = `${JSON.stringify(report, null, 2)}\n`
  const tables = sections.map((section) => `\n${renderTable(section, verdicts)}`).join('')
  const table = `${tables}\n${renderSummary(verdicts)}\n${footer(report)}`
  process.stdout.write(options.output === 'json' ? json : table)
  if (options.isSaved) {
    const base = join(import.meta.dirname, 'results', `${report.date.slice(0, 10)}-${options.question}`)
    save(`${base}.json`, json)
    for (const [file, text] of await pages(report, sections, verdicts, base)) save(file, text)
  }
  if (options.out !== undefined) save(options.out, json)
  const failed = rows.some((row) => row.peers.some(({ failures }) => failures.length > 0))
  return !failed && broken(rows).length === 0
}

type Asked = { readonly team: Team; readonly results: readonly CaseResult[] }

async function measureAll(
  { effort, scenarios, teamOf }: BenchOptions,
  peers: readonly Peer[],
  seconds: () => number,
): Promise<Asked[]> {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-bench-'))
  removeAtExit(folder)
  const progress = (line: string): void => console.error(`${seconds().toFixed(0).padStart(4)} s  ${line}`)
  for (const peer of peers) await peer.prepare(join(folder, 'checkouts'))
  const certificates = await makeCertificates(folder)
  await using load = await startLoad()
  const asked: Asked[] = []
  for (const scenario of scenarios) {
    const team = teamOf(scenario)
    const bench = { peers: team.peers, effort, load, certificates, folder, places: oneMachine, progress }
    asked.push({ team, results: await runScenario(scenario, bench) })
  }
  return asked
}

/** Questions that were put to the same peers one after the other share a table. */
function toSections(asked: readonly Asked[]): Section[] {
  const sections: Section[] = []
  for (const { team, results } of asked) {
    const { reference } = team
    const peers = team.peers.map(({ name }, index) => label(name, team.peers.slice(0, index)))
    const [rows, growth] = [toRows(results, peers, reference), growths(results, peers)]
    const last = sections.at(-1)
    if (last?.peers.join() === peers.join()) {
      sections[sections.length - 1] = { ...last, rows: [...last.rows, ...rows], growth: [...last.growth, ...growth] }
    } else sections.push({ peers, reference, rows, growth })
  }
  return sections
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
