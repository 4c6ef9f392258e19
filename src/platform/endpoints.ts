/** A small HTTP/1.1 server for people and probes: exact paths, answers in one piece, nothing read without a bound. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import type { SecureContextOptions, TlsOptions } from 'node:tls'
import { goOn, type Reader } from './going-on.ts'

/** An import would look at each name that the module exports, and so load the client of `fetch`: 4 MiB that stay. */
const { createServer, STATUS_CODES } = process.getBuiltinModule('node:http')

export type Answer = {
  readonly status: number
  readonly body: string | Uint8Array
  /** Default plain text. */
  readonly headers?: Readonly<Record<string, string>>
  /** The answer goes on: the body is only its beginning. */
  readonly reader?: (reader: Reader) => void
}
export type Asked = {
  readonly method: string
  readonly path: string
  /** Of a reader of events who comes back: the last that it has had. */
  readonly lastEventId: string | undefined
  /** What followed the path, from its question mark on. */
  readonly search: string
  readonly query: URLSearchParams
  /** The address that the client used, without port; an IPv6 address in brackets. */
  readonly hostname: string
  /** The client takes an answer in gzip as well. */
  readonly acceptsGzip: boolean
  /** Aborts when the client waits no longer. */
  readonly gone: AbortSignal
}
export type Route = (asked: Asked) => Answer | Promise<Answer>
/** By path; one that ends with a slash and an asterisk is for all right below it. A route answers every method: some health checks ask by OPTIONS. */
export type Routes = Readonly<Record<string, Route>>
/** Why a request was not even looked at. */
export type Refusal = 'malformed' | 'too-large' | 'slow' | 'foreign-host' | 'forbidden'

export type EndpointOptions = {
  readonly limits?: typeof endpointLimits
  /** Whether a client may call this server by that name, the one of its Host header. Default: by any. */
  readonly mayBeCalled?: (hostname: string) => boolean
  /** What somebody is told who may not ask for that path. Default: everybody may. */
  readonly refusal?: (path: string, request: IncomingMessage) => Answer | undefined
  /** Speaks TLS; the names are those of `node:tls`. */
  readonly tls?: SecureContextOptions & Pick<TlsOptions, 'requestCert' | 'rejectUnauthorized'>
}

export const endpointLimits = {
  headBytes: 16_384,
  /** For a TLS handshake, and then for a head. */
  headTimeoutMs: 10_000,
  /** From the first byte of a request to its last. */
  requestTimeoutMs: 30_000,
  connections: 256,
  /** That wait for one who reads an answer which goes on, besides its beginning. */
  readerBytes: 262_144,
  /** In which such a reader takes nothing of what waits. */
  stallMs: 30_000,
  /** Between two requests of one connection. Prometheus keeps its own for 5 minutes: who asks is to be the one who closes. */
  idleMs: 600_000,
  /** Connections kept between requests; of more, the one that has waited longest is closed. */
  idleConnections: 128,
  /** How late a timeout may be noticed. */
  checkMs: 1_000,
}

