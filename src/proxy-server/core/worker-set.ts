/**
 * The worker processes of a server: who is to be started, drained or killed, and when. Pure: events and the time go in, what to
 * do comes out; the caller owns the processes.
 *
 * Each of `count` slots has a worker. One that ends unasked is replaced, at once the first time and then with back-off. A
 * restart replaces one slot after the other: the new worker is up before the old one is drained.
 */
import { backoffMs } from '../../platform/backoff.ts'

/** A worker that lived for this long was none that crashes as soon as it works: milliseconds. */
const STAYS_MS = 10_000
const BACKOFF = { baseMs: 200, capMs: 10_000 }
/** Workers in a row that ended before they were up; with none up besides, the program is given up. */
const MOST_STARTS_IN_VAIN = 5
/** Longest wait, after a restarted worker took over, for its first agent: milliseconds. */
const READY_MS = 30_000
/** How long a worker that is ready may have fewer clusters than others before it is given clients all the same: milliseconds. */
const SETTLE_MS = 30_000
/** A worker that has reported nothing for so many ticks hangs. Ticks and not time: a program that was stopped as a whole has none. */
const SILENT_TICKS = 120

export type WorkerState =
  | 'starting'
  | 'up'
  | 'leaving' // told to drain; serves whom it is given
  | 'dismissed' // is given nobody any more

export type Worker = {
  /** Of the process: counts from 1, never used twice. */
  readonly number: number
  /** From 1 to `count`. */
  readonly slot: number
  readonly state: WorkerState
  /** It has an agent. */
  readonly ready: boolean
  /** It is ready, and holds as many clusters as the others do, or had its time to. */
  readonly settled: boolean
}
export type WorkerReport = { readonly ready: boolean; readonly clusters: number }

export type Effect =
  | { readonly do: 'start'; readonly number: number; readonly slot: number }
  | { readonly do: 'drain' | 'dismiss' | 'kill'; readonly number: number }
  /** Nobody is left who takes clients. */
  | { readonly do: 'close-frontend' }
  /** No worker can be had. */
  | { readonly do: 'give-up'; readonly starts: number }
  | { readonly do: 'tell'; readonly restart: 'done' | 'failed' }

export type WorkerSet = {
  readonly begin: () => Effect[]
  readonly up: (number: number, nowMs: number) => Effect[]
  readonly reported: (number: number, report: WorkerReport, nowMs: number) => void
  /** Nothing is open on a worker that leaves, or its time is up. */
  readonly quiet: (number: number) => Effect[]
  readonly ended: (number: number, nowMs: number, random: number) => Effect[]
  /** Replaces all workers. @returns undefined: a restart is under way already, or the end */
  readonly restart: () => Effect[] | undefined
  /** Drains all; nothing is started any more. */
  readonly shutDown: () => Effect[]
  /** Twice a second or so. */
  readonly tick: (nowMs: number) => Effect[]
  readonly all: () => readonly Worker[]
}

type Entry = {
  -readonly [Key in keyof Worker]: Worker[Key]
} & {
  clusters: number
  upMs: number | undefined
  readyMs: number | undefined
  silentTicks: number
}

/** Of one slot: first the new worker comes up, then the old one ends, then the new one gets its first agent. */
type Turn = { readonly old: Entry; readonly next: Entry; readonly oldWasReady: boolean; endedMs: number | undefined }

