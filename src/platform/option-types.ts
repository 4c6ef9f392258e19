/** The types an option can have (options.ts), each with the sentence that says what was expected. */
import { formatBytes, parseBytes } from './bytes.ts'
import { formatDuration, parseDuration } from './duration.ts'
import { type IntegerForm, parseBoolean, readCommaList, readGoInteger } from './go-values.ts'
import type { Made, Option, Parsed } from './options.ts'

type About = {
  readonly default?: string | Made
  readonly help: string
  readonly group?: string
  readonly flag?: string
  readonly formerly?: string
  readonly letter?: string
  readonly environment?: string
  readonly secret?: boolean
}
type Range = { readonly min?: number; readonly max?: number }

/** For flags that konnectivity has and that mean nothing here: command lines need not change. */
export const IDLE_GROUP = 'Accepted without effect'

/** The longest wait that Node's timers keep: a longer one would fire at once. */
const MAX_TIMER_MS = 2_147_483_647

export function text(about: About): Option<string> {
  return { ...about, takes: 'text', shape: 'single', parse: (given) => ({ value: given }) }
}

/** The path of a file that must exist when it is named; `fileRule` (option-files.ts) makes the rule for it. */
export function file(about: About): Option<string> {
  return { ...text(about), takes: 'file' }
}

/** In the forms of Go: go-values.ts. */
export function integer({
  min = Number.NEGATIVE_INFINITY,
  max = Number.POSITIVE_INFINITY,
  form = 'int64',
  ...about
}: About & Range & { readonly form?: IntegerForm }): Option<number> {
  const range = bounds(min, max, Number.POSITIVE_INFINITY, String)
  const expected = `a whole number${range}`
  const parse = (given: string): Parsed<number> => {
    const read = readGoInteger(given, form)
    if (read.kind === 'out of range' && range === '') return { expected: `${expected} of ${read.bits} bits` }
    return within(min, max, read.kind === 'integer' ? read.value : undefined, expected)
  }
  return { ...about, takes: 'number', shape: 'single', parse }
}

/** A whole number, or a word that stands for one which is found out. */
export function integerOr<const Word extends string>(
  word: Word,
  { min, max, ...about }: About & { readonly min: number; readonly max: number },
): Option<Word | number> {
  const parse = (given: string): Parsed<Word | number> => {
    if (given === word) return { value: word }
    const read = readGoInteger(given, 'int64')
    const value = read.kind === 'integer' ? read.value : undefined
    return within(min, max, value, `${word} or a whole number from ${min} to ${max}`)
  }
  return { ...about, takes: `${word}|number`, shape: 'single', parse }
}

/** With a fraction, as in `2.5`. */
export function number(about: About): Option<number> {
  const parse = (given: string): Parsed<number> => {
    const value = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i.test(given) ? Number(given) : Number.NaN
    return Number.isFinite(value) ? { value } : { expected: 'a number such as 5 or 2.5' }
  }
  return { ...about, takes: 'number', shape: 'single', parse }
}

/**
 * Milliseconds; `min` and `max` too. What is longer than a timer waits, 24 days, is that long, unless `max` is less. The flag
 * of a key that ends in Ms goes without it.
 */
export function duration({ min = 0, max = Number.POSITIVE_INFINITY, ...about }: About & Range): Option<number> {
  const expected = `a duration such as 250ms, 10s or 5m${bounds(min, max, Number.POSITIVE_INFINITY, formatDuration)}`
  const parse = (given: string): Parsed<number> => {
    const read = within(min, max, parseDuration(given), expected)
    return 'value' in read ? { value: Math.min(read.value, MAX_TIMER_MS) } : read
  }
  return { ...about, takes: 'duration', shape: 'single', parse }
}

export function bytes({ min = 0, max = Number.MAX_SAFE_INTEGER, ...about }: About & Range): Option<number> {
  const expected = `a size such as 512, 16KiB or 4MiB${bounds(min, max, Number.MAX_SAFE_INTEGER, formatBytes)}`
  return { ...about, takes: 'size', shape: 'single', parse: (given) => within(min, max, parseBytes(given), expected) }
}

export function boolean(about: About): Option<boolean> {
  return { ...about, takes: 'boolean', shape: 'boolean', parse: parseBoolean }
}

/** @param refusal the sentence for what is none of them, where konnectivity has one */
export function oneOf<const Choice extends string>(
  choices: readonly Choice[],
  { refusal, ...about }: About & { readonly refusal?: (given: string) => string },
): Option<Choice> {
  const words = choices.filter((choice) => choice !== '') // empty stands for the default and is not worth a word
  const parse = (given: string): Parsed<Choice> => {
    const value = choices.find((choice) => choice === given)
    if (value !== undefined) return { value }
    return refusal === undefined ? { expected: `one of ${words.join(', ')}` } : { refused: refusal(given) }
  }
  return { ...about, takes: words.join('|'), shape: 'single', parse }
}

/** Items separated by commas or given one flag each, as they are: what has blanks around it here would not be taken by Go. */
export function list(about: About): Option<readonly string[]> {
  const parse = (given: string): Parsed<readonly string[]> => {
    const value = readCommaList(given)
    return value === undefined ? { expected: 'a comma-separated list, quotes around whole items only' } : { value }
  }
  return { ...about, takes: 'list', shape: 'list', parse }
}

/**
 * Words separated by commas, as they are; empty ones are skipped. Of several flags the last one counts.
 *
 * @param refusal the sentence for a text of commas only
 */
export function words({ refusal, ...about }: About & { readonly refusal: string }): Option<readonly string[]> {
  const parse = (given: string): Parsed<readonly string[]> => {
    const value = given.split(',').filter((word) => word !== '')
    return value.length === 0 && given !== '' ? { refused: refusal } : { value }
  }
  return { ...about, takes: 'list', shape: 'single', parse }
}

function within(min: number, max: number, value: number | undefined, expected: string): Parsed<number> {
  return value !== undefined && value >= min && value <= max ? { value } : { expected }
}

function bounds(min: number, max: number, unbounded: number, show: (value: number) => string): string {
  if (max < unbounded) return ` from ${show(min)} to ${show(max)}`
  return min > 0 ? `, at least ${show(min)}` : ''
}
