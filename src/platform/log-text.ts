/**
 * A log record as one line for people: time, level, message, then key=value. Pure.
 *
 *   2026-08-01T10:00:00.000Z info  proxy-agent: connected server=s-1 waited_ms=250
 *
 * Whatever a peer put into a field stays on its line: texts with anything but plain characters are quoted as in JSON.
 */
import { escaped } from './plain-text.ts'

/**
 * @param json a record of pino's, with its time and level as text
 * @param hasHeader whether time, level and program come first
 */
export function logLine(json: string, hasHeader: boolean): string {
  const { time, level, program, msg, ...fields } = JSON.parse(json) as Record<string, unknown>
  const pairs = Object.entries(fields).flatMap(([key, value]) => pairsOf(key, value))
  const header = hasHeader ? `${time} ${String(level).padEnd(5)} ${program}: ` : ''
  return `${[`${header}${escaped(String(msg ?? ''))}`, ...pairs].join(' ')}\n`
}

function pairsOf(key: string, value: unknown): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [`${escaped(key)}=${shown(value)}`]
  if (key === 'err') return errorPairs(value)
  return Object.entries(value).flatMap(([inner, field]) => pairsOf(`${key}.${inner}`, field))
}

/** The stack is for the JSON form: it would be the whole line. The message has those of the causes behind it. */
function errorPairs(error: { readonly message?: unknown; readonly code?: unknown }): string[] {
  const message = `err=${shown(error.message)}`
  return error.code === undefined ? [message] : [message, `code=${shown(error.code)}`]
}

function shown(value: unknown): string {
  if (typeof value !== 'string') return escaped(JSON.stringify(value))
  return /^[\w.:/@+,%-]+$/.test(value) ? value : escaped(JSON.stringify(value))
}
