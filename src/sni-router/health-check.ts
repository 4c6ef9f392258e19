/** One check of a backend: is it ready, or where it does not say so, does it accept a TCP connection? Disposing it asks no more. */
import { get } from 'node:http'
import type { Socket } from 'node:net'
import type { Clock } from '../platform/clock.ts'
import type { Connect } from './connecting.ts'
import { type Readiness, targetText } from './core/config.ts'

/** Longest head of an answer: bytes. Its body is not read. */
const MAX_HEAD_BYTES = 4_096

export type CheckTarget = { readonly ip: string; readonly port: number; readonly readiness?: Readiness | undefined }

export function checkOnce(
  { ip, port, readiness }: CheckTarget,
  timeoutMs: number,
  { clock, connect }: { readonly clock: Clock; readonly connect: Connect },
  told: (result: 'ok' | 'failed') => void,
): Disposable {
  const socket = connect({ ip, port: readiness?.port ?? port })
  const deadline = clock.after(timeoutMs, () => end('failed'))
  let isOver = false
  function end(result?: 'ok' | 'failed'): void {
    if (isOver) return
    isOver = true
    deadline[Symbol.dispose]()
    socket.destroy()
    if (result) told(result)
  }
  socket.on('error', () => end('failed'))
  if (readiness) askIfReady(socket, ip, readiness, end)
  else socket.once('connect', () => end('ok'))
  return { [Symbol.dispose]: () => end() }
}

function askIfReady(
  socket: Socket,
  ip: string,
  { port, path }: Readiness,
  end: (result: 'ok' | 'failed') => void,
): void {
  const headers = { host: targetText({ host: ip, port }) }
  const request = get({ path, headers, maxHeaderSize: MAX_HEAD_BYTES, createConnection: () => socket })
  request.once('response', ({ statusCode = 0 }) => end(statusCode >= 200 && statusCode < 300 ? 'ok' : 'failed'))
  request.on('error', () => end('failed'))
}