/** The caller listens and closes. @param refused counts what was no request */
export function createEndpoints(
  routes: Routes,
  refused: (why: Refusal) => void,
  { limits = endpointLimits, mayBeCalled = () => true, refusal = () => undefined, tls }: EndpointOptions = {},
): Server {
  const settings = {
    maxHeaderSize: limits.headBytes,
    headersTimeout: limits.headTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    keepAliveTimeout: limits.idleMs,
    connectionsCheckingInterval: limits.checkMs,
  }
  const server = tls
    ? process.getBuiltinModule('node:https').createServer({
        ...settings,
        ...tls,
        minVersion: 'TLSv1.2',
        handshakeTimeout: limits.headTimeoutMs,
      })
    : createServer(settings)
  server.maxConnections = limits.connections
  const noteRequest = boundIdle(limits.idleConnections)
  server.on('request', (request, response) => {
    noteRequest(request, response)
    answerTo(request, response).then(
      (answer) => send(request, response, answer, limits),
      () => send(request, response, { status: 500, body: 'could not be put together\n' }, limits),
    )
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    const ofHandshake = /^ERR_(SSL|TLS)_/.test(error.code ?? '')
    if (error.code === 'ECONNRESET' || !(socket.writable || ofHandshake)) return void socket.destroy()
    const [why, status] = REFUSALS[error.code ?? ''] ?? (['malformed', 400] as const)
    refused(why)
    if (ofHandshake) return void socket.destroy() // what is written then never leaves
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\n\r\n`, () => socket.destroy())
  })

  async function answerTo(request: IncomingMessage, response: ServerResponse): Promise<Answer> {
    const named = request.headers.host === undefined ? undefined : hostnameIn(request.headers.host)
    if (named !== undefined && !mayBeCalled(named)) {
      refused('foreign-host')
      return { status: 403, body: FOREIGN_HOST }
    }
    const target = (request.url ?? '').replace(/^https?:\/\/[^/?]*/i, '') // RFC 9112 section 3.2.2
    const [path = '', query] = target.split('?', 2)
    const said = refusal(path, request)
    if (said !== undefined) {
      refused('forbidden')
      return said
    }
    const route = Object.hasOwn(routes, path) ? routes[path] : routes[`${path.slice(0, path.lastIndexOf('/'))}/*`]
    if (route === undefined) return notFound
    const gone = new AbortController()
    response.once('close', () => gone.abort())
    return route({
      method: request.method ?? '',
      path,
      lastEventId: request.headers['last-event-id']?.toString(),
      search: target.slice(path.length),
      query: new URLSearchParams(query),
      hostname: named || reachedAddress(request),
      acceptsGzip: acceptsGzip(request.headers['accept-encoding']),
      gone: gone.signal,
    })
  }

  return server
}

/** Closes the connection that has been idle for longest when more are idle than may be. @returns to be told of each request */
function boundIdle(most: number): (request: IncomingMessage, response: ServerResponse) => void {
  const underWay = new WeakMap<Socket, number>() // a client may send the next request before it has the answer
  const idle = new Set<Socket>() // in the order in which they became so
  return ({ socket }, response) => {
    if (!underWay.has(socket) && !idle.delete(socket)) socket.once('close', () => idle.delete(socket))
    underWay.set(socket, (underWay.get(socket) ?? 0) + 1)
    response.once('close', () => {
      const others = underWay.get(socket)! - 1
      if (others > 0) return void underWay.set(socket, others)
      underWay.delete(socket)
      if (socket.destroyed) return
      idle.add(socket)
      const [oldest] = idle
      if (idle.size > most) oldest?.destroy()
    })
  }
}

/** For what changes nothing and is big, or not for everybody to ask by any method. */
export function onlyRead(route: Route): Route {
  return (asked) =>
    asked.method === 'GET' || asked.method === 'HEAD'
      ? route(asked)
      : { status: 405, body: 'only GET and HEAD are answered here\n', headers: { Allow: 'GET, HEAD' } }
}

/** As Go's HTTP server says it. */
export function moved(location: string): Answer {
  const link = location.replace(/[&<>"']/g, (character) => ESCAPED[character] ?? '')
  const headers = { 'Content-Type': 'text/html; charset=utf-8', Location: location }
  return { status: 301, body: `<a href="${link}">Moved Permanently</a>.\n\n`, headers }
}

const ESCAPED: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&#34;', "'": '&#39;' }

const notFound: Answer = {
  status: 404,
  body: '404 page not found\n',
  headers: { 'X-Content-Type-Options': 'nosniff' },
}

const FOREIGN_HOST =
  'this port listens on a loopback address: call it by an IP address or as localhost, not by another name\n'

const REFUSALS: Readonly<Record<string, readonly [Refusal, number]>> = {
  HPE_HEADER_OVERFLOW: ['too-large', 431],
  ERR_HTTP_REQUEST_TIMEOUT: ['slow', 408],
  ERR_TLS_HANDSHAKE_TIMEOUT: ['slow', 408],
}

function send(
  request: IncomingMessage,
  response: ServerResponse,
  { status, body, headers, reader }: Answer,
  limits: typeof endpointLimits,
): void {
  const hasBody = request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length']) > 0
  if (hasBody) response.shouldKeepAlive = false // it is not read: the connection ends with the answer
  response.writeHead(status, {
    'Content-Type': 'text/plain; charset=utf-8',
    ...(reader ? {} : { 'Content-Length': Buffer.byteLength(body) }),
    ...headers,
  })
  if (!reader) return void response.end(body)
  reader(goOn(response, body, limits))
}

/** Whether gzip is named, or all codings are, and not with a weight of zero. Source: RFC 9110 section 12.5.3. */
function acceptsGzip(header: string | string[] | undefined): boolean {
  const codings = new Map(
    [header ?? []]
      .flat()
      .join(',')
      .toLowerCase()
      .split(',')
      .map((item) => item.split(';').map((part) => part.trim()))
      .map(([coding = '', ...parameters]) => [coding, !parameters.some((it) => /^q=0(\.0*)?$/.test(it))]),
  )
  return codings.get('gzip') ?? codings.get('*') ?? false
}

/** Of a Host header; empty when that is nonsense. */
function hostnameIn(host: string): string {
  const url = `http://${host}`
  return /^[^/?#@\\\s]+$/.test(host) && URL.canParse(url) ? new URL(url).hostname : ''
}

function reachedAddress(request: IncomingMessage): string {
  const address = request.socket.localAddress ?? ''
  return address.includes(':') ? `[${address}]` : address
}
