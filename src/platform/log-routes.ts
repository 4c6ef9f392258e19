/** What klog's flags mean for a line of ours: whether it is logged, and where it goes. Pure. */
import type { KlogOptions, ModuleLevel } from './klog-options.ts'

/** From the least severe. */
export const levels = ['debug', 'info', 'warn', 'error'] as const
export type Level = (typeof levels)[number]
export type Route = { readonly file: boolean; readonly standardError: boolean }

/** klog has no severity below INFO: what is only logged with a high -v is INFO as well. */
const SEVERITY: Readonly<Record<Level, number>> = { debug: 0, info: 0, warn: 1, error: 2 }
const DEBUG_V = 5

/** The least severe level that a verbosity of klog's lets through. */
export function levelOf(v: number): Level {
  if (v >= DEBUG_V) return 'debug'
  return v > 0 ? 'info' : 'warn'
}

/** The file to log to; undefined: standard error only. With --logtostderr=false and no file that is where the log stays. */
export function logFilePath(program: string, { logtostderr, logFile, logDir }: KlogOptions): string | undefined {
  if (logtostderr) return undefined
  if (logFile !== '') return logFile
  return logDir === '' ? undefined : `${logDir}/${program}.INFO`
}

/** @param hasFile whether there is a file to log to, see `logFilePath` */
export function routeOf(level: Level, hasFile: boolean, options: KlogOptions): Route {
  const severity = SEVERITY[level]
  const overThreshold = severity >= options.stderrthreshold
  if (!hasFile) return { file: false, standardError: options.legacyStderrThresholdBehavior || overThreshold }
  const standardError = options.alsologtostderr ? severity >= options.alsologtostderrthreshold : overThreshold
  return { file: true, standardError }
}

/**
 * The verbosity that --vmodule has for a source file: that of the first pattern that matches its name without folder and
 * extension; 0 when none does. A pattern may have `*`, `?` and `[a-z]`.
 */
export function moduleVerbosity(modules: readonly ModuleLevel[], path: string): number {
  const name = path.replace(/^.*[/\\]/, '').replace(/\.\w+$/, '')
  return modules.find(({ pattern }) => matches(pattern, name))?.v ?? 0
}

function matches(pattern: string, name: string): boolean {
  const wild = pattern
    .replace(/[.+^${}()|\\]/g, '\\$&')
    .replaceAll('*', '.*')
    .replaceAll('?', '.')
  try {
    return new RegExp(`^${wild}$`).test(name)
  } catch {
    return pattern === name // brackets that do not close
  }
}
