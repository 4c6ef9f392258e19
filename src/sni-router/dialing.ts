/**
 * Opens the connection to a backend for a client: one after the other, each within its time, all within theirs. Disposing ends
 * it, whatever it waits for: a client that has left costs nothing more.
 */
import type { Socket } from 'node:net'
import type { Clock } from '../platform/clock.ts'
import type { Backends, Member } from './backends.ts'
import type { Connect } from './connecting.ts'
import { inOrder } from './core/choice.ts'
import type { Limits, Target } from './core/config.ts'
import type { Read } from './forwarding.ts'

/** Most backends that are tried for one client. */
const MAX_TRIES = 8

/** Why one backend was given up. */
export type Miss = 'refused' | 'timeout'
/** Nobody to ask; what the last who was asked did; all together took too long. */
export type DialFailure = 'no-backend' | Miss | 'deadline'
export type DialDeps = { readonly clock: Clock; readonly backends: Backends; readonly connect: Connect }
export type DialRequest = {
  readonly targets: readonly Target[]
  readonly limits: Pick<Limits, 'dialTimeoutMs' | 'dialDeadlineMs'>
  /** Gets what the connected socket reads, once that is asked to. */
  readonly read?: Read
  /** The socket has no listeners and nothing was read from it. Who takes it gives `active` of the member back when it closes. */
  readonly connected: (socket: Socket, member: Member) => void
  readonly failed: (why: DialFailure) => void
  /** One backend did not accept; the next is tried. */
  readonly missed: (member: Member, why: Miss, error: Error | undefined) => void
}

/** Tells of one of `connected` and `failed`, once, not before it has returned; of neither when it is disposed of before. */
export function startDial(request: DialRequest, { clock, backends, connect }: DialDeps): Disposable {
  const { targets, limits } = request
  const deadline = clock.after(limits.dialDeadlineMs, () => fail('deadline'))
  let left: Member[] = []
  let why: DialFailure = 'no-backend'
  let attempt: Disposable | undefined // a try, or the wait for somebody to ask
  let isOver = false

  function end(): void {
    isOver = true
    deadline[Symbol.dispose]()
    attempt?.[Symbol.dispose]()
  }

  function fail(reason: DialFailure): void {
    if (isOver) return
    end()
    request.failed(reason)
  }

  function begin(): void {
    if (isOver) return
    const members = backends.members(targets)
    attempt = members.length === 0 ? backends.nextAnswer(targets, begin) : undefined
    if (attempt) return
    left = inOrder(members).slice(0, MAX_TRIES)
    next()
  }

  function next(): void {
    const member = left.shift()
    if (member === undefined) return fail(why)
    attempt = tryMember(member)
  }

  function tryMember(member: Member): Disposable {
    member.active++
    member.chosen = ++choices
    const socket = connect(member, request.read)
    const timer = clock.after(limits.dialTimeoutMs, () => missed('timeout'))
    const refused = (error: Error): void => missed('refused', error)
    const connected = (): void => {
      timer[Symbol.dispose]()
      socket.off('error', refused)
      attempt = undefined
      end()
      backends.tried(member, 'ok')
      request.connected(socket, member)
    }
    let isDone = false
    const giveUp = (): void => {
      isDone = true
      timer[Symbol.dispose]()
      socket.off('connect', connected)
      socket.destroy()
      member.active--
    }
    const missed = (reason: Miss, error?: Error): void => {
      if (isDone) return
      attempt = undefined
      giveUp()
      why = reason
      backends.tried(member, 'failed')
      request.missed(member, reason, error)
      next()
    }
    socket.once('connect', connected)
    socket.on('error', refused)
    return { [Symbol.dispose]: giveUp }
  }

  queueMicrotask(begin)
  return {
    [Symbol.dispose]() {
      if (!isOver) end()
    },
  }
}

let choices = 0
