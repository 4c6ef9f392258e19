/** The sockets to targets that are open: an agent that drains waits for the last byte to be taken. */
import type { Socket } from 'node:net'

export type OpenSockets = {
  readonly add: (socket: Socket) => void
  readonly whenEmpty: () => Promise<void>
}

export function createOpenSockets(): OpenSockets {
  const open = new Set<Socket>()
  let empty = (): void => {}
  return {
    add(socket) {
      open.add(socket)
      socket.on('close', () => {
        open.delete(socket)
        if (open.size === 0) empty()
      })
    },
    whenEmpty: () =>
      new Promise((resolve) => {
        empty = resolve
        if (open.size === 0) resolve()
      }),
  }
}
