/** Looks whether the agent's token was exchanged, as a kubelet does long before the end of each. */
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import { readTokenFile } from '../platform/secret-file.ts'
import { type Loaded, type Watch, watchLoaded } from '../platform/watched.ts'

/** Between two looks: milliseconds. */
const LOOK_MS = 5_000

/**
 * @param path empty: there is no token
 * @returns what is shown: empty as long as the file could never be read
 */
export function watchTokenFile(
  path: string,
  { clock, log, changed }: { readonly clock: Clock; readonly log: Log; readonly changed: () => void },
): Watch<string> | undefined {
  if (path === '') return undefined
  return watchLoaded(() => read(path), Object.is, {
    instead: '', // each attempt to connect says so by itself
    clock,
    intervalMs: LOOK_MS,
    changed() {
      log.info({}, 'token changed, servers that take it are shown the new one')
      changed()
    },
    broken: (error) =>
      log.warn({ reason: error.message }, 'token cannot be read, connections go on with the one before'),
    mended: () => log.info({}, 'token can be read again'),
  })
}

function read(path: string): Loaded<string> {
  try {
    return { ok: true, value: readTokenFile(path) }
  } catch (error) {
    return { ok: false, problems: [(error as Error).message] }
  }
}