export function createWorkerSet(count: number): WorkerSet {
  const workers = new Map<number, Entry>()
  const due = new Map<number, number>() // when to start a worker, by slot
  let lastNumber = 0
  let crashes = 0 // in a row
  let startsInVain = 0 // in a row
  let closing = false
  let slotsToRestart: number[] | undefined
  let turn: Turn | undefined

  function start(slot: number): [Entry, Effect] {
    const number = ++lastNumber
    const entry: Entry = {
      number,
      slot,
      state: 'starting',
      ready: false,
      settled: false,
      clusters: 0,
      upMs: undefined,
      readyMs: undefined,
      silentTicks: 0,
    }
    workers.set(number, entry)
    return [entry, { do: 'start', number, slot }]
  }

  function settle(nowMs: number): void {
    const serving = [...workers.values()].filter(({ state }) => state === 'up')
    const most = Math.max(0, ...serving.map(({ clusters }) => clusters))
    for (const worker of serving) {
      const waitedMs = worker.readyMs === undefined ? 0 : nowMs - worker.readyMs
      worker.settled = worker.ready && (worker.settled || worker.clusters >= most || waitedMs >= SETTLE_MS)
    }
  }

  /** The slots that are still to be restarted, in turn, as far as it goes now. */
  function goOn(nowMs: number): Effect[] {
    if (turn) {
      const { next, oldWasReady, endedMs } = turn
      if (endedMs === undefined) return []
      const awaited = next.state === 'starting' || (oldWasReady && !next.ready && nowMs - endedMs < READY_MS)
      if (awaited && workers.has(next.number)) return []
      turn = undefined
    }
    while (slotsToRestart) {
      const slot = slotsToRestart.shift()
      if (slot === undefined) {
        slotsToRestart = undefined
        return [{ do: 'tell', restart: 'done' }]
      }
      const old = [...workers.values()].find((worker) => worker.slot === slot && worker.state === 'up')
      if (!old) continue // it is being replaced anyway
      const [next, effect] = start(slot)
      turn = { old, next, oldWasReady: old.ready, endedMs: undefined }
      return [effect]
    }
    return []
  }

  function leave(worker: Entry): Effect {
    worker.state = 'leaving'
    return { do: 'drain', number: worker.number }
  }

  /** Somebody ended whom nobody told to. */
  function crashed(worker: Entry, nowMs: number, random: number): Effect[] {
    const stayed = worker.upMs !== undefined && nowMs - worker.upMs >= STAYS_MS
    crashes = stayed ? 1 : crashes + 1
    if (worker.upMs === undefined) startsInVain++
    const nobodyIsUp = ![...workers.values()].some(({ upMs }) => upMs !== undefined)
    if (startsInVain >= MOST_STARTS_IN_VAIN && nobodyIsUp) return [{ do: 'give-up', starts: startsInVain }]
    if (crashes === 1) return [start(worker.slot)[1]]
    due.set(worker.slot, nowMs + backoffMs(crashes - 1, BACKOFF, random))
    return []
  }

  return {
    begin: () => Array.from({ length: count }, (_, index) => start(index + 1)[1]),
    up(number, nowMs) {
      const worker = workers.get(number)
      if (worker?.state !== 'starting') return []
      worker.state = 'up'
      worker.upMs = nowMs
      startsInVain = 0
      if (turn?.next === worker && workers.has(turn.old.number)) return [leave(turn.old)]
      return []
    },
    reported(number, { ready, clusters }, nowMs) {
      const worker = workers.get(number)
      if (!worker) return
      worker.silentTicks = 0
      worker.readyMs = ready ? (worker.readyMs ?? nowMs) : undefined
      worker.ready = ready
      worker.clusters = clusters
      settle(nowMs)
    },
    quiet(number) {
      const worker = workers.get(number)
      if (worker?.state !== 'leaving') return []
      worker.state = 'dismissed'
      const isLast = closing && ![...workers.values()].some(({ state }) => state === 'up' || state === 'leaving')
      return [...(isLast ? [{ do: 'close-frontend' } as const] : []), { do: 'dismiss', number }]
    },
    ended(number, nowMs, random) {
      const worker = workers.get(number)
      if (!workers.delete(number) || !worker || closing) return []
      if (worker === turn?.next && workers.has(turn.old.number) && turn.old.state === 'up') {
        turn = undefined
        slotsToRestart = undefined
        return [{ do: 'tell', restart: 'failed' }] // the old one stays
      }
      if (worker === turn?.old) {
        turn.endedMs = nowMs
        return goOn(nowMs)
      }
      if (worker.state === 'leaving' || worker.state === 'dismissed') return []
      return [...crashed(worker, nowMs, random), ...goOn(nowMs)]
    },
    restart() {
      if (closing || slotsToRestart || turn) return undefined
      slotsToRestart = Array.from({ length: count }, (_, index) => index + 1)
      return goOn(0)
    },
    shutDown() {
      closing = true
      due.clear()
      turn = undefined
      slotsToRestart = undefined
      return [...workers.values()].flatMap((worker): Effect[] => {
        if (worker.state === 'starting') return [{ do: 'kill', number: worker.number }]
        return worker.state === 'up' ? [leave(worker)] : []
      })
    },
    tick(nowMs) {
      settle(nowMs)
      const effects: Effect[] = []
      for (const [slot, dueMs] of due) {
        if (dueMs > nowMs) continue
        due.delete(slot)
        effects.push(start(slot)[1])
      }
      for (const worker of workers.values()) {
        worker.silentTicks++
        if (worker.silentTicks === SILENT_TICKS) effects.push({ do: 'kill', number: worker.number })
      }
      return closing ? effects : [...effects, ...goOn(nowMs)]
    },
    all: () => [...workers.values()],
  }
}
