/** Clusters of a running hub as people read them. Pure. */

export type SeenAgent = {
  readonly agentId: string
  readonly connections: number
  readonly draining: boolean
  readonly lastHeardAt: string
  readonly roundTripMs?: number
  readonly health?: { readonly agentVersion?: string }
}
export type SeenCluster = {
  readonly id: string
  readonly state?: string
  readonly since?: string
  readonly reason?: string
  readonly agents: readonly SeenAgent[]
}

const MISSING = '-'

/** @param wide with round trips, versions and reasons */
export function fleetTable(clusters: readonly SeenCluster[], nowUnixMs: number, wide: boolean): string[] {
  if (clusters.length === 0) return ['no cluster is connected']
  const head = [
    'CLUSTER',
    'STATE',
    'SINCE',
    'AGENTS',
    'CONNECTIONS',
    'HEARD',
    ...(wide ? ['RTT', 'VERSION', 'REASON'] : []),
  ]
  const rows = clusters.map((cluster) => {
    const { id, state = MISSING, since, agents, reason = MISSING } = cluster
    const open = agents.reduce((sum, { connections }) => sum + connections, 0)
    const heard = latest(agents.map(({ lastHeardAt }) => lastHeardAt))
    const plain = [id, state, age(since, nowUnixMs), String(agents.length), String(open), age(heard, nowUnixMs)]
    return (wide ? [...plain, roundTrip(agents), versions(agents), reason] : plain).map(printable)
  })
  return aligned([head, ...rows])
}

function aligned(rows: readonly (readonly string[])[]): string[] {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? []
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}

/** Agents choose some of the words: none of them is to steer a terminal. */
export const printable = (text: string): string => text.replace(/[^\x20-\x7e]/g, '?')

const latest = (times: readonly string[]): string | undefined => times.toSorted().at(-1)

/** In the largest unit that gives a whole number: 12s, 3m, 5h, 2d. */
function age(time: string | undefined, nowUnixMs: number): string {
  if (time === undefined) return MISSING
  const seconds = Math.max(0, Math.round((nowUnixMs - Date.parse(time)) / 1_000))
  const [unit, size] = UNITS.find(([, size]) => seconds >= size) ?? ['s', 1]
  return `${Math.floor(seconds / size)}${unit}`
}

const UNITS = [
  ['d', 86_400],
  ['h', 3_600],
  ['m', 60],
] as const

function roundTrip(agents: readonly SeenAgent[]): string {
  const known = agents.flatMap(({ roundTripMs }) => (roundTripMs === undefined ? [] : [roundTripMs]))
  return known.length === 0 ? MISSING : `${Math.max(...known).toFixed(1)}ms`
}

const versions = (agents: readonly SeenAgent[]): string =>
  [...new Set(agents.flatMap(({ health }) => (health?.agentVersion ? [health.agentVersion] : [])))].join(',') || MISSING
