/**
 * One attack after the other, each a test: the attacker sees a refusal, the audit log has a line of it, a metric has moved, and the
 * neighbour was served all the while.
 */
import t, { type Test } from 'tap'
import { type AuditLine, auditLines, hasAll } from '../integration/audit-log.ts'
import { eventually } from '../integration/deadline.ts'
import { figure } from '../integration/figures.ts'
import type { Neighbour } from './neighbour.ts'

/** Who is attacked. */
export type Ground = {
  /** Where its metrics are. */
  readonly healthPort: number
  readonly adminPort: number
  readonly figuresPort?: number
  readonly auditLog: string
  readonly neighbour: Neighbour
}

export type Attack = {
  readonly what: string
  /** @returns what the attacker saw */
  readonly act: (t: Test, index: number) => Promise<unknown>
  /** As in `t.match`, but texts are whole ones: isolation is broken by one byte more. */
  readonly saw: unknown
  /** A series that grows. */
  readonly metric: string
  /** Fields of a line that is new. `none`: at a port of which the audit log does not tell. */
  readonly audit: Readonly<Record<string, unknown>> | 'none'
}

export function withstand(ground: Ground, attacks: readonly Attack[]): void {
  for (const [index, { what, act, saw, metric, audit }] of attacks.entries()) {
    t.test(what, async (t) => {
      const before = await figure(ground, metric)
      const lines = auditLines(ground.auditLog).length
      const unharmed = ground.neighbour.watch()
      t.match(await act(t, index), whole(saw), 'what the attacker saw')
      const counted = await eventually(
        metric,
        () => figure(ground, metric),
        (count) => count > before,
      )
      t.ok(counted > before, metric)
      const fresh = (): AuditLine[] => auditLines(ground.auditLog).slice(lines)
      if (audit !== 'none') {
        const line = await eventually(`a new line with ${shown(audit)}`, () => fresh().find(hasAll(audit)), Boolean)
        t.ok(line, `audit: ${shown(audit)}`)
      }
      await t.resolves(unharmed(), 'the neighbour is unharmed')
    })
  }
}

function whole(pattern: unknown): unknown {
  if (typeof pattern === 'string') return new RegExp(`^${RegExp.escape(pattern)}$`)
  if (Array.isArray(pattern)) return pattern.map(whole)
  if (pattern === null || typeof pattern !== 'object' || Object.getPrototypeOf(pattern) !== Object.prototype)
    return pattern
  return Object.fromEntries(Object.entries(pattern).map(([name, value]) => [name, whole(value)]))
}

const shown = (audit: Readonly<Record<string, unknown>>): string =>
  Object.entries(audit)
    .map(([name, value]) => `${name} ${value}`)
    .join(', ')
