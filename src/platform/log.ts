/** The log of a program: a JSON record or a line of text for each event. Where it goes: log-sink.ts. */
import { getCallSites } from 'node:util'
import { pino, stdTimeFunctions } from 'pino'
import type { ModuleLevel } from './klog-options.ts'
import type { LogOptions } from './log-options.ts'
import { type Level, levelOf, levels, moduleVerbosity } from './log-routes.ts'
import { type LogSink, logSink } from './log-sink.ts'
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

/** @param sink where to, for tests; else as the options say */
export function createLog(program: string, options: LogOptions, sink?: LogSink): Log {
  const { logFormat, logLevel, vmodule, v, skipHeaders } = options
  const level = logLevel === '' ? levelOf(v) : logLevel
  const hasModules = vmodule.length > 0 && logLevel === ''
  const settings = {
    level: hasModules ? 'debug' : level,
    base: { program },
    timestamp: stdTimeFunctions.isoTime,
    formatters: { level: (level: string) => ({ level }) },
    redact: { paths: SECRETS.flatMap((name) => [name, `*.${name}`]), censor: 'hidden' },
  }
  const lines = sink ?? openLogSink(program, options, () => log)
  const log: Log = pino(settings, {
    write: (json: string) => lines.write(logFormat === 'json' ? json : logLine(json, !skipHeaders), levelIn(json)),
  })
  return hasModules ? withModules(log, level, vmodule) : log
}

/** @param log tells what becomes of the file */
export function openLogSink(program: string, options: LogOptions, log: () => Log): LogSink {
  return logSink(program, options, {
    failed: (reason) => log().warn({ reason }, 'the log file cannot be written: its lines go to standard error'),
    recovered: () => log().info({}, 'the log file is written again'),
  })
}

/** pino writes the level first. */
function levelIn(json: string): Level {
  return (/^\{"level":"(\w+)"/.exec(json)?.[1] ?? 'info') as Level
}

/**
 * `--vmodule`: single source files log more than the others do. Only where it is given: the caller has to be looked up.
 *
 * @param log lets everything through
 * @param level least severe that is logged by files which `modules` does not name
 */
function withModules(log: Log, level: Level, modules: readonly ModuleLevel[]): Log {
  const reaches = (own: Level, least: Level): boolean => levels.indexOf(own) >= levels.indexOf(least)
  const write = (own: Level): Write => {
    if (reaches(own, level)) return (fields, message) => log[own](fields, message)
    return (fields, message) => {
      const caller = getCallSites(2)[1]?.scriptName ?? '' // the first is this function
      const verbosity = moduleVerbosity(modules, caller)
      if (verbosity > 0 && reaches(own, levelOf(verbosity))) log[own](fields, message)
    }
  }
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (fields) => withModules(log.child(fields), level, modules),
  }
}
