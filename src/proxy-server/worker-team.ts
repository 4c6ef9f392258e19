/**
 * The workers of a server: starts them and those that replace them, hands connections over, drains and ends them. What to do
 * when is decided in `core/worker-set.ts`, who gets a connection in `core/hand-over.ts`.
 */
import type { ChildProcess } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import type { Audit } from '../audit/record.ts'
import type { Clock } from '../platform/clock.ts'
import type { Answer } from '../platform/endpoints.ts'
import { TunnelError } from '../platform/errors.ts'
import type { Log } from '../platform/log.ts'
import type { LogSink } from '../platform/log-sink.ts'
import type { FileText } from '../platform/watched.ts'
import type { FleetFact } from './core/fleet-feed.ts'
import { createHandOver } from './core/hand-over.ts'
import { createWorkerSet, type Effect, type Worker } from './core/worker-set.ts'
import { addLasting } from './merged-figures.ts'
import type { Port } from './metrics.ts'
import type { ServerOptions } from './options.ts'
import type { Figures, Question } from './worker-messages.ts'
import { optionsOfWorker, workerServerId } from './worker-options.ts'
import { type Given, superviseWorker, type WorkerEnd, type WorkerEvents, type WorkerProcess } from './worker-process.ts'

/** Between two looks at who is to be started, or hangs: milliseconds. */
const TICK_MS = 500
/** Of a program that was told to end at once: milliseconds. */
const STOP_MS = 2_000
/** Connections that may wait for a worker to be free, or to be there again after a crash, and how long: milliseconds. */
const MOST_WAITING = 10_000
const WAIT_MS = 10_000

export type TeamDeps = {
  readonly clock: Clock
  readonly log: Log
  /** Where the lines go that workers log. */
  readonly lines: LogSink
  readonly launch: (slot: number) => ChildProcess
  /** Texts of the clusters in use, or of the policy. */
  readonly inUse?: () => readonly FileText[] | undefined
  readonly crashed: () => void
  readonly up: () => void
  /** Where their records go. */
  readonly audit?: Audit | undefined
  /** Records that a worker could not send. */
  readonly auditLost?: ((count: number) => void) | undefined
  /** What happens to their agents. */
  readonly tell: (fact: FleetFact) => void
}

export type Member = Pick<Worker, 'slot' | 'state' | 'ready'> & {
  readonly serverId: string
  readonly ask: (question: Question, timeoutMs: number, gone?: AbortSignal) => Promise<Answer | undefined>
  /** The last figures that are known of it. */
  figures: Figures
  /** They are its last. */
  final: boolean
}

export type WorkerTeam = {
  /** @throws TunnelError `bad-option` for what a worker refuses, `no-worker` when none can be had */
  readonly start: () => Promise<void>
  readonly give: (given: Given) => void
  readonly restart: () => void
  readonly members: () => readonly Member[]
  /** What those have counted that have ended. */
  readonly lastingFigures: () => Promise<Figures>
  /** Rejected with a TunnelError when no worker can be had any more. */
  readonly broken: Promise<never>
  /** Fulfilled when all have ended. @param closeFrontend called when nobody is left who takes clients */
  readonly drain: (signal: string, closeFrontend: () => void) => Promise<void>
  /** Ends them now. */
  readonly stop: (signal: string) => void
  /** Ends them at once. @param isNews whether anybody is told, as of a crash, and `drain` waits for it. Default: yes */
  readonly kill: (isNews?: boolean) => void
}

type Process = Member & { readonly number: number; readonly process: WorkerProcess }

