/** Clients of a frontend on a Unix socket, by what they do: the same for http-connect and for gRPC. */
import { Buffer } from 'node:buffer'
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { Test } from 'tap'
import type { Pki } from '../integration/certificates.ts'
import { connectHead, endOf, readAll, readAnswer, readBytes } from '../integration/client.ts'
import { event, within } from '../integration/deadline.ts'
import { type Call, closeDial, closeRequest, dataOf, dialRequest, grpcClient } from '../integration/grpc-client.ts'

export type Exchange = {
  readonly send: (text: string) => void
  /** Exactly so many bytes. */
  readonly read: (bytes: number) => Promise<unknown>
  /** Reads no more, also not of what has come. */
  readonly stall: () => void
  /** Ends the connection as a client does that wants no more. */
  readonly close: () => Promise<unknown>
  /** Until the other side has ended it; asked for before it may do so. */
  readonly ended: () => Promise<unknown>
}

export type Client = {
  /** @throws Error with what was answered instead */
  readonly open: (address: string) => Promise<Exchange>
  /** The words in which a dial is refused. */
  readonly refusal: (address: string) => Promise<string>
  /** Asks for the target and is gone before there is an answer. @param asked resolves when the server has read it */
  readonly abandon: (address: string, asked: () => Promise<unknown>) => Promise<unknown>
  /** Requests and packets that make no sense. */
  readonly nonsense: () => Promise<unknown>
  /** Connects and asks for nothing. @returns hangs up */
  readonly idle: () => Promise<() => void>
}

export function httpConnectClient(_t: Test, socketPath: string): Client {
  async function start(): Promise<Socket> {
    const socket = connect(socketPath)
    socket.on('error', () => undefined)
    await event(socket, 'connect')
    return socket
  }
  async function ask(head: string): Promise<string> {
    const socket = await start()
    socket.write(head)
    const { status, body } = readAnswer((await readAll(socket)).toString('latin1'))
    return `${status} ${body}`
  }

  return {
    async open(address) {
      const socket = await start()
      socket.write(connectHead(address))
      const [first] = (await within(once(socket, 'data'), 'an answer')) as [Buffer]
      const text = first.toString('latin1')
      if (!text.startsWith('HTTP/1.1 200 ')) throw new Error(text)
      socket.pause()
      const rest = first.subarray(text.indexOf('\r\n\r\n') + 4)
      if (rest.length > 0) socket.unshift(rest)
      return {
        send: (text) => void socket.write(text),
        read: (bytes) => readBytes(socket, bytes),
        stall: () => void socket.pause(),
        close: () => closed(socket),
        ended: () => endOf(socket),
      }
    },
    refusal: (address) => ask(connectHead(address)),
    async abandon(address, asked) {
      const socket = await start()
      socket.write(connectHead(address))
      await asked()
      await closed(socket)
    },
    async nonsense() {
      await ask('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
      await ask('NONSENSE\r\n\r\n')
    },
    async idle() {
      const socket = await start()
      return () => void socket.destroy()
    },
  }
}

async function closed(socket: Socket): Promise<unknown> {
  if (socket.closed) return
  const gone = event(socket, 'close')
  socket.destroy()
  return gone
}

/** A connection for each call, as kube-apiserver makes them. */
export function grpcModeClient(t: Test, socketPath: string, pki: Pki): Client {
  let dials = 0
  const nextDial = (): string => String(++dials) // konnectivity knows a pending dial by its number, whoever's it is
  function start(): Call & { readonly over: () => Promise<unknown> } {
    const client = grpcClient(t, { pki, transport: 'uds', socketPath, frontendPort: 0 })
    const call = client.call()
    const over = async (): Promise<unknown> => {
      call.finish()
      return call.status.finally(client.close)
    }
    return { ...call, over }
  }

  return {
    async open(address) {
      const call = start()
      call.send(dialRequest(address, nextDial()))
      const { connectID, error = '' } = await call.next('dialResponse')
      if (error !== '') throw new Error(error)
      let state: 'open' | 'stalled' | 'over' = 'open'
      return {
        send: (text) => call.send(dataOf(connectID, text)),
        async read(bytes) {
          while (call.dataOf(connectID).length < bytes) await call.next('data')
        },
        stall() {
          state = 'stalled'
          call.stream.pause()
        },
        async close() {
          if (state === 'stalled') {
            call.cancel()
            return call.status.catch(() => undefined)
          }
          if (state === 'open') {
            call.send(closeRequest(connectID))
            await call.next('closeResponse')
          }
          return call.over()
        },
        async ended() {
          await call.next('closeResponse')
          state = 'over'
        },
      }
    },
    async refusal(address) {
      const call = start()
      call.send(dialRequest(address, nextDial()))
      const { error } = await call.next('dialResponse')
      await call.over()
      return error
    },
    async abandon(address, asked) {
      const call = start()
      const dial = nextDial()
      call.send(dialRequest(address, dial))
      await asked()
      call.send(closeDial(dial))
      return call.over()
    },
    async nonsense() {
      const early = start()
      early.send({ type: 42 }, closeDial('12345'), closeRequest('5'))
      await early.next('closeResponse')
      early.send(dataOf('5', Buffer.from('too early')))
      await early.next('closeResponse')
      await early.over()
    },
    async idle() {
      const call = start()
      return () => void call.over()
    },
  }
}
