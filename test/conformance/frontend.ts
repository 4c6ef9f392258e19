/** Asking the server for a connection: as kube-apiserver does with CONNECT, or through konnectivity's own client library. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Socket } from 'node:net'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { connect as connectTls } from 'node:tls'
import type { Test } from 'tap'
import { connectHead, readAll, readAnswer } from '../integration/client.ts'
import { event, within } from '../integration/deadline.ts'
import { program } from '../programs/programs.ts'
import { programOf, type Way } from './pairing.ts'
import type { Peers } from './peers.ts'

/** Where the server listens, and whose certificates are shown there. */
export type Frontend = Pick<Peers, 'pki' | 'frontendPort' | 'socketPath'>

/** Longer than the longest wait of a server: konnectivity's library gives up after 30 s. */
const ANSWER_DEADLINE_MS = 40_000
const HEAD_LIMIT_BYTES = 16 * 1024

/**
 * `together`: bytes of the target came in one read with the answer, or before it. `says` is a status and a body with CONNECT,
 * and the library's error in gRPC mode.
 */
export type Answer =
  | { readonly kind: 'open'; readonly socket: Socket; readonly together: boolean }
  | { readonly kind: 'refused'; readonly says: string }
export type Ask = (address: string) => Promise<Answer>

/** @param folder for the socket of the client in gRPC mode */
export async function makeAsk(t: Test, way: Way, frontend: Frontend, folder: string): Promise<Ask> {
  if (way.mode === 'http-connect') return askByConnect(way.transport, frontend)
  const listen = join(folder, 'grpc-client.sock')
  const { pki, frontendPort, socketPath } = frontend
  const args = [
    `--listen=${listen}`,
    ...(way.transport === 'uds'
      ? [`--uds=${socketPath}`]
      : [
          `--address=127.0.0.1:${frontendPort}`,
          `--ca=${pki.caFile}`,
          `--cert=${pki.apiserver.certFile}`,
          `--key=${pki.apiserver.keyFile}`,
        ]),
    ...(way.client === 'v0.37.0' ? ['--reuse'] : []),
  ]
  await startClient(t, await program(programOf('grpc-client', way.client)), args)
  return async (address) => {
    const socket = await connectTo(listen)
    socket.write(`${address}\n`)
    const { head } = await readHead(socket, '\n')
    if (head === 'ok\n') return { kind: 'open', socket, together: false }
    socket.destroy()
    return { kind: 'refused', says: head.trim().replace(/^error /, '') }
  }
}

/** @throws Error when the answer is no connection */
export async function open(ask: Ask, address: string): Promise<Socket> {
  const answer = await ask(address)
  if (answer.kind === 'refused') throw new Error(`a dial of ${address} was refused: ${answer.says}`)
  return answer.socket
}

function askByConnect(transport: 'tls' | 'uds', { pki, frontendPort, socketPath }: Frontend): Ask {
  const { authority, apiserver } = pki
  const secrets = { ca: authority.certificatePem, cert: apiserver.cert, key: apiserver.key }
  return async (address) => {
    const socket = transport === 'uds' ? await connectTo(socketPath) : await connectSecurely(frontendPort, secrets)
    socket.write(connectHead(address))
    const { head, together } = await readHead(socket, '\r\n\r\n')
    const { status } = readAnswer(head.slice(head.indexOf('HTTP/1.1 ')))
    if (status === 200) return { kind: 'open', socket, together }
    const body = (await readAll(socket)).toString()
    socket.destroy()
    return { kind: 'refused', says: `${status} ${body.trim()}` }
  }
}

async function connectTo(path: string): Promise<Socket> {
  const socket = new Socket({ allowHalfOpen: true }).connect(path)
  await event(socket, 'connect')
  return socket.on('error', () => undefined)
}

type Secrets = { readonly ca: string; readonly cert: string; readonly key: string }

async function connectSecurely(port: number, secrets: Secrets): Promise<Socket> {
  const options = { host: '127.0.0.1', port, ...secrets, allowHalfOpen: true }
  const socket = connectTls(options)
  socket.setNoDelay(true)
  await event(socket, 'secureConnect')
  return socket.on('error', () => undefined)
}

type Head = { readonly head: string; readonly together: boolean }

/** Reads up to the mark; what came behind it is the next that the socket gives. The socket is paused. */
async function readHead(socket: Socket, mark: string): Promise<Head> {
  const { promise, resolve, reject } = Promise.withResolvers<Head>()
  let head = Buffer.alloc(0)
  const data = (chunk: Buffer): void => {
    head = Buffer.concat([head, chunk])
    const end = head.indexOf(mark)
    if (end < 0 && head.length < HEAD_LIMIT_BYTES) return
    if (end < 0) return reject(new Error(`no end of an answer within ${HEAD_LIMIT_BYTES} bytes`))
    socket.pause()
    const rest = head.subarray(end + mark.length)
    if (rest.length > 0) socket.unshift(rest)
    resolve({ head: head.toString('latin1', 0, end + mark.length), together: rest.length > 0 })
  }
  const gone = (): void => reject(new Error(`the connection ended after ${JSON.stringify(head.toString('latin1'))}`))
  socket.on('data', data).once('end', gone).once('close', gone)
  return within(promise, 'an answer to a dial', ANSWER_DEADLINE_MS).finally(() => {
    socket.off('data', data).off('end', gone).off('close', gone)
  })
}

/** It ends when its standard input does, which this process holds. */
async function startClient(t: Test, file: string, args: readonly string[]): Promise<void> {
  const child = spawn(file, args, { stdio: ['pipe', 'pipe', 'ignore'] })
  const ended = once(child, 'exit')
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  await within(once(createInterface({ input: child.stdout }), 'line'), 'the gRPC client listens')
}
