/**
 * What the demo prints: one line per step, with what it took, in columns; below them blocks of text.
 *
 *      31 ms  certificates     a CA, and certificates for a server, an agent and a user
 */

const TIME_COLUMNS = 10
const TITLE_COLUMNS = 17

export type Output = {
  readonly line: (text?: string) => void
  /** @param report one line or more; the first stands beside the title */
  readonly step: (title: string, tookMs: number, report: readonly string[]) => void
  /** The step that was not done, and why. */
  readonly failure: (title: string, why: readonly string[]) => void
  /** A title and, indented below it, what it announces. */
  readonly block: (title: string, lines: readonly string[]) => void
}

export function createOutput(write: (text: string) => void): Output {
  const line = (text = ''): void => write(`${text}\n`)
  const row = (first: string, title: string, [beside = '', ...below]: readonly string[]): void => {
    line(`${first.padStart(TIME_COLUMNS)}  ${title.padEnd(TITLE_COLUMNS)}${beside}`.trimEnd())
    for (const text of below) line(' '.repeat(TIME_COLUMNS + 2 + TITLE_COLUMNS) + text)
  }
  return {
    line,
    step: (title, tookMs, report) => row(`${Math.round(tookMs)} ms`, title, report),
    failure: (title, why) => row('failed', title, why),
    block: (title, lines) => {
      line()
      line(title)
      for (const text of lines) line(`  ${text}`)
    },
  }
}

/** An object as aligned names and values; what it holds in turn is named `outer.inner`. Nothing is left out. */
export function aligned(record: Readonly<Record<string, unknown>>): string[] {
  const pairs = flatten(record, '')
  const columns = Math.max(0, ...pairs.map(([name]) => name.length)) + 2
  return pairs.map(([name, value]) => `${name.padEnd(columns)}${value}`.trimEnd())
}

function flatten(record: Readonly<Record<string, unknown>>, prefix: string): [string, string][] {
  return Object.entries(record).flatMap(([name, value]): [string, string][] => {
    if (Array.isArray(value)) return [[prefix + name, value.join(', ')]]
    if (typeof value === 'object' && value !== null) {
      return flatten(value as Record<string, unknown>, `${prefix}${name}.`)
    }
    return [[prefix + name, typeof value === 'number' ? shortNumber(value) : String(value)]]
  })
}

function shortNumber(value: number): string {
  return Number.isInteger(value) ? String(value) : value.toFixed(3)
}
