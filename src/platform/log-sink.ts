/** Where the lines of a log go: standard error, a file, or both, as klog's flags say. */
import { type DestinationStream, destination } from 'pino'
import type { KlogOptions } from './klog-options.ts'
import { type LogFileEvents, openLogFile } from './log-file.ts'
import { type Level, logFilePath, routeOf } from './log-routes.ts'

export type LogSink = { readonly write: (line: string, level: Level) => void }

/** Most that is kept of a log that cannot be written for a while; what comes on top is dropped. */
const MAX_HELD_BYTES = 1_048_576
const MEBIBYTE = 1_048_576

/** Each line is written before the call returns. One that the file does not take goes to standard error. */
export function logSink(
  program: string,
  options: KlogOptions,
  events: LogFileEvents,
  terminal = standardError(),
): LogSink {
  const path = logFilePath(program, options)
  const file = path === undefined ? undefined : openLogFile(path, options.logFileMaxSize * MEBIBYTE, events, monotonic)
  return {
    write(line, level) {
      const route = routeOf(level, file !== undefined, options)
      const isKept = file?.write(line) ?? true
      if (route.standardError || !isKept) terminal.write(line)
    },
  }
}

/** A full disk or a reader of the log that goes away must not take the program with it. */
function standardError(): DestinationStream {
  const stream = destination({ dest: 2, sync: true, maxLength: MAX_HELD_BYTES })
  stream.on('error', () => undefined)
  return stream
}

function monotonic(): number {
  return performance.now()
}
