/** A log that is kept, for tests of what is said and of what is not. */
import type { Log } from '../../src/platform/log.ts'

export type Logged = {
  readonly level: 'debug' | 'info' | 'warn' | 'error'
  readonly message: string
  /** Those of the log that this one is a child of too. */
  readonly fields: Readonly<Record<string, unknown>>
}

export type RecordedLog = Log & {
  readonly lines: Logged[]
  /** The messages of a level and of those above it. */
  readonly messages: (from: Logged['level']) => string[]
}

const LEVELS = ['debug', 'info', 'warn', 'error'] as const

export function recordedLog(): RecordedLog {
  const lines: Logged[] = []
  const logger = (inherited: Record<string, unknown>): Log => {
    const at =
      (level: Logged['level']) =>
      (fields: object, message: string): void =>
        void lines.push({ level, message, fields: { ...inherited, ...fields } })
    return {
      debug: at('debug'),
      info: at('info'),
      warn: at('warn'),
      error: at('error'),
      child: (fields) => logger({ ...inherited, ...fields }),
    }
  }
  return {
    ...logger({}),
    lines,
    messages: (from) =>
      lines.filter(({ level }) => LEVELS.indexOf(level) >= LEVELS.indexOf(from)).map(({ message }) => message),
  }
}
