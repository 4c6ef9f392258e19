/** What an audit log tells: a decision, or the end of what was decided. docs/audit.md explains each field. */

export type AuditEvent =
  /** An agent asked to be taken, and its stream ended. */
  | 'agent'
  | 'agent-end'
  /** A client asked to be taken. */
  | 'frontend'
  /** Somebody who may not asked for something at the admin port. */
  | 'admin'
  /** A client of the front door was joined to a backend, or turned away. */
  | 'client'
  /** A certificate was asked for, by a join token or to follow another one. */
  | 'certificate'
  /** A peer that was let in broke the protocol. */
  | 'violation'
  /** Somebody is connected no longer whose certificate is not good any more. */
  | 'cut-off'
  /** A server was reached by this agent, and its stream ended. */
  | 'server'
  | 'server-end'
  /** A worker has ended unasked: what was opened under ids that begin with its own has ended, too. */
  | 'server-gone'
  /** A connection was asked for, and one that was opened has ended. */
  | 'dial'
  | 'end'

export type AuditRecord = {
  readonly event: AuditEvent
  /** The same on both ends of a tunnel: id of the server and number of the dial. */
  readonly id?: string | undefined
  readonly cluster?: string | undefined
  readonly principal?: string | undefined
  /** Address of who asks. */
  readonly source?: string | undefined
  readonly agent?: string | undefined
  readonly server?: string | undefined
  /** host:port as it was asked for. */
  readonly destination?: string | undefined
  /** On the agent, the address that was dialled. */
  readonly address?: string | undefined
  readonly rule?: string | undefined
  readonly verdict?: 'allowed' | 'refused' | undefined
  readonly outcome?: 'connected' | 'failed' | 'finished' | 'reset' | undefined
  readonly by?: 'peer' | 'self' | 'tunnel' | undefined
  readonly reason?: string | undefined
  /** How many like it were not told since the last that was. */
  readonly repeated?: number | undefined
  readonly bytesToTarget?: number | undefined
  readonly bytesFromTarget?: number | undefined
  readonly durationMs?: number | undefined
}

/** Takes note of it; never waits and never throws. */
export type Audit = (record: AuditRecord) => void

/** Longest text of a record: characters. Peers write some of them. */
export const MAX_TEXT_CHARS = 512

/** The fields as they are written, in the order of the record: nothing that is unknown, nothing that is endless. */
export function fieldsOf(record: AuditRecord): Record<string, unknown> {
  const fields: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(record)) {
    if (value === undefined) continue
    fields[name] = typeof value === 'string' ? shown(value, ASKED.has(name)) : value
  }
  return fields
}

/** A destination is what a client wrote, and some write a password into it: that of `alice:password@host:443` is taken out. */
function shown(text: string, isAsked: boolean): string {
  const read = text.slice(0, MAX_READ_CHARS)
  const clean = isAsked && read.includes('@') ? read.replace(PASSWORD, '…@') : read
  return clean.length > MAX_TEXT_CHARS ? `${clean.slice(0, MAX_TEXT_CHARS)}…` : clean
}

/** Of a text, before it is cut: enough to find the end of a password. */
const MAX_READ_CHARS = 4 * MAX_TEXT_CHARS
/** Begins where a word begins, as it would else be tried from each letter of a long one. */
const PASSWORD = /(?<![^\s/@"'])[^\s/@:"']+:[^\s/@"']+@/g
/** Fields that have a destination, or quote one. */
const ASKED: ReadonlySet<string> = new Set(['destination', 'address', 'reason'])
