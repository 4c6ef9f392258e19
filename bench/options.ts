/** The flags of the benchmark. All mistakes are reported at once. */
import { parseArgs } from 'node:util'
import { culvert } from './peers/culvert.ts'
import { floor } from './peers/floor.ts'
import { konnectivity } from './peers/konnectivity.ts'
import type { Peer } from './peers/peer.ts'
import { scenarios } from './scenarios/index.ts'
import { type Effort, fullEffort, quickEffort, type Scenario } from './scenarios/scenario.ts'

export type BenchOptions = {
  readonly effort: Effort
  readonly peers: readonly Peer[]
  /** The peer that the others are set against. */
  readonly reference: number
  readonly scenarios: readonly Scenario[]
  readonly output: 'table' | 'json'
  /** A file for the JSON, or `save` for one under bench/results. */
  readonly saveTo: string | undefined
  /** The names given with --only, or `all`. */
  readonly question: string
}
export type ReadOptions =
  | { readonly kind: 'run'; readonly options: BenchOptions }
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'wrong'; readonly problems: readonly string[] }

const knownPeers = [culvert, konnectivity, floor]
const MOST_ROUNDS = 1_000
export const SAVE_UNDER_RESULTS = 'save'

export function readOptions(args: readonly string[]): ReadOptions {
  const problems: string[] = []
  const given = parse(args, problems)
  if (given.help) return { kind: 'help', text: help }
  const rounds = given.rounds === undefined ? undefined : Number(given.rounds)
  if (rounds !== undefined && !(Number.isInteger(rounds) && rounds >= 1 && rounds <= MOST_ROUNDS)) {
    problems.push(`--rounds: expected a number from 1 to ${MOST_ROUNDS}, got "${given.rounds}"`)
  }
  const output = given.output ?? 'table'
  if (output !== 'table' && output !== 'json') problems.push(`--output: expected table or json, got "${output}"`)
  const named = <T extends { readonly name: string }>(flag: string, known: readonly T[], standard: string): T[] =>
    String(given[flag] ?? standard)
      .split(',')
      .flatMap((name) => {
        const found = known.find((one) => one.name === name)
        if (found === undefined) problems.push(`--${flag}: expected some of ${names(known)}, got "${name}"`)
        return found ?? []
      })
  const peers = named('peers', knownPeers, 'ours,stock')
  const asked = named('only', scenarios, names(scenarios))
  if (problems.length > 0) return { kind: 'wrong', problems }
  const effort = given.quick ? quickEffort : fullEffort
  const stock = peers.findLastIndex(({ name }) => name === konnectivity.name)
  return {
    kind: 'run',
    options: {
      effort: rounds === undefined ? effort : { ...effort, rounds, stalledRounds: rounds, memoryRounds: rounds },
      peers,
      reference: stock < 0 ? peers.length - 1 : stock,
      scenarios: asked,
      output: output as 'table' | 'json',
      saveTo: (given.out as string | undefined) ?? (given.save ? SAVE_UNDER_RESULTS : undefined),
      question: String(given.only ?? 'all').replaceAll(',', '+'),
    },
  }
}

const flags = {
  quick: { type: 'boolean' },
  only: { type: 'string' },
  peers: { type: 'string' },
  rounds: { type: 'string' },
  output: { type: 'string', short: 'o' },
  save: { type: 'boolean' },
  out: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const

/** Not strict: that would stop at the first mistake. */
function parse(args: readonly string[], problems: string[]): { readonly [flag: string]: string | boolean | undefined } {
  const { values, tokens } = parseArgs({ args: [...args], options: flags, strict: false, tokens: true })
  for (const token of tokens) {
    if (token.kind === 'positional') problems.push(`expected flags only, got "${token.value}"`)
    if (token.kind !== 'option') continue
    const flag = Object.hasOwn(flags, token.name) ? flags[token.name as keyof typeof flags] : undefined
    if (flag === undefined) problems.push(`${token.rawName}: no such flag`)
    else if (flag.type === 'string' && !token.value) {
      problems.push(`${token.rawName}: expected a value`)
      delete values[token.name]
    } else if (flag.type === 'boolean' && token.value !== undefined) problems.push(`${token.rawName}: takes no value`)
  }
  return values as { readonly [flag: string]: string | boolean | undefined }
}

function names(known: readonly { readonly name: string }[]): string {
  return known.map(({ name }) => name).join(',')
}

const help = `npm run bench -- [flags]

Sets our server and agent beside others, in one run, rounds in turn. Answers with a table.

  --quick               all questions of a first look, in less than three minutes
  --only <name,…>       some questions: ${names(scenarios)}
  --peers <name,…>      default ours,stock; known are:
${knownPeers.map(({ name, what }) => `                          ${name.padEnd(6)} ${what}`).join('\n')}
                        the same one twice shows how much of a difference is noise
  --rounds <number>     default ${quickEffort.rounds} (quick), ${fullEffort.rounds} (full); fewer for stalled readers and memory
  -o, --output <kind>   table (default) or json, on standard output
  --save                write the JSON to bench/results/<date>-<question>.json
  --out <file>          write the JSON there
`
