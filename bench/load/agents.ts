/**
 * Many agents in one process, of one cluster each as far as the server can tell: a TLS connection, a stream, heartbeats. They
 * offer ours what our agent does for its liveness; a stock server gets pings of HTTP/2 as often as our agent sends them there.
 */
import { readFileSync } from 'node:fs'
import { type ClientHttp2Session, connect as connectHttp2 } from 'node:http2'
import { connect as connectTls, createSecureContext, type SecureContext } from 'node:tls'
import { EXTENSIONS_KEY, readExtensions, writeExtensions } from '../../src/tunnel/extensions.ts'
import { grpcDecoder, PREFIX_BYTES } from '../../src/tunnel/grpc-messages.ts'
import type { Packet } from '../../src/tunnel/packet.ts'
import { encodePacket } from '../../src/tunnel/packet-codec.ts'
import { answerCalls, NoAnswer } from './control.ts'
import { within } from './deadline.ts'

export type AgentsJob = {
  readonly host: string
  readonly port: number
  /** Files, PEM. */
  readonly ca: string
  readonly cert: string
  readonly key: string
  /** Instead of one certificate for all: of each in turn. */
  readonly own?: readonly { readonly cert: string; readonly key: string }[]
  readonly count: number
  /** Handshakes under way at any time: as many as want one, when all come back at once. */
  readonly atOnce: number
  readonly deadlineMs: number
}

const HEARTBEAT_MS = 5_000
const STOCK_PING_MS = 31_000
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024
const extensions = new Set(['heartbeat', 'ping'] as const)
/** As much as our agent says of itself. */
const HEALTH = {
  agentVersion: '0.1.0',
  eventLoopDelayP99Us: 800,
  openConnections: 0,
  bytesToTargets: 1_234_567,
  bytesFromTargets: 7_654_321,
  certificateDaysLeft: 300,
}

const agents = new Set<ClientHttp2Session>()
let lost = 0

/** Connects them all; gives how long it took until the server had taken the last one. */
async function connect(job: AgentsJob): Promise<{ readonly readyMs: number }> {
  lost = 0
  const started = performance.now()
  const ca = readFileSync(job.ca)
  const contexts = (job.own ?? [job]).map(({ cert, key }) =>
    createSecureContext({ ca, cert: readFileSync(cert), key: readFileSync(key) }),
  )
  const numbers = Array.from({ length: job.count }, (_, number) => number).values()
  const connectSome = async (): Promise<void> => {
    for (const number of numbers) await join(job, contexts[number % contexts.length]!, number)
  }
  const all = Promise.all(Array.from({ length: job.atOnce }, connectSome))
  await within(job.deadlineMs, `${job.count} agents`, all)
  return { readyMs: performance.now() - started }
}

/** Gives how many had been lost by then, and lets the others go. */
async function disconnect(): Promise<{ readonly lost: number }> {
  const result = { lost }
  for (const http of agents) http.destroy()
  agents.clear()
  return result
}

function join({ host, port }: AgentsJob, secureContext: SecureContext, number: number): Promise<void> {
  const joined = Promise.withResolvers<void>()
  const socket = connectTls({ host, port, secureContext, ALPNProtocols: ['h2'], checkServerIdentity: () => undefined })
  socket.setNoDelay(true)
  const http = connectHttp2(`https://${host}:${port}`, { createConnection: () => socket })
  agents.add(http)
  const stream = http.request({
    ':method': 'POST',
    ':path': '/AgentService/Connect',
    'content-type': 'application/grpc',
    te: 'trailers',
    agentid: `cluster-${number}`,
    agentidentifiers: '',
    [EXTENSIONS_KEY]: writeExtensions(extensions),
  })
  const send = (packet: Packet): void => {
    const message = encodePacket(packet)
    const prefix = Buffer.alloc(PREFIX_BYTES)
    prefix.writeUInt32BE(message.length, 1)
    if (!stream.destroyed) stream.write(Buffer.concat([prefix, message]))
  }
  let seq = 0
  const startedMs = performance.now()
  const beat = (): void => {
    seq++
    const health = { ...HEALTH, uptimeMs: Math.round(performance.now() - startedMs) }
    send({ type: 'HEARTBEAT', seq, sentUnixMs: Date.now(), health })
  }
  const decode = grpcDecoder(MAX_MESSAGE_BYTES, {
    packet: (packet) => {
      if (packet.type === 'PING') send({ type: 'PONG', nonce: packet.nonce })
    },
    data: () => undefined,
  })
  let timer: NodeJS.Timeout | undefined
  stream.on('data', (chunk: Buffer) => void decode(chunk))
  stream.once('response', (headers) => {
    if (headers['grpc-status'] !== undefined) return // refused: the end tells
    const taken = readExtensions(headers[EXTENSIONS_KEY] as string | undefined, extensions)
    timer = taken.has('heartbeat')
      ? setInterval(beat, HEARTBEAT_MS)
      : setInterval(() => http.ping(() => undefined), STOCK_PING_MS)
    joined.resolve()
  })
  const gone = (why: string): void => {
    clearInterval(timer)
    if (agents.delete(http)) lost++
    joined.reject(new NoAnswer(why))
  }
  stream.on('error', (error) => gone(error.message))
  http.on('error', (error) => gone(error.message))
  http.once('close', () => gone('the server ended the connection of an agent'))
  return joined.promise
}

const commands = { connect, disconnect }
export type AgentsCommands = typeof commands

answerCalls(commands)
