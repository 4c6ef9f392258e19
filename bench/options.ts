/** The flags of the benchmark. All mistakes are reported at once. */
import { parseArgs } from 'node:util'
import { culvert } from './peers/culvert.ts'
import { floor } from './peers/floor.ts'
import { throughHaproxy } from './peers/haproxy.ts'
import { konnectivity } from './peers/konnectivity.ts'
import { pair } from './peers/pair.ts'
import type { Peer } from './peers/peer.ts'
import { AS_IT_IS, revision } from './peers/revision.ts'
import { throughRouter } from './peers/router.ts'
import { withClusters } from './peers/tenants.ts'
import { withWorkers } from './peers/workers.ts'
import { scenarios } from './scenarios/index.ts'
import { type Effort, fullEffort, type Lineup, ownLineups, quickEffort, type Scenario } from './scenarios/scenario.ts'

export type BenchOptions = {
  readonly effort: Effort
  readonly teamOf: (scenario: Scenario) => Team
  readonly scenarios: readonly Scenario[]
  readonly output: 'table' | 'json'
  /** A report under bench/results. */
  readonly isSaved: boolean
  /** A file for the JSON. */
  readonly out: string | undefined
  /** The names given with --only, or `all`. */
  readonly question: string
}
export type Team = {
  readonly peers: readonly Peer[]
  /** The peer that the others are set against. */
  readonly reference: number
}
export type ReadOptions =
  | { readonly kind: 'run'; readonly options: BenchOptions }
  | { readonly kind: 'soak'; readonly minutes: number; readonly isSaved: boolean }
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'wrong'; readonly problems: readonly string[] }

const STOCK = 'stock'
const ours = pair('ours', 'proxy-server and proxy-agent of this checkout', culvert.server, culvert.agent)
const stock = pair(STOCK, 'konnectivity v0.36.0 server and agent', konnectivity.server, konnectivity.agent)
const oursWithStock = pair('ours+stock', 'our server, konnectivity’s agent', culvert.server, konnectivity.agent)
const stockWithOurs = pair('stock+ours', 'konnectivity’s server, our agent', konnectivity.server, culvert.agent)
const knownPeers = [ours, stock, oursWithStock, stockWithOurs, floor, throughRouter, throughHaproxy]
const teams: Readonly<Record<Lineup, Team>> = {
  pair: { peers: [ours, stock], reference: 1 },
  mixed: { peers: [ours, stock, oursWithStock, stockWithOurs], reference: 1 },
  bulk: { peers: [ours, stock, oursWithStock, stockWithOurs, floor], reference: 1 },
  workers: { peers: [withWorkers(1), withWorkers(2)], reference: 0 },
  tenants: { peers: [withClusters], reference: 0 },
  'front-door': { peers: [ours, throughRouter, throughHaproxy], reference: 0 },
}
const COMPARE = 'compare'
const SOAK = 'soak'
const SOAK_MINUTES = 30
const MOST_MINUTES = 1_440
const MOST_ROUNDS = 1_000

export function readOptions(args: readonly string[]): ReadOptions {
  const problems: string[] = []
  const { given, words } = parse(args, problems)
  if (given.help) return { kind: 'help', text: help }
  if (words[0] === SOAK) return readSoak(given, words, problems)
  if (given.minutes !== undefined) problems.push(`--minutes: only with ${SOAK}`)
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
  const compared = comparedIn(words, problems)
  if (compared && given.peers !== undefined) problems.push(`--peers: ${COMPARE} has its own, two commits`)
  const peers = compared ?? (given.peers === undefined ? undefined : named('peers', knownPeers, ''))
  const standard = scenarios.filter(
    ({ askedByName, lineup }) => !(given.quick && askedByName) && !(peers && ownLineups.includes(lineup)),
  )
  const asked = named('only', scenarios, names(standard))
  if (problems.length > 0) return { kind: 'wrong', problems }
  const effort = given.quick ? quickEffort : fullEffort
  return {
    kind: 'run',
    options: {
      effort: rounds === undefined ? effort : allRounds(effort, rounds),
      teamOf({ lineup = 'pair' }) {
        const own = ownLineups.includes(lineup)
        if (own || !peers) return given.quick && !own ? teams.pair : teams[lineup]
        const stock = peers.findLastIndex(({ name }) => name === STOCK)
        return { peers, reference: compared ? 0 : stock < 0 ? peers.length - 1 : stock }
      },
      scenarios: asked,
      output: output as 'table' | 'json',
      isSaved: given.save === true,
      out: given.out as string | undefined,
      question: (compared ? `${COMPARE}-` : '') + String(given.only ?? 'all').replaceAll(',', '+'),
    },
  }
}

