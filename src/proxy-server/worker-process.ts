/** A worker process, as the server sees it that started it: orders to it, connections, questions, its end. */
import type { ChildProcess } from 'node:child_process'
import type { Socket } from 'node:net'
import type { Clock } from '../platform/clock.ts'
import type { Answer } from '../platform/endpoints.ts'
import type { Entrance } from './frontend-admission.ts'
import type { Port } from './metrics.ts'
import type { Order, Question, Report } from './worker-messages.ts'

/**
 * A worker that has not taken a connection for this long is asked about it: milliseconds. One without a free descriptor cannot
 * receive it and hears nothing of it; Node gives it up after a few attempts.
 */
const ASK_MS = 1_000

/** A client or an agent that is to be served by some worker. */
export type Given = {
  readonly port: Port
  readonly connection: Socket
  /** Of a client that came in by the Unix socket of a cluster. */
  readonly entrance?: Entrance
}
export type WorkerEnd = { readonly code: number | null; readonly signal: string | null }

export type WorkerProcess = {
  readonly pid: number | undefined
  readonly order: (order: Order) => void
  /** Only when it is free. */
  readonly give: (given: Given) => void
  /** It has taken what it was given before. */
  readonly isFree: () => boolean
  /** Undefined when there is no answer within the time, or nobody waits for it any more. */
  readonly ask: (question: Question, timeoutMs: number, gone?: AbortSignal) => Promise<Answer | undefined>
  readonly kill: () => void
}

export type WorkerEvents = {
  readonly reported: (report: Exclude<Report, { is: 'answer' }>) => void
  readonly ended: (how: WorkerEnd) => void
}

export function superviseWorker(child: ChildProcess, clock: Clock, events: WorkerEvents): WorkerProcess {
  const questions = new Map<number, (answer: Answer | undefined) => void>()
  let given: Given | undefined // until it is taken, or could not be
  let givenNumber = 0
  let asking: Disposable | undefined
  let over = false
  let lastId = 0

  function order(order: Order): void {
    if (child.connected) child.send(order, ignore)
  }

  function taken(number: number): void {
    if (number !== givenNumber) return // it is said twice of one that was asked about
    asking?.[Symbol.dispose]()
    given = undefined
  }

  child.on('message', (message) => {
    const report = message as Report
    if (report.is === 'answer') return questions.get(report.id)?.(report.answer)
    if (report.is === 'took') taken(report.number)
    events.reported(report)
  })
  child.on('error', () => child.kill('SIGKILL')) // it could not be started or told something
  const ended = (code: number | null, signal: string | null): void => {
    if (over) return
    over = true
    asking?.[Symbol.dispose]()
    for (const answered of questions.values()) answered(undefined)
    given?.connection.destroy() // nobody knows how far it came
    events.ended({ code, signal })
  }
  child.on('close', ended) // behind all that it has reported
  child.on('error', () => {
    if (child.pid === undefined) ended(null, null)
  })

  return {
    pid: child.pid,
    order,
    give(next) {
      given = next
      const number = ++givenNumber
      const { port, connection, entrance } = next
      child.send({ do: 'take', port, number, ...(entrance && { entrance }) } satisfies Order, connection, ignore)
      asking = clock.after(ASK_MS, () => order({ do: 'say-took', number }))
    },
    isFree: () => given === undefined && child.connected,
    ask(question, timeoutMs, gone) {
      const id = ++lastId
      const { promise, resolve } = Promise.withResolvers<Answer | undefined>()
      const forget = (): void => {
        order({ do: 'forget', id })
        resolve(undefined)
      }
      const late = clock.after(timeoutMs, forget)
      gone?.addEventListener('abort', forget, { once: true })
      questions.set(id, resolve)
      if (child.connected) order({ do: 'answer', id, question })
      else resolve(undefined)
      return promise.finally(() => {
        late[Symbol.dispose]()
        gone?.removeEventListener('abort', forget)
        questions.delete(id)
      })
    },
    kill: () => void child.kill('SIGKILL'),
  }
}

/** What cannot be sent was for a process that has ended, which its `exit` tells. */
function ignore(): void {}
