/**
 * `culvert status --watch`: on a terminal the table, kept as it is now; elsewhere, and as json or yaml, each change as it comes. A
 * hub that goes away is asked again until it is back.
 */
import { type Clock, elapsed } from '../platform/clock.ts'
import type { ServerEvent } from './event-stream.ts'
import { CLEAR, type Size, screenOf } from './fleet-screen.ts'
import { printable } from './fleet-table.ts'
import { jsonOf, readAnswer, yamlOf } from './hub-answer.ts'
import type { Hub } from './hub-client.ts'

/** Before a hub that went away is asked again, and between two looks at the table: milliseconds. */
const AGAIN_MS = 2_000
/** From a change to the next look: milliseconds. Many at once are one look. */
const SOON_MS = 200
/** Changes that a screen can show. */
const MAX_CHANGES = 50
/** Reasons why a hub is away that are said, one after the other: some have a number of their own. */
const MAX_REASONS = 20

/** Why a cluster is lost that a hub does not list any more, such as one that was restarted. */
const GONE = 'the hub knows of no such cluster any more'

type Told = { readonly time: string; readonly type: string; readonly [field: string]: unknown }
type Snapshot = { readonly clusters: readonly { id: string; state: string; since: string; reason: string }[] }

type Following = {
  /** @param isNew or else how it stood when we came */
  readonly tell: (told: Told, isNew: boolean) => void
  /** The hub is away, or still is. */
  readonly away: (why: string) => void
  readonly back: () => void
}

/** Never ends but by what it throws, when the hub cannot be reached at first. @param id the only cluster to tell of */
async function follow(hub: Hub, id: string | undefined, clock: Clock, following: Following): Promise<never> {
  const states = new Map<string, string>() // by cluster, as told last
  let lastId: string | undefined // none: it was not reached yet
  let isAway = false

  function tell(told: Told, isNew: boolean): void {
    const { cluster, type } = told
    if (typeof cluster === 'string' && type !== 'refused') states.set(cluster, type)
    if (id === undefined || cluster === id) following.tell(told, isNew)
  }

  /** Nobody told of what happened between two servers, or of more changes than the hub keeps. */
  function compare({ clusters }: Snapshot, isNew: boolean): void {
    for (const { id: cluster, state, since, reason } of clusters) {
      if (states.get(cluster) !== state) tell({ time: since, type: state, cluster, reason }, isNew)
    }
    const there = new Set(clusters.map((cluster) => cluster.id))
    for (const [cluster, state] of states) {
      if (there.has(cluster)) continue
      const time = new Date(clock.unixMs()).toISOString()
      if (state !== 'lost') tell({ time, type: 'lost', cluster, reason: GONE }, isNew)
      states.delete(cluster)
    }
  }

  function heard({ id: eventId, type, data }: ServerEvent): void {
    if (isAway) following.back()
    isAway = false
    if (type === 'snapshot') compare(readAnswer(data) as Snapshot, lastId !== undefined)
    else tell(readAnswer(data) as Told, true)
    lastId = eventId ?? lastId
  }

  for (;;) {
    const failure = await hub.follow('/v1/events', lastId, heard).then(
      () => undefined,
      (error: Error) => error,
    )
    if (lastId === undefined && failure) throw failure
    isAway = true
    following.away(failure?.message ?? 'the hub ended the connection')
    await elapsed(clock, AGAIN_MS)
  }
}

export type Lines = {
  readonly format: 'text' | 'json' | 'yaml'
  readonly print: (text: string) => void
  readonly complain: (problem: string) => void
}

export function watchLines(hub: Hub, id: string | undefined, clock: Clock, lines: Lines): Promise<never> {
  const { format, print, complain } = lines
  const reasons = new Set<string>() // said since the hub is away
  return follow(hub, id, clock, {
    tell: (told) => print(FORMS[format](told)),
    away(why) {
      if (reasons.has(why) || reasons.size >= MAX_REASONS) return
      reasons.add(why)
      complain(`${why}; asking again`)
    },
    back: () => reasons.clear(),
  })
}

const FORMS: Readonly<Record<Lines['format'], (told: Told) => string>> = {
  text: changeLine,
  json: (told) => jsonOf(told),
  yaml: (told) => `---\n${yamlOf(told).trimEnd()}`,
}

export type Screen = { readonly write: (text: string) => void; readonly size: () => Size }

/** @param table the lines of it, asked for anew */
export function watchScreen(
  hub: Hub,
  id: string | undefined,
  clock: Clock,
  screen: Screen,
  table: () => Promise<readonly string[]>,
): Promise<never> {
  let shown: readonly string[] = []
  let changes: readonly string[] = []
  let away: string | undefined
  let problem: string | undefined
  let next: Disposable | undefined // none: it is being asked
  let isSoon = false

  function draw(): void {
    const why = away ?? problem
    const notice = why && `${printable(why)}; asking again`
    screen.write(screenOf({ table: shown, changes, notice }, screen.size()))
  }

  async function look(): Promise<void> {
    next = undefined
    isSoon = false
    try {
      shown = await table()
      problem = undefined
    } catch (error) {
      problem = (error as Error).message
    }
    next = clock.after(AGAIN_MS, look)
    draw()
  }

  function lookSoon(): void {
    if (!next || isSoon) return
    isSoon = true
    next[Symbol.dispose]()
    next = clock.after(SOON_MS, look)
  }

  const following = follow(hub, id, clock, {
    tell(told, isNew) {
      if (isNew) changes = [...changes, changeLine(told)].slice(-MAX_CHANGES)
      lookSoon()
    },
    away(why) {
      away = why
      draw()
    },
    back() {
      away = undefined
      lookSoon()
    },
  })
  screen.write(CLEAR)
  void look()
  return following
}

function changeLine({ time, type, cluster, agent, source, reason }: Told): string {
  const who = [agent !== undefined && `agent ${agent}`, source !== undefined && `from ${source}`]
    .filter(Boolean)
    .join(' ')
  return printable(
    `${time}  ${type.padEnd(11)}  ${String(cluster ?? '-')}  ${String(reason)}${who === '' ? '' : ` (${who})`}`,
  )
}
