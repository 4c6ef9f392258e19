/** A file that says which ports were bound, for whoever started a program with port 0: `{"agent":40001,"health":40002}`. */
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import { TunnelError } from './errors.ts'

/**
 * Appears whole or not at all; disposing removes it.
 *
 * @param ports by listener
 * @throws TunnelError `bad-option` when it cannot be written
 */
export function writePortsFile(path: string, ports: Readonly<Record<string, number>>): Disposable {
  const draft = `${path}.${process.pid}`
  try {
    writeFileSync(draft, `${JSON.stringify(ports)}\n`)
    renameSync(draft, path)
  } catch (cause) {
    rmSync(draft, { force: true })
    throw new TunnelError('bad-option', `--ports-file: could not write ${path}: ${(cause as Error).message}`, { cause })
  }
  return { [Symbol.dispose]: () => rmSync(path, { force: true }) }
}
