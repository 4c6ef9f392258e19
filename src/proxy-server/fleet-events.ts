/** `/v1/events`: changes of the fleet as server-sent events (WHATWG HTML, section 9.2), to a bounded number of readers. */
import type { Clock } from '../platform/clock.ts'
import { onlyRead, type Route } from '../platform/endpoints.ts'
import type { Reader } from '../platform/going-on.ts'
import { type ClusterStanding, createFleetFeed, type FleetEvent, type FleetFact } from './core/fleet-feed.ts'

/** Events that a reader who comes back can have: the last ones. Of refusals, which strangers can cause, fewer, and apart. */
const MAX_KEPT = 1_000
export const MAX_KEPT_REFUSALS = 100
const MAX_READERS = 64
/** A reader is told this often that the connection stands: milliseconds. */
const KEEP_ALIVE_MS = 15_000
const TICK_MS = 1_000

export type Fleet = Disposable & {
  readonly take: (fact: FleetFact) => void
  readonly standings: () => ReadonlyMap<string, ClusterStanding>
  readonly route: Route
}

type Kept = { readonly number: number; readonly text: string }

/** @param epoch of this process: numbers of events begin anew with it */
export function createFleet(clock: Clock, epoch = clock.unixMs().toString(36)): Fleet {
  const feed = createFleetFeed()
  const readers = new Set<Reader>()
  const changes: Kept[] = []
  const refusals: Kept[] = []
  let last = 0
  let timer = clock.after(TICK_MS, tick)
  let keepAlive = clock.after(KEEP_ALIVE_MS, sayAlive)

  function tick(): void {
    timer = clock.after(TICK_MS, tick)
    tell(feed.tick(clock.unixMs()))
  }

  function sayAlive(): void {
    keepAlive = clock.after(KEEP_ALIVE_MS, sayAlive)
    for (const reader of readers) reader.write(': alive\n\n')
  }

  function tell(events: readonly FleetEvent[]): void {
    for (const event of events) {
      const number = ++last
      const text = eventText(`${epoch}-${number}`, event)
      const [kept, most] = event.type === 'refused' ? [refusals, MAX_KEPT_REFUSALS] : [changes, MAX_KEPT]
      kept.push({ number, text })
      if (kept.length > most) kept.shift()
      for (const reader of readers) reader.write(text)
    }
  }

  /** What came after that event; all that is kept, when it is one of another process or is not known any more. */
  function after(id: string | undefined): string {
    if (id === undefined) return ''
    const [from, number] = id.split('-')
    const seen = from === epoch ? Number(number) : 0
    return [...changes, ...refusals]
      .sort((a, b) => a.number - b.number)
      .filter((event) => !(event.number <= seen))
      .map(({ text }) => text)
      .join('')
  }

  return {
    take: (fact) => tell(feed.take(fact, clock.unixMs())),
    standings: feed.standings,
    route: onlyRead(({ method, lastEventId, gone }) => {
      if (readers.size >= MAX_READERS) return { status: 503, body: `there are ${MAX_READERS} readers already\n` }
      const headers = { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' }
      if (method === 'HEAD') return { status: 200, body: '', headers }
      return {
        status: 200,
        body: `retry: 2000\n\n${after(lastEventId)}${snapshot(`${epoch}-${last}`, feed.standings())}`,
        headers,
        reader(reader) {
          readers.add(reader)
          gone.addEventListener('abort', () => readers.delete(reader), { once: true })
        },
      }
    }),
    [Symbol.dispose]() {
      timer[Symbol.dispose]()
      keepAlive[Symbol.dispose]()
    },
  }
}

function eventText(id: string, { type, unixMs, ...event }: FleetEvent): string {
  const data = JSON.stringify({ type, time: new Date(unixMs).toISOString(), ...event })
  return `id: ${id}\nevent: ${type}\ndata: ${data}\n\n`
}

/** What a reader begins with: each cluster as it stands. */
function snapshot(id: string, standings: ReadonlyMap<string, ClusterStanding>): string {
  const clusters = [...standings].map(([id, standing]) => ({ id, ...shownStanding(standing) })).sort(byId)
  return `id: ${id}\nevent: snapshot\ndata: ${JSON.stringify({ clusters })}\n\n`
}

/** The order in which clusters are shown: it does not change when one is lost or comes back. */
export const byId = (a: { readonly id: string }, b: { readonly id: string }): number => (a.id < b.id ? -1 : 1)

export const shownStanding = ({ state, sinceUnixMs, reason }: ClusterStanding): object => ({
  state,
  since: new Date(sinceUnixMs).toISOString(),
  reason,
})
