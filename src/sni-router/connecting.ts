/** How a backend is connected to: by its address, so that no name is looked up on the way of a client. */
import { connect, type Socket } from 'node:net'

export type Connect = (target: { readonly ip: string; readonly port: number }) => Socket

/** Silence after which the kernel asks whether the peer is still there: milliseconds. */
export const KEEP_ALIVE_MS = 15_000

export const systemConnect: Connect = ({ ip, port }) =>
  connect({
    host: ip,
    port,
    allowHalfOpen: true,
    noDelay: true,
    keepAlive: true,
    keepAliveInitialDelay: KEEP_ALIVE_MS,
  })
