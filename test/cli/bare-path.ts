/** A path for commands on which the launchers find what they need of a system, and no Node. */
import { mkdirSync, realpathSync, symlinkSync } from 'node:fs'
import { delimiter, join } from 'node:path'

/** @returns the new folder, in `folder`, that is the whole path */
export function barePath(folder: string): string {
  const path = join(folder, 'path')
  mkdirSync(path)
  for (const tool of ['dirname', 'readlink']) symlinkSync(find(tool), join(path, tool))
  return path
}

function find(tool: string): string {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    try {
      return realpathSync(join(folder, tool))
    } catch {} // not in this one
  }
  throw new Error(`${tool} is not on the path: the launchers need it`)
}
