/** What a running program says of itself over HTTP: metrics by series, and the other endpoints. */
import { DEADLINE_MS, eventually } from './deadline.ts'

export type Figures = {
  /** By series as the program writes it, such as `culvert_server_violations_total{kind="unexpected"}`. */
  readonly series: ReadonlyMap<string, number>
  /** One series; 0 while it has not happened yet. @throws Error when the program has no metric of that name */
  readonly of: (series: string) => number
}
/** A program of konnectivity shows many a metric only once it has counted: who misspells one of those is not told. */
const GO = 'go_info'

/** @param figuresPort where metrics are, when the health port does not have them all */
type Probed = { readonly healthPort: number; readonly adminPort: number; readonly figuresPort?: number }

export async function fetchFrom(port: number, path: string, init: RequestInit = {}): Promise<Response> {
  return fetch(`http://127.0.0.1:${port}${path}`, { signal: AbortSignal.timeout(10_000), ...init })
}

export async function readFigures({ healthPort, figuresPort = healthPort }: Probed): Promise<Figures> {
  return figuresIn(await (await fetchFrom(figuresPort, '/metrics')).text())
}

/** What a program has told of itself at /metrics. */
export function figuresIn(text: string): Figures {
  const lines = text.split('\n')
  const names = new Set(lines.flatMap(namesIn))
  const series = new Map(
    lines.flatMap((line): [string, number][] => {
      const space = line.lastIndexOf(' ')
      return line === '' || line.startsWith('#') ? [] : [[line.slice(0, space), Number(line.slice(space + 1))]]
    }),
  )
  return {
    series,
    of(wanted) {
      const name = wanted.replace(/\{.*/s, '')
      if (!names.has(name) && !names.has(GO)) throw new Error(`there is no metric ${name}: look at how it is spelt`)
      return series.get(wanted) ?? 0
    },
  }
}

/** The names that the samples of a metric may have, of the line which announces it, with or without samples. */
function namesIn(line: string): string[] {
  const [, name, type = ''] = /^# TYPE (\S+) (\S+)$/.exec(line) ?? []
  if (name === undefined) return []
  const sums = type === 'histogram' || type === 'summary' ? [`${name}_sum`, `${name}_count`] : []
  return [type === 'histogram' ? `${name}_bucket` : name, ...sums]
}

/** One series; 0 while it has not happened yet. @throws Error when the program has no metric of that name */
export const figure = async (program: Probed, series: string): Promise<number> =>
  (await readFigures(program)).of(series)

/** One series of what a program has told of itself; as of `figure`. */
export const figureIn = (text: string, series: string): number => figuresIn(text).of(series)

/** Waits until the series has that value. */
export const figureBecomes = (
  program: Probed,
  series: string,
  value: number,
  deadlineMs = DEADLINE_MS,
): Promise<number> =>
  eventually(
    `${series} is ${value}`,
    () => figure(program, series),
    (found) => found === value,
    deadlineMs,
  )

/** Waits until a counter that has begun to count has given the same figure for so long. */
export async function untilStill(what: string, read: () => Promise<number>, stillMs = 200): Promise<void> {
  let last = 0
  let sinceMs = performance.now()
  await eventually(
    `${what} have come to rest`,
    async () => {
      const now = await read()
      if (now === 0 || now !== last) sinceMs = performance.now()
      last = now
      return performance.now() - sinceMs
    },
    (ms) => ms >= stillMs,
  )
}

/** What `act` adds to the series, waited for: a program counts when it has noticed. */
export async function counts(program: Probed, series: string, by: number, act: () => Promise<unknown>): Promise<void> {
  const before = await figure(program, series)
  await act()
  await figureBecomes(program, series, before + by)
}

export const SERVER = 'konnectivity_network_proxy_server_'
export const AGENT = 'konnectivity_network_proxy_agent_'
