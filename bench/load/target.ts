/**
 * What the agent reaches, a process of its own. Five services on loopback, each on a port of its own:
 *
 *   source   after the first byte of the client sends the pattern, for as long as anyone takes it (the reference sometimes
 *            lets a target that speaks first overtake the answer to the CONNECT)
 *   sink     takes the pattern; an END_BYTE at the end of what arrived is answered with the count of bytes (8 bytes), wrong
 *            bytes with DAMAGED
 *   echo     sends back what it gets
 *   ledger   counts what each connection brought, by the number (8 bytes) that it begins with
 *   giver    sends as many bytes of the pattern as the client asked for (8 bytes), and closes
 */
import { createServer, type Server, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { answerCalls } from './control.ts'
import { createLedger, type Entries, NUMBER_BYTES } from './ledger.ts'
import { block, DAMAGED, END_BYTE, fits, pattern } from './pattern.ts'

export type Services = Readonly<Record<'source' | 'sink' | 'echo' | 'ledger' | 'giver', string>>
export type TargetCommands = {
  readonly services: (argument: undefined) => Promise<Services>
  /** The number of connections open, once that is at most `most` or `deadlineMs` have passed. */
  readonly connections: (argument: { readonly most: number; readonly deadlineMs: number }) => Promise<number>
  /** What the ledger has, which begins anew. */
  readonly entries: (argument: undefined) => Promise<Entries>
}

const POLL_MS = 10
const open = new Set<Socket>()
const ledger = createLedger()

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

function giver(socket: Socket): void {
  socket.once('data', (asked: Buffer) => {
    socket.write(pattern(Number(asked.readBigUInt64BE(asked.length - NUMBER_BYTES))))
    socket.destroySoon()
  })
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

const services = {
  source: await serve(source),
  sink: await serve(sink),
  echo: await serve(echo),
  ledger: await serve(ledger.take),
  giver: await serve(giver),
}
answerCalls({
  services: async () => services,
  connections: async ({ most, deadlineMs }) => {
    const deadline = performance.now() + deadlineMs
    while (open.size > most && performance.now() < deadline) await sleep(POLL_MS)
    return open.size
  },
  entries: async () => ledger.read(),
} satisfies TargetCommands)
