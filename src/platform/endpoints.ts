/** A small HTTP/1.1 server for people and probes: exact paths, answers in one piece, nothing read without a bound. */
import { createServer, type IncomingMessage, type Server, type ServerResponse, STATUS_CODES } from 'node:http'

export type Answer = {
  readonly status: number
  readonly body: string
  /** Default plain text. */
  readonly headers?: Readonly<Record<string, string>>
}
export type Asked = {
  readonly query: URLSearchParams
  /** The address that the client used, without port; an IPv6 address in brackets. */
  readonly hostname: string
}
/** By path. */
export type Routes = Readonly<Record<string, (asked: Asked) => Answer | Promise<Answer>>>
/** Why a request was not even looked at. */
export type Refusal = 'malformed' | 'too-large' | 'slow'

export const endpointLimits = {
  headBytes: 16_384,
  headTimeoutMs: 10_000,
  /** From the first byte of a request to its last. */
  requestTimeoutMs: 30_000,
  connections: 256,
  /** How late a timeout may be noticed. */
  checkMs: 1_000,
}

/** The caller listens and closes. @param refused counts what was no request */
export function createEndpoints(routes: Routes, refused: (why: Refusal) => void, limits = endpointLimits): Server {
  const server = createServer({
    maxHeaderSize: limits.headBytes,
    headersTimeout: limits.headTimeoutMs,
    requestTimeout: limits.requestTimeoutMs,
    connectionsCheckingInterval: limits.checkMs,
  })
  server.maxConnections = limits.connections
  server.on('request', (request, response) => {
    answerTo(request, routes).then(
      (answer) => send(request, response, answer),
      () => send(request, response, { status: 500, body: 'could not be put together\n' }),
    )
  })
  server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
    const [why, status] = REFUSALS[error.code ?? ''] ?? (['malformed', 400] as const)
    refused(why)
    socket.end(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nConnection: close\r\n\r\n`, () => socket.destroy())
  })
  return server
}

const REFUSALS: Readonly<Record<string, readonly [Refusal, number]>> = {
  HPE_HEADER_OVERFLOW: ['too-large', 431],
  ERR_HTTP_REQUEST_TIMEOUT: ['slow', 408],
}

async function answerTo(request: IncomingMessage, routes: Routes): Promise<Answer> {
  const [path = '', query] = (request.url ?? '').split('?', 2)
  const route = routes[path]
  if (route === undefined) return { status: 404, body: '404 page not found\n' }
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    return { status: 405, body: 'only GET and HEAD are answered here\n', headers: { Allow: 'GET, HEAD' } }
  }
  return route({ query: new URLSearchParams(query), hostname: hostnameOf(request) })
}

function send(request: IncomingMessage, response: ServerResponse, { status, body, headers }: Answer): void {
  const hasBody = request.headers['transfer-encoding'] !== undefined || Number(request.headers['content-length']) > 0
  if (hasBody) response.shouldKeepAlive = false // it is not read: the connection ends with the answer
  response.writeHead(status, {
    'Content-Type': 'text/plain; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    ...headers,
  })
  response.end(body)
}

/** From the Host header; a client that sends none, or nonsense, gets the address that it reached. */
function hostnameOf(request: IncomingMessage): string {
  const host = request.headers.host
  if (host && URL.canParse(`http://${host}`)) return new URL(`http://${host}`).hostname
  const address = request.socket.localAddress ?? ''
  return address.includes(':') ? `[${address}]` : address
}
