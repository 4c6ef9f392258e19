/** The flags of `npm run fuzz`, all of whose mistakes are reported at once, and what the environment says of the short run in tests. */
import { parseArgs } from 'node:util'
import type { Target } from './target.ts'
import { targets } from './targets/index.ts'

export type RunOptions = {
  readonly targets: readonly Target[]
  /** Of the processor's time, for each target: a busy machine makes a run longer, not smaller. */
  readonly minutes: number
  readonly fromSeed: number
  readonly rounds: number | undefined
  readonly isGuided: boolean
  readonly isSaved: boolean
}
export type ReadRunOptions =
  | { readonly kind: 'run'; readonly options: RunOptions }
  | { readonly kind: 'help'; readonly text: string }
  | { readonly kind: 'wrong'; readonly problems: readonly string[] }

const MOST_MINUTES = 10_080
/** Those below are CI's. */
const FROM_SEED = 1_000_000_000
const names = targets.map(({ name }) => name).join(', ')

const help = `Usage: npm run fuzz -- [target …] [flags]

Targets: ${names}. Without one: all, one after the other.

  --minutes N     of the processor's time, for each target (60)
  --from-seed N   the first seed (${FROM_SEED}; those from 1 on are CI's)
  --rounds N      at most so many rounds
  --unguided      the corpus stays as it is, as in CI: a seed is the same input each time
  --save          append a line to test/fuzz/RUNS.md
  --help

An input that breaks a promise is written to test/fuzz/corpus/<target>, where each later run begins with it.

Examples:
  npm run fuzz -- policy tokens --minutes 60 --save
  npm run fuzz -- client-hello --unguided --from-seed 4711 --rounds 1    # what CI's seed 4711 was`

export function readRunOptions(args: readonly string[]): ReadRunOptions {
  const problems: string[] = []
  let parsed: ReturnType<typeof parse>
  try {
    parsed = parse(args)
  } catch (error) {
    return { kind: 'wrong', problems: [(error as Error).message] }
  }
  const { values, positionals } = parsed
  if (values.help) return { kind: 'help', text: help }
  const whole = (flag: string, text: string, most: number): number => {
    const number = Number(text)
    if (!(Number.isInteger(number) && number >= 1 && number <= most)) {
      problems.push(`--${flag}: expected a number from 1 to ${most}, got "${text}"`)
    }
    return number
  }
  const minutes = Number(values.minutes ?? 60)
  if (!(minutes > 0 && minutes <= MOST_MINUTES)) {
    problems.push(`--minutes: expected a number over 0, to ${MOST_MINUTES}, got "${values.minutes}"`)
  }
  const fromSeed = whole('from-seed', values['from-seed'] ?? String(FROM_SEED), 2_000_000_000)
  const rounds = values.rounds === undefined ? undefined : whole('rounds', values.rounds, 1_000_000_000)
  const asked = positionals.flatMap((name) => {
    const target = targets.find((each) => each.name === name)
    if (target === undefined) problems.push(`expected some of ${names}, got "${name}"`)
    return target ?? []
  })
  if (problems.length > 0) return { kind: 'wrong', problems }
  return {
    kind: 'run',
    options: {
      targets: asked.length > 0 ? asked : targets,
      minutes,
      fromSeed,
      rounds,
      isGuided: values.unguided !== true,
      isSaved: values.save === true,
    },
  }
}

export type Minute = {
  readonly seconds: number
  readonly from: number
  readonly rounds: number | undefined
  /** As in CI: no part of it was asked for. */
  readonly isWhole: boolean
}

const NAMES = { seconds: 'CULVERT_FUZZ_SECONDS', from: 'CULVERT_FUZZ_SEED', rounds: 'CULVERT_FUZZ_ROUNDS' } as const

/** @throws Error for what is no number: a run that never ends, or has no round, would find nothing and say so of all. */
export function readMinute(environment: Readonly<Record<string, string | undefined>>): Minute {
  const read = (what: keyof typeof NAMES): number | undefined => {
    const text = environment[NAMES[what]]
    if (text === undefined) return undefined
    if (!/^[1-9]\d{0,9}$/.test(text)) throw new Error(`${NAMES[what]}: expected a whole number over 0, got "${text}"`)
    return Number(text)
  }
  const [seconds, rounds, isCi] = [read('seconds'), read('rounds'), Boolean(environment.CI)]
  return {
    seconds: seconds ?? (isCi ? 60 : 3),
    from: read('from') ?? 1,
    rounds,
    isWhole: isCi && seconds === undefined && rounds === undefined,
  }
}

const parse = (args: readonly string[]) =>
  parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      minutes: { type: 'string' },
      'from-seed': { type: 'string' },
      rounds: { type: 'string' },
      unguided: { type: 'boolean' },
      save: { type: 'boolean' },
      help: { type: 'boolean' },
    },
  })
