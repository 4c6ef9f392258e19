/** A client that dials and minds no refusal, or shakes hands and hangs up, as fast as it is answered, until it is told to end. */
import { within } from './deadline.ts'
import { connect, openTunnel, Refused } from './tunnel.ts'
import type { Where } from './tunnel-set.ts'

export type FloodJob = Where & {
  /** What it does again and again: handshakes are those of TLS, with nothing behind. */
  readonly does: 'dials' | 'handshakes'
  /** Of these under way at any time. */
  readonly atOnce: number
  /** Longest wait for an answer, after which it dials again. */
  readonly deadlineMs: number
}

let end: (() => Promise<{ readonly perSecond: number }>) | undefined

/** Begins, and returns when one was answered, whatever the answer. @throws Error when none is in time: that is no flood */
export async function flood(job: FloodJob): Promise<void> {
  const begun = Promise.withResolvers<void>()
  const startMs = performance.now()
  const over = new AbortController()
  const nobody = { receive: () => true, broken: () => undefined, givenUp: over.signal }
  let answered = 0
  const isAnswered = (): Promise<boolean> =>
    openTunnel(job.frontend, job.target, job.deadlineMs, nobody).then(
      (tunnel) => {
        tunnel.close()
        return true
      },
      (error: Error) => error instanceof Refused,
    )
  const once = job.does === 'dials' ? isAnswered : () => isShaken(job, over.signal)
  const again = async (): Promise<void> => {
    while (!over.signal.aborted) {
      if (!(await once()) || over.signal.aborted) continue
      answered++
      begun.resolve()
    }
  }
  const all = Promise.all(Array.from({ length: job.atOnce }, again))
  end = async () => {
    over.abort()
    const seconds = (performance.now() - startMs) / 1_000
    await all
    return { perSecond: answered / seconds }
  }
  await within(job.deadlineMs, 'first answer to the flood', begun.promise).catch((error) => {
    over.abort()
    throw error
  })
}

/** Whether the server shook hands, as far as the client can know: it has finished its side, and the server has not hung up on it. */
async function isShaken({ frontend, deadlineMs }: FloodJob, over: AbortSignal): Promise<boolean> {
  if (frontend.kind !== 'tls') throw new Error('there are no handshakes over a Unix socket')
  const closed = Promise.withResolvers<void>()
  let isDone = false
  const socket = connect(frontend, () => true)
  const late = setTimeout(giveUp, deadlineMs)
  over.addEventListener('abort', giveUp)
  socket.on('error', () => undefined)
  socket.once('secureConnect', () => {
    isDone = true
    socket.end() // in order: who breaks off may not have finished for the server
  })
  socket.once('close', () => closed.resolve())
  await closed.promise
  clearTimeout(late)
  over.removeEventListener('abort', giveUp)
  return isDone

  function giveUp(): void {
    socket.destroy()
  }
}

/** Gives how many were answered. */
export async function endFlood(): Promise<{ readonly perSecond: number }> {
  if (!end) throw new Error('there is no flood')
  return end()
}
