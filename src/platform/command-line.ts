/**
 * The command lines of `culvert`: a command is a table of flags, and a function from what was given to what is printed.
 * All mistakes of a line are found, those of the syntax here and those of sense by the command.
 */
import { parseArgs } from 'node:util'

export type Flag = {
  /** What the value is, as help shows it; none: the flag stands alone. */
  readonly takes?: string
  readonly help: string
  readonly short?: string
  readonly default?: string
  /** May be given more than once. */
  readonly repeats?: true
  /** What was expected, when the text is not that. */
  readonly problem?: (text: string) => string | undefined
}
export type Flags = Readonly<Record<string, Flag>>

export type Given = {
  /** The last value given, else the default. */
  readonly value: (flag: string) => string | undefined
  readonly all: (flag: string) => readonly string[]
  /** Also when what was given was refused, so that no second problem says it is missing. */
  readonly isSet: (flag: string) => boolean
  readonly words: readonly string[]
}

export type Outcome =
  | { readonly kind: 'done' | 'failed'; readonly lines: readonly string[]; readonly warnings?: readonly string[] }
  | { readonly kind: 'refused'; readonly problems: readonly string[] }

export type Command = {
  /** What follows the command's name: `<file>... [flags]`. */
  readonly usage: string
  readonly summary: string
  readonly about: readonly string[]
  readonly flags: Flags
  readonly examples: readonly string[]
  /** `problems`: those of the syntax; the command adds its own and, if there are any, does nothing. */
  readonly run: (given: Given, problems: readonly string[], nowUnixMs: number) => Promise<Outcome>
}

/** What help tells of a command. */
export type Help = Pick<Command, 'usage' | 'summary' | 'about' | 'flags' | 'examples'>

export type Line = { readonly given: Given; readonly problems: readonly string[]; readonly help: boolean }

export function readLine(flags: Flags, argv: readonly string[]): Line {
  const { tokens } = parseArgs({
    args: [...argv],
    strict: false,
    tokens: true,
    options: {
      help: { type: 'boolean', short: 'h' },
      ...Object.fromEntries(Object.entries(flags).map(([name, flag]) => [name, parserOption(flag)])),
    },
  })
  const values = new Map<string, string[]>()
  const words: string[] = []
  const problems: string[] = []
  let help = false
  for (const token of tokens) {
    if (token.kind === 'positional') words.push(token.value)
    if (token.kind !== 'option') continue
    const flag = Object.hasOwn(flags, token.name) ? flags[token.name] : undefined
    if (token.name === 'help') help = true
    else if (flag === undefined) problems.push(`${token.rawName}: unknown flag`)
    else {
      const problem = valueProblem(flag, token.value, token.inlineValue === true)
      const good = values.get(token.name) ?? []
      values.set(token.name, problem === undefined ? [...good, token.value ?? ''] : good)
      if (problem !== undefined) problems.push(`${token.rawName}: ${problem}`)
    }
  }
  const given: Given = {
    value: (name) => values.get(name)?.at(-1) ?? flags[name]?.default,
    all: (name) => values.get(name) ?? [],
    isSet: (name) => values.has(name),
    words,
  }
  return { given, problems, help }
}

export function commandHelp(program: string, command: Help): string {
  const rows = Object.entries({ ...command.flags, help: { help: 'Show this.', short: 'h' } satisfies Flag }).map(
    flagRow,
  )
  const width = Math.max(...rows.map(([left]) => left.length))
  return [
    command.summary,
    '',
    `Usage: ${program} ${command.usage}`,
    '',
    ...command.about,
    '',
    'Flags:',
    ...rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`),
    '',
    'Examples:',
    ...command.examples.map((example) => `  ${example}`),
  ].join('\n')
}

function parserOption(flag: Flag): { type: 'string' | 'boolean'; short?: string } {
  return {
    type: flag.takes === undefined ? 'boolean' : 'string',
    ...(flag.short === undefined ? {} : { short: flag.short }),
  }
}

/** A flag taken for the value of the one before it is the likelier mistake than a value that begins with a dash. */
function valueProblem(flag: Flag, value: string | undefined, inline: boolean): string | undefined {
  if (flag.takes === undefined) return value === undefined ? undefined : 'takes no value'
  if (value === undefined || value === '' || (!inline && value.startsWith('-'))) return `needs a value <${flag.takes}>`
  const expected = flag.problem?.(value)
  return expected === undefined ? undefined : `expected ${expected}, got ${JSON.stringify(value)}`
}

function flagRow([name, flag]: [string, Flag]): readonly [string, string] {
  const short = flag.short === undefined ? '    ' : `-${flag.short}, `
  const takes = flag.takes === undefined ? '' : ` <${flag.takes}>`
  const notes = [
    flag.repeats ? 'may be repeated' : undefined,
    flag.default === undefined ? undefined : `default ${flag.default}`,
  ].filter((note) => note !== undefined)
  return [`${short}--${name}${takes}`, notes.length === 0 ? flag.help : `${flag.help} (${notes.join('; ')})`]
}
