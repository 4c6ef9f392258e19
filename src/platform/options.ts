/**
 * Options as a table: the flag, its help, its check and the value's type come from one entry. Command lines are read in the
 * forms of Go's pflag: `--flag=value`, `--flag value`, `--boolean`, `--boolean=false`, repeated or comma-separated lists;
 * what is not a flag is accepted and ignored. Pure: environment and arguments come in, values or every mistake go out.
 */

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
  /** Variable that gives the default when it is set and not empty. */
  readonly environment?: string | undefined
  /** The value is never shown: not in problems, not by `shownOptions`. */
  readonly secret?: boolean | undefined
  readonly parse: (text: string) => Parsed<T>
  /** boolean: the flag may stand alone. list: each time it is given adds to it. */
  readonly shape: 'single' | 'boolean' | 'list'
}
export type Made = { readonly shown: string; readonly make: () => string }
/** A mistake is told by what was expected, or by a sentence of its own. */
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
  | { readonly ok: false; readonly problems: readonly string[] }
  | { readonly ok: 'asked'; readonly for: 'help' | 'version' }

/** The flag of an entry: `serverPort` is `--server-port`, `dialTimeoutMs` is `--dial-timeout` (a duration has its own unit). */
export function flagOf(key: string, option: Option<unknown>): string {
  if (option.flag !== undefined) return option.flag
  return key.replace(/Ms$/, '').replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
}

/** Problems name the flag, what was expected and what was given; there are as many as there are mistakes. */
export function readOptions<Table extends OptionTable>(
  table: Table,
  argv: readonly string[],
  rules: readonly Rule<Values<Table>>[],
  environment: Environment = {},
): ReadOptions<Values<Table>> {
  const { given, asked, problems } = readArguments(table, argv)
  if (asked !== undefined) return { ok: 'asked', for: asked }

  const values: Record<string, unknown> = {}
  for (const [key, option] of Object.entries(table)) {
    const flag = flagOf(key, option)
    const { text, from } = textOf(option, given.get(flag), environment)
    const parsed = text === undefined ? undefined : option.parse(text)
    if (parsed !== undefined && 'value' in parsed) {
      values[key] = parsed.value
      continue
    }
    const where = from === 'environment' ? ` from ${option.environment}` : ''
    const shown = option.secret ? 'a value that is not shown' : JSON.stringify(text)
    if (parsed === undefined) problems.push(`--${flag}: must be set`)
    else if ('refused' in parsed) problems.push(parsed.refused)
    else problems.push(`--${flag}: expected ${parsed.expected}, got ${shown}${where}`)
    Object.defineProperty(values, key, { get: () => panic(unread) })
  }
  // What the getters above guard: from here on each key either has its value or stops the rule that asks for it.
  const checked = values as Values<Table>
  problems.push(...rules.map((rule) => outcome(rule, checked)).filter((problem) => problem !== undefined))
  return problems.length > 0 ? { ok: false, problems } : { ok: true, values: Object.freeze(checked) }
}

/** Values by flag, for the log line of a start. Secrets are left out. */
export function shownOptions<Table extends OptionTable>(table: Table, values: Values<Table>): Record<string, unknown> {
  const entries = Object.entries(table).filter(([, option]) => option.secret !== true)
  return Object.fromEntries(entries.map(([key, option]) => [flagOf(key, option), values[key]]))
}

type Arguments = {
  readonly given: Map<string, string[]>
  readonly asked: 'help' | 'version' | undefined
  readonly problems: string[]
}

function readArguments(table: OptionTable, argv: readonly string[]): Arguments {
  const options = new Map(
    Object.entries(table).flatMap(([key, option]) => {
      const known = { name: flagOf(key, option), option }
      return [known.name, option.formerly ?? known.name].map((flag) => [flag, known] as const)
    }),
  )
  const given = new Map<string, string[]>()
  const problems: string[] = []
  const rest = [...argv]
  for (let word = rest.shift(); word !== undefined && word !== '--'; word = rest.shift()) {
    if (word === '--help' || word === '-h') return { given, asked: 'help', problems }
    if (word === '--version') return { given, asked: 'version', problems }
    if (!word.startsWith('--')) {
      if (/^-./.test(word)) problems.push(`unknown flag: ${word}`)
      continue
    }
    const equals = word.indexOf('=')
    const flag = word.slice(2, equals === -1 ? undefined : equals)
    const known = options.get(flag)
    if (known === undefined) {
      problems.push(`unknown flag: --${flag}`)
      continue
    }
    const { name, option } = known
    const value = equals !== -1 ? word.slice(equals + 1) : option.shape === 'boolean' ? 'true' : rest.shift()
    if (value === undefined) problems.push(`--${flag}: needs a value`)
    else given.set(name, [...(given.get(name) ?? []), value])
  }
  return { given, asked: undefined, problems }
}

function textOf(
  option: Option<unknown>,
  given: readonly string[] | undefined,
  environment: Environment,
): { readonly text: string | undefined; readonly from: 'flag' | 'environment' | 'default' } {
  if (given !== undefined) return { text: option.shape === 'list' ? given.join(',') : given.at(-1), from: 'flag' }
  const fromEnvironment = option.environment === undefined ? undefined : environment[option.environment]
  if (fromEnvironment) return { text: fromEnvironment, from: 'environment' }
  const fallback = option.default
  return { text: typeof fallback === 'object' ? fallback.make() : fallback, from: 'default' }
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
