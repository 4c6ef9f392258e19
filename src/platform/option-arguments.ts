/**
 * A command line in the forms of Go's pflag: `--flag=value`, `--flag value`, `--boolean`, `--boolean=false`, `-v=2`, `-v 2`,
 * `-v2`; what is not a flag is accepted and ignored, as is everything after `--`. Mistakes are told in pflag's words. `--help` and
 * `--version` are booleans like all others, and count whatever else is wrong. Pure.
 */
import { parseBoolean } from './go-values.ts'

export type Arguments = {
  /** What was given, in order, by the flag's own name. */
  readonly given: ReadonlyMap<string, readonly string[]>
  readonly asked: 'help' | 'version' | undefined
  readonly mistakes: readonly string[]
}
/** What has to be known of an option (options.ts) to read a command line. */
export type Flag = {
  readonly flag: string
  readonly formerly?: string | undefined
  readonly letter?: string | undefined
  readonly secret?: boolean | undefined
  readonly shape: 'single' | 'boolean' | 'list'
  readonly parse: (text: string) => object
}

const asking: readonly Flag[] = [
  { flag: 'help', letter: 'h', shape: 'boolean', parse: parseBoolean },
  { flag: 'version', shape: 'boolean', parse: parseBoolean },
]

export function readArguments(options: readonly Flag[], argv: readonly string[]): Arguments {
  const known = [...options, ...asking]
  const byName = new Map(
    known.flatMap((entry) => [entry.flag, entry.formerly ?? entry.flag].map((name) => [name, entry] as const)),
  )
  const byLetter = new Map(known.map((entry) => [entry.letter, entry]))
  const given = new Map<string, string[]>()
  const mistakes: string[] = []
  const rest = [...argv]

  /** @param shown the flag, as the mistake names it */
  const take = (entry: Flag, value: string, shown: string): void => {
    const parsed = entry.parse(value)
    if ('expected' in parsed) {
      mistakes.push(`invalid argument ${shownValue(entry, value)} for "${shown}" flag: expected ${parsed.expected}`)
    }
    given.set(entry.flag, [...(given.get(entry.flag) ?? []), value])
  }

  const long = (word: string): void => {
    const equals = word.indexOf('=')
    const name = word.slice(2, equals === -1 ? undefined : equals)
    const entry = byName.get(name)
    if (/^[-=]/.test(word.slice(2))) return void mistakes.push(`bad flag syntax: ${word}`)
    if (entry === undefined) return void mistakes.push(`unknown flag: --${name}`)
    const value = equals !== -1 ? word.slice(equals + 1) : entry.shape === 'boolean' ? 'true' : rest.shift()
    if (value === undefined) return void mistakes.push(`flag needs an argument: --${name}`)
    take(entry, value, `${entry.letter === undefined ? '' : `-${entry.letter}, `}--${name}`)
  }

  /** @param word more letters may follow that of a boolean; an equals sign with nothing behind it is no sign but a value */
  const short = (word: string): void => {
    const [, letter = '', after = ''] = /^-(.)(.*)$/su.exec(word) ?? []
    const entry = byLetter.get(letter)
    if (entry === undefined) return void mistakes.push(`unknown shorthand flag: '${letter}' in ${word}`)
    const shown = `-${letter}, --${entry.flag}`
    if (/^=./su.test(after)) return take(entry, after.slice(1), shown)
    if (entry.shape === 'boolean') {
      take(entry, 'true', shown)
      if (after !== '') short(`-${after}`)
      return
    }
    const value = after === '' ? rest.shift() : after
    if (value === undefined) return void mistakes.push(`flag needs an argument: '${letter}' in ${word}`)
    take(entry, value, shown)
  }

  for (let word = rest.shift(); word !== undefined && word !== '--'; word = rest.shift()) {
    if (word.startsWith('--')) long(word)
    else if (/^-./s.test(word)) short(word)
  }
  const asked = (['help', 'version'] as const).find((flag) => isTrue(given.get(flag)?.at(-1) ?? 'false'))
  return { given, asked, mistakes }
}

function isTrue(value: string): boolean {
  const parsed = parseBoolean(value)
  return 'value' in parsed && parsed.value
}

export function shownValue({ secret }: Pick<Flag, 'secret'>, value: string | undefined): string {
  return secret === true ? 'that is not shown' : JSON.stringify(value)
}
