/** Stands between agent and server, a process of its own: passes bytes on, and breaks all connections when told to. */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { answerCalls } from './control.ts'

const sockets = new Set<Socket>()
let serverPort = 0

const listener = createServer({ noDelay: true, allowHalfOpen: true }, (agent) => {
  const server = connect({ host: '127.0.0.1', port: serverPort, noDelay: true, allowHalfOpen: true })
  for (const [one, other] of [[agent, server] as const, [server, agent] as const]) {
    sockets.add(one)
    one.on('error', () => undefined)
    one.once('close', () => {
      sockets.delete(one)
      other.destroy()
    })
    one.pipe(other)
  }
})

const commands = {
  /** Gives the port on which it takes agents of the server at that port. */
  async open(port: number): Promise<number> {
    serverPort = port
    await new Promise<void>((resolve) => listener.listen({ host: '127.0.0.1', port: 0 }, resolve))
    return (listener.address() as AddressInfo).port
  },
  /** Resets them; gives how many there were. */
  async cut(): Promise<number> {
    const count = sockets.size
    for (const socket of sockets) socket.resetAndDestroy()
    return count / 2
  },
}
export type RelayCommands = typeof commands

answerCalls(commands)
