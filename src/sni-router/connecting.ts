/** How a backend is connected to: by its address, so that no name is looked up on the way of a client. */
import { connect, type Socket } from 'node:net'
import { keepAlive } from '../platform/keep-alive.ts'

export type Connect = (target: { readonly ip: string; readonly port: number }) => Socket

export const systemConnect: Connect = ({ ip, port }) => {
  const socket = connect({ host: ip, port, allowHalfOpen: true, noDelay: true })
  keepAlive(socket)
  return socket
}
