/**
 * What the agent reaches, a process of its own. Three services on loopback, each on a port of its own:
 *
 *   source   after the first byte of the client sends the pattern, for as long as anyone takes it (the reference sometimes
 *            lets a target that speaks first overtake the answer to the CONNECT)
 *   sink     takes the pattern; an END_BYTE at the end of what arrived is answered with the count of bytes (8 bytes), wrong
 *            bytes with DAMAGED
 *   echo     sends back what it gets
 */
import { createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { answerCalls } from './control.ts'
import { block, DAMAGED, END_BYTE, fits } from './pattern.ts'

export type Services = { readonly source: string; readonly sink: string; readonly echo: string }
export type TargetCommands = {
  readonly services: (argument: undefined) => Promise<Services>
  /** The number of connections open, once that is at most `most` or `deadlineMs` have passed. */
  readonly connections: (argument: { readonly most: number; readonly deadlineMs: number }) => Promise<number>
}

const POLL_MS = 10
const open = new Set<Socket>()

function source(socket: Socket): void {
  const more = (error?: Error | null): void => {
    if (error || socket.destroyed) return
    socket.write(block, more)
  }
  socket.once('data', () => more())
}

function sink(socket: Socket): void {
  const count = Buffer.alloc(8)
  let offset = 0
  let damaged = false
  socket.on('data', (chunk: Buffer) => {
    const last = chunk[chunk.length - 1] === END_BYTE
    const length = last ? chunk.length - 1 : chunk.length
    if (length > 0 && !fits(chunk, length, offset)) damaged = true
    offset += length
    if (!last && !damaged) return
    if (damaged) socket.removeAllListeners('data').resume()
    count.writeBigUInt64BE(damaged ? DAMAGED : BigInt(offset))
    offset = 0
    socket.write(count)
  })
}

function echo(socket: Socket): void {
  socket.on('data', (chunk) => socket.write(chunk))
}

function serve(service: (socket: Socket) => void): Promise<string> {
  const server: Server = createServer({ noDelay: true }, (socket) => {
    open.add(socket)
    socket.on('error', () => undefined) // a client that hangs up in mid-transfer ends most measurements
    socket.once('close', () => open.delete(socket))
    service(socket)
  })
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, () => {
      const address = server.address()
      if (address === null || typeof address === 'string') throw new Error('a TCP server has a port')
      resolve(`127.0.0.1:${address.port}`)
    })
  })
}

const services = { source: await serve(source), sink: await serve(sink), echo: await serve(echo) }
answerCalls({
  services: async () => services,
  connections: async ({ most, deadlineMs }) => {
    const deadline = performance.now() + deadlineMs
    while (open.size > most && performance.now() < deadline) await sleep(POLL_MS)
    return open.size
  },
} satisfies TargetCommands)
