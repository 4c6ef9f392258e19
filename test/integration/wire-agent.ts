/** An agent made by hand, which says what an honest one never would. */
import { once } from 'node:events'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2'
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls'
import type { Test } from 'tap'
import { offered, writeExtensions } from '../../src/tunnel/extensions.ts'
import type { Leaf } from './certificates.ts'
import { event, within } from './deadline.ts'
import type { Server } from './tunnel.ts'
import { speakGrpc, type Wire } from './wire.ts'

export type GrpcEnd = { readonly code: number; readonly message: string }

export type WireAgent = Wire & {
  readonly http: ClientHttp2Session
  readonly stream: ClientHttp2Stream
  /** What the server answered to the registration. */
  readonly answer: () => Promise<IncomingHttpHeaders>
  /** How the server ended the stream. */
  readonly ended: () => Promise<GrpcEnd>
  /** Ends the connection without a word; the server has forgotten the agent afterwards. */
  readonly leave: () => Promise<void>
}

/** The entry by which our own agent offers all it can. */
export const allExtensions = { 'culvert-extensions': writeExtensions(offered) }

/** What an agent has to know of a server, whoever made that. */
export type AgentPort = Pick<Server, 'agentPort' | 'pki'>

export async function connectAgentPort(
  t: Test,
  server: AgentPort,
  leaf: Leaf | 'none' = server.pki.agent,
  { alpn = 'h2', localAddress = '127.0.0.1' }: { readonly alpn?: string; readonly localAddress?: string } = {},
): Promise<TLSSocket> {
  const socket = connectTls({
    host: '127.0.0.1',
    port: server.agentPort,
    localAddress,
    ca: server.pki.authority.certificatePem,
    ...(leaf !== 'none' && { cert: leaf.cert, key: leaf.key }),
    ALPNProtocols: [alpn],
  } as ConnectionOptions)
  socket.on('error', () => undefined)
  t.teardown(() => socket.destroy())
  await event(socket, 'secureConnect')
  return socket
}

export type WireAgentOptions = {
  readonly leaf?: Leaf | 'none'
  readonly path?: string
  /** Instead of the id of an agent. */
  readonly headers?: OutgoingHttpHeaders
}

/** Does not wait for the answer. */
export async function openWireAgent(t: Test, server: Server, options: WireAgentOptions = {}): Promise<WireAgent> {
  const socket = await connectAgentPort(t, server, options.leaf)
  const http = connectHttp2('https://127.0.0.1', { createConnection: () => socket })
  http.on('error', () => undefined)
  t.teardown(() => http.destroy())
  return { ...openStream(http, options), leave: () => leave(server, socket) }
}

export function openStream(http: ClientHttp2Session, options: WireAgentOptions = {}): Omit<WireAgent, 'leave'> {
  const stream = http.request({
    ':method': 'POST',
    ':path': options.path ?? '/AgentService/Connect',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...(options.headers ?? { agentid: 'by-hand' }),
  })
  const ended = Promise.withResolvers<GrpcEnd>()
  const read = (headers: IncomingHttpHeaders): void => {
    const { 'grpc-status': code, 'grpc-message': message = '' } = headers
    if (code !== undefined) ended.resolve({ code: Number(code), message: decodeURIComponent(String(message)) })
  }
  stream.on('response', read)
  stream.on('trailers', read)
  stream.on('end', () => stream.end())
  stream.on('error', () => undefined)
  stream.on('close', () => ended.reject(new Error('the stream ended without a status')))
  ended.promise.catch(() => undefined)
  const answer = once(stream, 'response').then(([headers]) => headers as IncomingHttpHeaders)
  answer.catch(() => undefined)
  return {
    ...speakGrpc(stream),
    http,
    stream,
    answer: () => within(answer, 'the answer of the server'),
    ended: () => within(ended.promise, 'the end of the stream'),
  }
}

/** One that the server has taken. */
export async function joinWireAgent(t: Test, server: Server, headers: OutgoingHttpHeaders = {}): Promise<WireAgent> {
  const agent = await openWireAgent(t, server, { headers: { agentid: 'by-hand', ...headers } })
  await agent.answer()
  return agent
}

async function leave(server: Server, socket: TLSSocket): Promise<void> {
  const before = server.log.filter(({ msg }) => msg === 'agent disconnected').length
  const gone = server.logged('agent disconnected', before + 1)
  socket.destroy()
  await gone
}
