/** The options about logging, which every program has. */
import { oneOf } from './option-types.ts'
import type { Values } from './options.ts'

const group = 'Logging'

export const logOptions = {
  logFormat: oneOf(['text', 'json'], { group, default: 'text', help: 'Form of the log on standard error.' }),
  logLevel: oneOf(['error', 'warn', 'info', 'debug'], { group, default: 'info', help: 'Least severe line logged.' }),
}
export type LogOptions = Values<typeof logOptions>
