/**
 * Options as a table: the flag, its help, its check and the value's type come from one entry. Pure: environment and arguments
 * (option-arguments.ts says in which forms) come in, values or every mistake go out.
 */
import { readArguments, shownValue } from './option-arguments.ts'

export type Option<T> = {
  /** What the value is, as help shows it: "duration", "port". */
  readonly takes: string
  /** As a user would type it, or made anew. None: the flag is required. */
  readonly default?: string | Made | undefined
  readonly help: string
  /** Heading in the help; none: the flags of konnectivity. */
  readonly group?: string | undefined
  /** Only where it is not derived from the key. */
  readonly flag?: string | undefined
  /** The name that the flag had before, without dashes; it is still taken. */
  readonly formerly?: string | undefined
  /** The flag's short form: `v` is `-v`. */
  readonly letter?: string | undefined
  /** Variable that gives the default when it is set and not empty. */
  readonly environment?: string | undefined
  /** The value is never shown: not in problems, not by `shownOptions`. */
  readonly secret?: boolean | undefined
  readonly parse: (text: string) => Parsed<T>
  /** boolean: the flag may stand alone. list: each time it is given adds to it. */
  readonly shape: 'single' | 'boolean' | 'list'
}
export type Made = { readonly shown: string; readonly make: () => string }
/** `refused` is for what can be read and is against a rule; it is a whole sentence. */
export type Parsed<T> = { readonly value: T } | { readonly expected: string } | { readonly refused: string }
export type OptionTable = Readonly<Record<string, Option<unknown>>>
export type Values<Table extends OptionTable> = {
  readonly [Key in keyof Table]: Table[Key] extends Option<infer T> ? T : never
}
/** A check over several values. A rule that looks at a value which could not be read is left out. */
export type Rule<V> = (values: V) => string | undefined
export type Environment = Readonly<Record<string, string | undefined>>
export type ReadOptions<V> =
  | { readonly ok: true; readonly values: V }
  | ({ readonly ok: false } & Problems)
  | { readonly ok: 'asked'; readonly for: 'help' | 'version' }

export type Problems = {
  /** Flags that are not there, and values that are not of their type. */
  readonly misread: readonly string[]
  /** Rules that are broken. */
  readonly problems: readonly string[]
}

/** The flag of an entry: `serverPort` is `--server-port`, `dialTimeoutMs` is `--dial-timeout` (a duration has its own unit). */
export function flagOf(key: string, option: Option<unknown>): string {
  if (option.flag !== undefined) return option.flag
  return key.replace(/Ms$/, '').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

/** There are as many problems as there are mistakes, in the order of the command line and then of the rules. */
export function readOptions<Table extends OptionTable>(
  table: Table,
  argv: readonly string[],
  rules: readonly Rule<Values<Table>>[],
  environment: Environment = {},
): ReadOptions<Values<Table>> {
  const known = Object.entries(table).map(([key, option]) => ({ ...option, flag: flagOf(key, option) }))
  const { given, asked, mistakes } = readArguments(known, argv)
  if (asked !== undefined) return { ok: 'asked', for: asked }

  const misread = [...mistakes]
  const problems: string[] = []
  const values: Record<string, unknown> = {}
  for (const [key, option] of Object.entries(table)) {
    const flag = flagOf(key, option)
    const { texts, from } = textsOf(option, given.get(flag), environment)
    const parsed = texts === undefined ? { refused: `--${flag}: must be set` } : parseAll(option, texts)
    if ('value' in parsed) {
      values[key] = parsed.value
      continue
    }
    if ('refused' in parsed) problems.push(parsed.refused)
    else if (from === 'environment') {
      misread.push(`${option.environment}: expected ${parsed.expected}, got ${shownValue(option, texts?.[0])}`)
    }
    Object.defineProperty(values, key, { get: () => panic(unread) })
  }
  // What the getters above guard: from here on each key either has its value or stops the rule that asks for it.
  const checked = values as Values<Table>
  problems.push(...rules.map((rule) => outcome(rule, checked)).filter((problem) => problem !== undefined))
  const isGood = misread.length === 0 && problems.length === 0
  return isGood ? { ok: true, values: Object.freeze(checked) } : { ok: false, misread, problems }
}

/** Values by flag, for the log line of a start. Secrets are left out. */
export function shownOptions<Table extends OptionTable>(table: Table, values: Values<Table>): Record<string, unknown> {
  const entries = Object.entries(table).filter(([, option]) => option.secret !== true)
  return Object.fromEntries(entries.map(([key, option]) => [flagOf(key, option), values[key]]))
}

/** Several for a list only. */
function textsOf(
  option: Option<unknown>,
  given: readonly string[] | undefined,
  environment: Environment,
): { readonly texts: readonly string[] | undefined; readonly from: 'flag' | 'environment' | 'default' } {
  if (given !== undefined) return { texts: option.shape === 'list' ? given : given.slice(-1), from: 'flag' }
  const fromEnvironment = option.environment === undefined ? undefined : environment[option.environment]
  if (fromEnvironment) return { texts: [fromEnvironment], from: 'environment' }
  const fallback = typeof option.default === 'object' ? option.default.make() : option.default
  return { texts: fallback === undefined ? undefined : [fallback], from: 'default' }
}

function parseAll(option: Option<unknown>, texts: readonly string[]): Parsed<unknown> {
  const read = texts.map(option.parse)
  const wrong = read.find((parsed) => !('value' in parsed))
  if (wrong !== undefined) return wrong
  const values = read.flatMap((parsed) => ('value' in parsed ? [parsed.value] : []))
  return { value: option.shape === 'list' ? values.flat() : values[0] }
}

const unread = Symbol('an option that could not be read')

function panic(reason: symbol): never {
  throw reason
}

function outcome<V>(rule: Rule<V>, values: V): string | undefined {
  try {
    return rule(values)
  } catch (cause) {
    if (cause === unread) return undefined
    throw cause
  }
}
