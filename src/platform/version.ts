/** The version of this checkout or package. */
import { readFileSync } from 'node:fs'

/** package.json is two folders up from here, in a checkout (src/platform) as in a package (dist/platform). */
export function readVersion(): string {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  return String(version)
}
