/** The options about logging, which every program has: klog's that mean something here, and ours. */
import { klogOptions } from './klog-options.ts'
import { oneOf } from './option-types.ts'
import type { Values } from './options.ts'

const group = 'Logging'

export const logOptions = {
  ...klogOptions,
  logFormat: oneOf(['text', 'json'], { group, default: 'text', help: 'Form of the log.' }),
  logLevel: oneOf(['', 'error', 'warn', 'info', 'debug'], {
    group,
    default: '',
    help: 'Least severe line logged. Empty: as -v says, which is info by default.',
  }),
}
export type LogOptions = Values<typeof logOptions>

/** What an operator should know about options that are accepted. */
export function logWarning({ logtostderr, logFile, logDir }: LogOptions): string | undefined {
  if (logtostderr || logFile !== '' || logDir !== '') return undefined
  return '--logtostderr=false without --log-file or --log-dir: the log stays on standard error'
}