export function createWorkerTeam(options: ServerOptions, deps: TeamDeps): WorkerTeam {
  const { clock, log } = deps
  const set = createWorkerSet(options.workers)
  const handOver = createHandOver()
  const processes = new Map<number, Process>()
  const waiting = new Set<Given>() // in their order
  const broken = Promise.withResolvers<never>()
  broken.promise.catch(() => undefined) // whoever waits for it hears of it
  const started = Promise.withResolvers<void>()
  const allEnded = Promise.withResolvers<void>()
  let state: 'starting' | 'running' | 'draining' | 'abandoned' = 'starting'
  let lasting: Promise<Figures> = Promise.resolve([])
  let signal = ''
  let why = '' // the last one that could not start said so
  let closeFrontend = (): void => {}
  const ticking = setInterval(() => perform(set.tick(clock.now())), TICK_MS)
  ticking.unref()

  function perform(effects: readonly Effect[]): void {
    for (const effect of effects) {
      switch (effect.do) {
        case 'start':
          startOne(effect.number, effect.slot)
          break
        case 'drain':
          processes.get(effect.number)?.process.order({ do: 'drain', signal })
          break
        case 'dismiss':
          processes.get(effect.number)?.process.order({ do: 'dismiss' })
          break
        case 'kill':
          processes.get(effect.number)?.process.kill()
          break
        case 'close-frontend':
          closeFrontend()
          break
        case 'give-up':
          fail(
            new TunnelError('no-worker', `${effect.starts} workers in a row ended as soon as they were started${why}`),
          )
          break
        case 'tell':
          if (effect.restart === 'done') log.info({}, 'all workers are replaced')
          else log.error({}, 'the workers are not replaced: a new one ended before it served; those before stay')
          break
        default:
          effect satisfies never
      }
    }
    handOut()
  }

  function fail(error: TunnelError): void {
    started.reject(error)
    broken.reject(error)
  }

  function startOne(number: number, slot: number): void {
    const serverId = workerServerId(options.serverId, slot, randomBytes(4).toString('hex'))
    const about = { worker: slot, server_id: serverId }
    const worker = superviseWorker(deps.launch(slot), clock, eventsOf(number, about))
    const entry = (): Worker | undefined => set.all().find((it) => it.number === number)
    processes.set(number, {
      number,
      slot,
      serverId,
      process: worker,
      get state() {
        return entry()?.state ?? 'dismissed'
      },
      get ready() {
        return entry()?.ready ?? false
      },
      ask: worker.ask,
      figures: [],
      final: false,
    })
    log.info({ ...about, pid: worker.pid }, 'worker started')
    worker.order({
      do: 'start',
      options: optionsOfWorker(options, options.workers, serverId),
      slot,
      inUse: deps.inUse?.(),
    })
  }

  function eventsOf(number: number, about: { readonly worker: number; readonly server_id: string }): WorkerEvents {
    return {
      reported(report) {
        switch (report.is) {
          case 'took':
            handOut()
            break
          case 'up':
            why = ''
            perform(set.up(number, clock.now()))
            deps.up()
            if (state === 'starting' && set.all().every((worker) => worker.state === 'up')) started.resolve()
            break
          case 'refused':
            if (state === 'starting') fail(new TunnelError('bad-option', report.problems))
            else {
              log.error({ ...about, reason: report.problems }, 'worker cannot start')
              why = `, the last one with: ${report.problems}`
            }
            break
          case 'state':
            set.reported(number, report, clock.now())
            handOut()
            break
          case 'quiet':
            perform(set.quiet(number))
            break
          case 'log':
            deps.lines.write(report.line, report.level)
            break
          case 'audit':
            if (report.lost > 0) deps.auditLost?.(report.lost)
            deps.audit?.(report.record)
            break
          case 'fleet':
            deps.tell(report.fact)
            break
          case 'left':
            Object.assign(processes.get(number) ?? {}, { figures: report.figures, final: true })
            break
          default:
            report satisfies never
        }
      },
      ended: (how) => ended(number, about, how),
    }
  }

  function ended(number: number, about: { readonly server_id: string }, how: WorkerEnd): void {
    const process = processes.get(number)
    const was = process?.state
    const wasTold = was === 'leaving' || was === 'dismissed' || (was === 'starting' && state === 'draining')
    processes.delete(number)
    if (state === 'abandoned') return
    deps.tell({ is: 'server-gone', server: about.server_id })
    lasting = lasting.then((sum) => addLasting(sum, process?.figures ?? []))
    if (wasTold && how.signal === null) log.info({ ...about, code: how.code }, 'worker ended')
    else {
      log.error({ ...about, ...how }, 'worker crashed')
      deps.crashed()
      const reason = `the worker process ended with ${how.signal ?? `code ${how.code}`}`
      deps.audit?.({ event: 'server-gone', server: about.server_id, reason })
    }
    perform(set.ended(number, clock.now(), Math.random()))
    if (processes.size === 0 && state === 'draining') allEnded.resolve()
  }

  function give(given: Given): void {
    if (waiting.size >= MOST_WAITING) return void given.connection.destroy()
    waiting.add(given)
    handOut()
    if (waiting.has(given)) clock.after(WAIT_MS, () => waiting.delete(given) && given.connection.destroy())
  }

  /** As far as there are workers that take them. */
  function handOut(): void {
    const stuck = new Set<Port>() // nobody takes those who came there: what one was told holds for all
    for (const given of waiting) {
      if (stuck.has(given.port)) continue
      const candidates = set.all().map((worker) => ({
        ...worker,
        free: processes.get(worker.number)?.process.isFree() ?? false,
      }))
      if (!candidates.some(({ free }) => free)) return
      const number =
        given.port === 'frontend'
          ? handOver.forFrontend(candidates)
          : handOver.forAgent(given.connection.remoteAddress ?? '', candidates)
      if (number === undefined) {
        stuck.add(given.port)
        continue
      }
      waiting.delete(given)
      processes.get(number)?.process.give(given)
    }
  }

  return {
    start() {
      perform(set.begin())
      return started.promise.finally(() => {
        state = 'running'
      })
    },
    give,
    restart() {
      if (state === 'starting') return log.warn({}, 'the workers are only just starting')
      signal = 'restart'
      const effects = set.restart()
      if (!effects) return log.warn({}, 'the workers are being replaced already')
      log.info({}, 'replacing the workers')
      perform(effects)
    },
    members: () => [...processes.values()],
    lastingFigures: () => lasting,
    broken: broken.promise,
    drain(given, close) {
      state = 'draining'
      signal = given
      closeFrontend = close
      perform(set.shutDown())
      if (processes.size === 0) allEnded.resolve()
      return allEnded.promise.finally(() => clearInterval(ticking))
    },
    stop(given) {
      for (const { process } of processes.values()) process.order({ do: 'stop', signal: given })
      clock.after(STOP_MS, () => processes.forEach(({ process }) => void process.kill()))
    },
    kill(isNews = true) {
      clearInterval(ticking)
      if (!isNews) state = 'abandoned'
      for (const { process } of processes.values()) process.kill()
    },
  }
}
