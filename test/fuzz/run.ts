/** `npm run fuzz`: targets for as long as is asked, guided by what their inputs reach; what is found goes to the corpus. */
import { execFileSync } from 'node:child_process'
import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { newBlocks } from './blocks.ts'
import { type Finding, type Outcome, type RoundOptions, runRounds } from './rounds.ts'
import { type RunOptions, readRunOptions } from './run-options.ts'
import { CORPUS, corpusOf, type Target } from './target.ts'

const RUNS = join(import.meta.dirname, 'RUNS.md')
const PROGRESS_MS = 60_000
/** Of the time of a run, in which its corpus grows. */
const GUIDED_SHARE = 0.1

const read = readRunOptions(process.argv.slice(2))
if (read.kind === 'help') console.log(read.text)
else if (read.kind === 'wrong') {
  for (const problem of read.problems) console.error(`fuzz: ${problem}`)
  process.exitCode = 2
} else await runAll(read.options)

async function runAll({ targets, ...options }: RunOptions): Promise<void> {
  const stop = new AbortController()
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => stop.abort())
  for (const target of targets) {
    if (stop.signal.aborted) break
    const found = await run(target, { ...options, targets }, stop.signal)
    if (found > 0) process.exitCode = 1
  }
}

/** @returns how many findings */
async function run(target: Target, options: RunOptions, stop: AbortSignal): Promise<number> {
  const { minutes, fromSeed, rounds, isGuided, isSaved } = options
  const before = process.threadCpuUsage()
  const cpuSeconds = (): number => {
    const { user, system } = process.threadCpuUsage(before)
    return (user + system) / 1_000_000
  }
  const progress = reporter(target, cpuSeconds)
  const corpus = corpusOf(target).map(({ bytes }) => bytes)
  const found = (finding: Finding): void => {
    progress.findings++
    console.error(`${target.name}: seed ${finding.seed}: ${finding.why}\n  kept as ${keep(target, finding)}`)
  }
  const until = (share: number) => () => stop.aborted || cpuSeconds() > minutes * 60 * share
  const common = { rounds, found, progress: progress.tell }
  const first = isGuided
    ? await guided(target, { ...common, corpus, from: fromSeed, isOver: until(GUIDED_SHARE) })
    : undefined
  const second = await runRounds(target, {
    ...common,
    corpus: first?.corpus ?? corpus,
    from: first?.next ?? fromSeed,
    isOver: until(1),
  })
  const kept = second.corpus.length - corpus.length
  const row = recordOf(target.name, fromSeed, second.next, cpuSeconds(), kept, progress.findings)
  console.log(`${target.name}: ${JSON.stringify(second.kinds)}\n${row}`)
  if (isSaved) appendFileSync(RUNS, `${row}\n`)
  return progress.findings
}

/** V8 does not optimise what it counts, so this is slow, and its share small: what it keeps is what the rest begins with. */
async function guided(target: Target, options: RoundOptions): Promise<Outcome> {
  using blocks = newBlocks(target.covers)
  return await runRounds(target, { ...options, blocks })
}

/** A line each minute. */
function reporter({ name }: Target, cpuSeconds: () => number) {
  let next = performance.now() + PROGRESS_MS
  const reporter = {
    findings: 0,
    tell(rounds: number, corpus: number): void {
      if (performance.now() < next) return
      next += PROGRESS_MS
      const spent = `${rounds} rounds, ${cpuSeconds().toFixed(0)} s of the processor`
      console.log(`${name}: ${spent}, a corpus of ${corpus}, ${reporter.findings} findings`)
    },
  }
  return reporter
}

/** As the corpus is read: the next run begins with it. */
function keep({ name, ending }: Target, { seed, input }: Finding): string {
  const file = join(CORPUS, name, `finding-${seed}.${ending}`)
  writeFileSync(file, ending === 'hex' ? `${input.toString('hex')}\n` : input)
  return file
}

function recordOf(
  name: string,
  from: number,
  next: number,
  cpuSeconds: number,
  kept: number,
  findings: number,
): string {
  const day = new Date().toISOString().slice(0, 10)
  const commit = execFileSync('git', ['rev-parse', '--short', 'HEAD'], { cwd: import.meta.dirname, encoding: 'utf8' })
  const cells = [day, commit.trim(), name, `${from}–${next - 1}`, next - from, Math.round(cpuSeconds), kept, findings]
  return `| ${cells.join(' | ')} |`
}
