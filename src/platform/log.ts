/** The log of a program, on standard error: a JSON record or a line of text for each event. */
import { type DestinationStream, destination, pino, stdTimeFunctions } from 'pino'
import type { LogOptions } from './log-options.ts'
import { logLine } from './log-text.ts'

type Write = (fields: object, message: string) => void
/** What components see. The message is fixed; ids, figures with their unit and `err` are fields. */
export type Log = {
  readonly debug: Write
  readonly info: Write
  readonly warn: Write
  readonly error: Write
  /** The same log with `fields` in every event. */
  readonly child: (fields: Record<string, unknown>) => Log
}

/** Fields whose value is never written, at the top of an event or one below, should one ever be passed. */
const SECRETS = ['key', 'token', 'authorization', 'passphrase', 'pfx']

/** @param sink where to, for tests; else standard error, where each line is written before the call returns */
export function createLog(program: string, { logFormat, logLevel }: LogOptions, sink = standardError()): Log {
  const settings = {
    level: logLevel,
    base: { program },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (level: string) => ({ level }) },
    redact: { paths: SECRETS.flatMap((name) => [name, `*.${name}`]), censor: 'hidden' },
  }
  return pino(settings, logFormat === 'json' ? sink : { write: (json) => sink.write(logLine(json)) })
}

/** Most that is kept of a log that cannot be written for a while; what comes on top is dropped. */
const MAX_HELD_BYTES = 1_048_576

/** A full disk or a reader of the log that goes away must not take the program with it. */
function standardError(): DestinationStream {
  const stream = destination({ dest: 2, sync: true, maxLength: MAX_HELD_BYTES })
  stream.on('error', () => undefined)
  return stream
}
