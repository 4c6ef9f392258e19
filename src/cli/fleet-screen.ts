/** What `--watch` shows on a terminal: the table as it is now, below it the last changes, drawn over what was there. Pure. */

export type Size = { readonly columns: number; readonly rows: number }

export type Shown = {
  readonly table: readonly string[]
  /** Oldest first. */
  readonly changes: readonly string[]
  /** Why the table is an old one, if it is. */
  readonly notice: string | undefined
}

export const CLEAR = '\x1b[2J'
const HOME = '\x1b[H'
const END_OF_LINE = '\x1b[K\n'
const END_OF_SCREEN = '\x1b[J'

/** As many changes as this may stand below the table, if that leaves room for it. */
const MAX_CHANGES = 8

/** Text that fills no more than the screen: what scrolled away could not be drawn over. */
export function screenOf({ table, changes, notice }: Shown, { columns, rows }: Size): string {
  const room = Math.max(2, rows - 1)
  const below = notice === undefined ? [] : ['', notice]
  const [head = '', ...clusters] = table
  const forClusters = room - 1 - below.length
  const last = changes.slice(-Math.max(0, Math.min(MAX_CHANGES, forClusters - clusters.length - 1)))
  const tail = last.length > 0 && clusters.length + 1 < forClusters ? ['', ...last, ...below] : below
  const left = clusters.length - forClusters
  const fitting = left > 0 ? [...clusters.slice(0, forClusters - 1), `… and ${left + 1} more`] : clusters
  const lines = [head, ...fitting, ...tail].slice(0, room)
  return `${HOME}${lines.map((line) => line.slice(0, columns) + END_OF_LINE).join('')}${END_OF_SCREEN}`
}
