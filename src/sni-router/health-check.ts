/** One check of a backend: does it accept a TCP connection in time? Disposing it before asks no more. */
import type { Clock } from '../platform/clock.ts'
import type { Connect } from './connecting.ts'

export function checkOnce(
  target: { readonly ip: string; readonly port: number },
  timeoutMs: number,
  { clock, connect }: { readonly clock: Clock; readonly connect: Connect },
  told: (result: 'ok' | 'failed') => void,
): Disposable {
  const socket = connect(target)
  const deadline = clock.after(timeoutMs, () => end('failed'))
  let isOver = false
  function end(result?: 'ok' | 'failed'): void {
    if (isOver) return
    isOver = true
    deadline[Symbol.dispose]()
    socket.destroy()
    if (result) told(result)
  }
  socket.once('connect', () => end('ok'))
  socket.on('error', () => end('failed'))
  return { [Symbol.dispose]: () => end() }
}
