/** How a backend is connected to: by its address, so that no name is looked up on the way of a client. */
import { connect, type Socket } from 'node:net'
import { keepAlive } from '../platform/keep-alive.ts'
import { intoSharedBuffer, type Read } from './forwarding.ts'

/** @param read gets what comes, in place of the socket's 'data' */
export type Connect = (target: { readonly ip: string; readonly port: number }, read?: Read) => Socket

export const systemConnect: Connect = ({ ip, port }, read) => {
  const onread = read && intoSharedBuffer(read)
  const socket = connect({ host: ip, port, allowHalfOpen: true, noDelay: true, ...(onread && { onread }) })
  keepAlive(socket)
  return socket
}
