/** How a client of the http-connect frontend is told no: the answer, time to read it, the end. */

import { answer, type Failure } from './core/answers.ts'
import { endDeadline, type Frontend, NOTHING } from './frontend-client.ts'
import type { HeadRefusal } from './metrics.ts'
import { sourceOf } from './source.ts'

/** How long a client that was refused may take to read the answer: milliseconds. */
const LAST_WORDS_MS = 5_000

/** @param headFault what is wrong with its request: counted */
export function refuse(frontend: Frontend, failure: Failure, headFault?: HeadRefusal): void {
  const { socket, deps } = frontend
  if (headFault !== undefined) headRefused(frontend, headFault)
  endDeadline(frontend)
  frontend.state = 'refused'
  frontend.received = NOTHING
  frontend.wasOfUse ||= failure.kind === 'cluster-limit' && !frontend.ended // which comes after a wait
  socket.end(answer(failure))
  socket.resume() // unread bytes would turn the end into a reset, which can overtake the answer
  const patience = deps.clock.after(LAST_WORDS_MS, () => socket.destroy())
  socket.once('close', () => patience[Symbol.dispose]())
}

function headRefused({ socket, admission, deps }: Frontend, why: HeadRefusal): void {
  deps.metrics.headRefused(why)
  if (!deps.audit || admission?.kind !== 'admitted') return
  const { cluster, principal } = admission
  deps.audit({ event: 'frontend', cluster, principal, source: sourceOf(socket), verdict: 'refused', reason: why })
}

/** What it sends meanwhile is dropped. */
export function refuseLater(frontend: Frontend, failure: Failure, afterMs: number): void {
  const { socket, deps } = frontend
  endDeadline(frontend)
  frontend.state = 'refused'
  frontend.deadline = deps.clock.after(afterMs, () => {
    frontend.deadline = undefined
    refuse(frontend, failure)
  })
  socket.resume()
}
