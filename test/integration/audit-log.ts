/** The audit log of a program that a test has started. */
import { existsSync, readFileSync } from 'node:fs'
import type { AuditRecord } from '../../src/audit/record.ts'
import { verdictOn } from '../audit/chains.ts'
import { eventually } from './deadline.ts'

export type AuditLine = Omit<AuditRecord, 'event'> & {
  readonly event: AuditRecord['event'] | 'started' | 'stopped' | 'gap'
  readonly seq: number
  readonly time: string
  readonly [other: string]: unknown
}

export function auditLines(...paths: readonly string[]): AuditLine[] {
  const text = paths.map((path) => (existsSync(path) ? readFileSync(path, 'utf8') : '')).join('')
  const whole = text.slice(0, text.lastIndexOf('\n') + 1) // the last line may be being written
  return whole.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as AuditLine]))
}

/** Waits for lines that have all of these fields. @returns all there are */
export const auditHas = (path: string, fields: Readonly<Record<string, unknown>>, count = 1): Promise<AuditLine[]> =>
  eventually(
    `${count} lines in ${path} with ${JSON.stringify(fields)}`,
    () => auditLines(path).filter(hasAll(fields)),
    (found) => found.length >= count,
  )

export const hasAll =
  (fields: Readonly<Record<string, unknown>>) =>
  (line: AuditLine): boolean =>
    Object.entries(fields).every(([name, value]) => isLike(line[name], value))

const isLike = (given: unknown, wanted: unknown): boolean =>
  wanted instanceof RegExp ? wanted.test(String(given)) : given === wanted

/** What is wrong with the chain over these files, the oldest first. */
export const chainProblems = (...paths: readonly string[]): string[] =>
  verdictOn(paths.map((path) => readFileSync(path))).problems.map(({ file, line, what }) => `${file}:${line}: ${what}`)
