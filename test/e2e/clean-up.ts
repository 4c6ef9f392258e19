/** Nothing of a test here stays behind: network namespaces and what runs in them, and folders. */
import { removeAllOf, removeOrphans } from './network.ts'

/**
 * Removes what runs that were killed have left and, when this process ends, however it ends, what is its own.
 *
 * @returns removes what is its own now
 */
export function cleanUpInTheEnd(): () => void {
  removeOrphans()
  const remove = (): void => removeAllOf(process.pid)
  process.once('exit', remove)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))
  return remove
}