function allRounds(effort: Effort, rounds: number): Effort {
  return { ...effort, rounds, stalledRounds: rounds, memoryRounds: rounds, wanRounds: rounds }
}

function readSoak(given: Given, words: readonly string[], problems: string[]): ReadOptions {
  const minutes = Number(given.minutes ?? SOAK_MINUTES)
  if (!(minutes > 0 && minutes <= MOST_MINUTES)) {
    problems.push(`--minutes: expected a number over 0, to ${MOST_MINUTES}, got "${given.minutes}"`)
  }
  for (const flag of Object.keys(given)) {
    if (!['minutes', 'save'].includes(flag) && flag in flags) problems.push(`--${flag}: not with ${SOAK}`)
  }
  if (words.length > 1) problems.push(`${SOAK}: expected flags only, got "${words[1]}"`)
  return problems.length > 0 ? { kind: 'wrong', problems } : { kind: 'soak', minutes, isSaved: given.save === true }
}

/** Our programs at two commits, if that is asked for. */
function comparedIn(words: readonly string[], problems: string[]): Peer[] | undefined {
  const [command, ...revisions] = words
  if (command === undefined) return undefined
  if (command !== COMPARE) problems.push(`expected ${COMPARE}, ${SOAK} or flags only, got "${command}"`)
  else if (revisions.length !== 2) problems.push(`${COMPARE}: expected two commits, got ${revisions.length}`)
  return revisions.map((name) => revision(name))
}

const flags = {
  quick: { type: 'boolean' },
  only: { type: 'string' },
  peers: { type: 'string' },
  rounds: { type: 'string' },
  minutes: { type: 'string' },
  output: { type: 'string', short: 'o' },
  save: { type: 'boolean' },
  out: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const

type Given = { readonly [flag: string]: string | boolean | undefined }

/** Not strict: that would stop at the first mistake. */
function parse(args: readonly string[], problems: string[]): { readonly given: Given; readonly words: string[] } {
  const { values, tokens, positionals } = parseArgs({ args: [...args], options: flags, strict: false, tokens: true })
  for (const token of tokens) {
    if (token.kind !== 'option') continue
    const flag = Object.hasOwn(flags, token.name) ? flags[token.name as keyof typeof flags] : undefined
    if (flag === undefined) problems.push(`${token.rawName}: no such flag`)
    else if (flag.type === 'string' && !token.value) {
      problems.push(`${token.rawName}: expected a value`)
      delete values[token.name]
    } else if (flag.type === 'boolean' && token.value !== undefined) problems.push(`${token.rawName}: takes no value`)
  }
  return { given: values as Given, words: positionals }
}

function names(known: readonly { readonly name: string }[]): string {
  return known.map(({ name }) => name).join(',')
}

const help = `npm run bench -- [flags]
npm run bench -- compare <commit> <commit> [flags]
npm run bench -- soak [--minutes <number>] [--save]

Sets our server and agent beside others, in one run, rounds in turn; with compare, those of two commits. Answers with a table.
With soak, only ours, under mixed traffic with reconnects: is memory flat, are tables empty at rest?
A commit is a branch, a tag or a hash; ${AS_IT_IS} is this checkout as it is. The second is set against the first.

  --quick               the questions of a first look, in less than three minutes
  --only <name,…>       some questions: ${names(scenarios)}
  --peers <name,…>      for all questions; default ours,stock, in a full run the others too where they tell something:
${knownPeers.map(({ name, what }) => `                          ${name.padEnd(12)} ${what}`).join('\n')}
                        the same one twice shows how much of a difference is noise
  --rounds <number>     default ${quickEffort.rounds} (quick), ${fullEffort.rounds} (full); fewer for stalled readers and memory
  --minutes <number>    of a soak, default ${SOAK_MINUTES}
  -o, --output <kind>   table (default) or json, on standard output
  --save                write a report with plots, and the JSON, to bench/results/<date>-<question>.md and .json
  --out <file>          write the JSON there
`
