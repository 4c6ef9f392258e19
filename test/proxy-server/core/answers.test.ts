import { type IncomingMessage, request } from 'node:http'
import { duplexPair } from 'node:stream'
import t from 'tap'
import { answer, established, type Failure } from '../../../src/proxy-server/core/answers.ts'
import { readConnectHead } from '../../../src/proxy-server/core/connect-head.ts'

const text = (failure: Failure): string => answer(failure).toString('latin1')
const statusLine = (failure: Failure): string => text(failure).split('\r\n', 1)[0] ?? ''
const proxyStatus = (failure: Failure): string => /^Proxy-Status: (.*)\r$/m.exec(text(failure))?.[1] ?? 'none'
const dialError = (agentText: string): Failure => ({ kind: 'dial-error', text: agentText })
const refusedHead = (head: string): Failure => {
  const read = readConnectHead(Buffer.from(head), 16)
  if (read.kind !== 'refused') throw new Error(`not refused: ${read.kind}`)
  return read
}

t.test('answers a dial that succeeded without a single header field', async (t) => {
  t.equal(established.toString(), 'HTTP/1.1 200 Connection Established\r\n\r\n')
})

const golden: readonly (readonly [Failure, string])[] = [
  [
    { kind: 'no-agent' },
    'HTTP/1.1 500 currently no tunnels available: No agent available\r\nContent-Type: text/plain\r\n' +
      'Proxy-Status: culvert; error=destination_unavailable; details="currently no tunnels available: No agent available"\r\n' +
      '\r\ncurrently no tunnels available: No agent available',
  ],
  [
    dialError('dial tcp 10.0.0.1:80: connect: connection refused'),
    'HTTP/1.1 502 dial tcp 10.0.0.1:80: connect: connection refused\r\nConnection: close\r\n' +
      'Content-Type: text/plain; charset=utf-8\r\n' +
      'Proxy-Status: culvert; error=connection_refused; details="dial tcp 10.0.0.1:80: connect: connection refused"\r\n' +
      '\r\ndial tcp 10.0.0.1:80: connect: connection refused',
  ],
  [
    { kind: 'dial-timeout' },
    'HTTP/1.1 504 Backend dial timeout: timed out waiting for backend dial\r\nContent-Type: text/plain; charset=utf-8\r\n' +
      'Proxy-Status: culvert; error=connection_timeout; details="Backend dial timeout: timed out waiting for backend dial"\r\n' +
      '\r\nBackend dial timeout: timed out waiting for backend dial\r\n',
  ],
  [
    { kind: 'agent-lost', cause: 'context canceled' },
    'HTTP/1.1 502 Backend context error: context canceled\r\nContent-Type: text/plain; charset=utf-8\r\n' +
      'Proxy-Status: culvert; error=connection_terminated; details="Backend context error: context canceled"\r\n' +
      '\r\nBackend context error: context canceled\r\n',
  ],
  [
    { kind: 'forbidden', cause: 'CERT_HAS_EXPIRED' },
    'HTTP/1.1 403 Forbidden: client certificate not accepted: CERT_HAS_EXPIRED\r\nConnection: close\r\n' +
      'Content-Type: text/plain; charset=utf-8\r\nProxy-Status: culvert; error=http_request_denied; ' +
      'details="Forbidden: client certificate not accepted: CERT_HAS_EXPIRED"\r\n' +
      '\r\n403 Forbidden: client certificate not accepted: CERT_HAS_EXPIRED',
  ],
  [
    { kind: 'denied', text: 'not allowed by the policy of the cluster: no rule allows it' },
    'HTTP/1.1 403 Forbidden: not allowed by the policy of the cluster: no rule allows it\r\nConnection: close\r\n' +
      'Content-Type: text/plain; charset=utf-8\r\nProxy-Status: culvert; error=http_request_denied; ' +
      'details="Forbidden: not allowed by the policy of the cluster: no rule allows it"\r\n' +
      '\r\n403 Forbidden: not allowed by the policy of the cluster: no rule allows it',
  ],
  [
    { kind: 'too-many-dials' },
    'HTTP/1.1 503 Service Unavailable: too many dials are pending\r\nConnection: close\r\n' +
      'Content-Type: text/plain; charset=utf-8\r\nRetry-After: 1\r\nProxy-Status: culvert; error=connection_limit_reached; ' +
      'details="Service Unavailable: too many dials are pending"\r\n' +
      '\r\n503 Service Unavailable: too many dials are pending',
  ],
  [
    { kind: 'cluster-limit', status: 429, text: 'cluster eu-1 is at its limit of 7 dials a second' },
    'HTTP/1.1 429 Too Many Requests: cluster eu-1 is at its limit of 7 dials a second\r\nConnection: close\r\n' +
      'Content-Type: text/plain; charset=utf-8\r\nRetry-After: 1\r\nProxy-Status: culvert; error=connection_limit_reached; ' +
      'details="Too Many Requests: cluster eu-1 is at its limit of 7 dials a second"\r\n' +
      '\r\n429 Too Many Requests: cluster eu-1 is at its limit of 7 dials a second',
  ],
  [
    { kind: 'slow-head' },
    'HTTP/1.1 408 Request Timeout: the request head did not arrive in time\r\nContent-Type: text/plain; charset=utf-8\r\n' +
      'Connection: close\r\nProxy-Status: culvert; error=http_request_error; ' +
      'details="Request Timeout: the request head did not arrive in time"\r\n' +
      '\r\n408 Request Timeout',
  ],
  [
    refusedHead('GET / HTTP/1.1\r\n'),
    'HTTP/1.1 405 Method Not Allowed\r\nContent-Type: text/plain; charset=utf-8\r\nX-Content-Type-Options: nosniff\r\n' +
      'Allow: CONNECT\r\nConnection: close\r\nContent-Length: 45\r\n' +
      'Proxy-Status: culvert; error=http_request_error; details="Method Not Allowed"\r\n' +
      '\r\nthis proxy only supports CONNECT passthrough\n',
  ],
  [
    refusedHead('CONNECT\r\n'),
    'HTTP/1.1 400 Bad Request: the first line is not "CONNECT host:port HTTP/1.1"\r\n' +
      'Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\nProxy-Status: culvert; error=http_request_error; ' +
      'details="Bad Request: the first line is not \\"CONNECT host:port HTTP/1.1\\""\r\n' +
      '\r\n400 Bad Request',
  ],
  [
    refusedHead('CONNECT a:80 HTTP/1.1'),
    'HTTP/1.1 431 Request Header Fields Too Large: the request head is over the limit of 16 bytes\r\n' +
      'Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\nProxy-Status: culvert; error=http_request_error; ' +
      'details="Request Header Fields Too Large: the request head is over the limit of 16 bytes"\r\n' +
      '\r\n431 Request Header Fields Too Large',
  ],
  [
    { kind: 'refused', status: 502, why: 'port', detail: 'dial tcp: address 10.0.0.1: missing port in address' },
    'HTTP/1.1 502 dial tcp: address 10.0.0.1: missing port in address\r\nConnection: close\r\n' +
      'Content-Type: text/plain; charset=utf-8\r\nProxy-Status: culvert; error=http_request_error; ' +
      'details="dial tcp: address 10.0.0.1: missing port in address"\r\n' +
      '\r\ndial tcp: address 10.0.0.1: missing port in address',
  ],
  [
    { kind: 'refused', status: 505, why: 'version', detail: 'no' },
    'HTTP/1.1 505 HTTP Version Not Supported: no\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n' +
      'Proxy-Status: culvert; error=http_request_error; details="HTTP Version Not Supported: no"\r\n' +
      '\r\n505 HTTP Version Not Supported: unsupported protocol version',
  ],
]

t.test('answers each failure with these bytes', async (t) => {
  for (const [failure, bytes] of golden) t.equal(text(failure), bytes, failure.kind)
})

t.test('tells from the agent’s words what went wrong, timeouts before descriptors before the rest', async (t) => {
  const words: readonly (readonly [agentText: string, status: number, error: string])[] = [
    ['dial tcp 10.0.0.1:80: i/o timeout', 504, 'connection_timeout'],
    ['dial tcp 10.0.0.1:80: I/O Timeout after too many open files', 504, 'connection_timeout'],
    ['context deadline exceeded', 504, 'connection_timeout'],
    ['net/http: TLS handshake timeout', 504, 'connection_timeout'],
    ['dial tcp: lookup a.example: i/o timeout', 504, 'dns_timeout'],
    ['dial tcp 10.0.0.1:80: socket: too many open files', 503, 'proxy_internal_error'],
    ['connection refused: Too Many Open Files', 503, 'proxy_internal_error'],
    ['dial tcp 10.0.0.1:80: connect: connection refused', 502, 'connection_refused'],
    ['read tcp 10.0.0.1:80: read: connection reset by peer', 502, 'connection_terminated'],
    ['dial tcp 10.0.0.1:80: connect: network is unreachable', 502, 'destination_ip_unroutable'],
    ['dial tcp 10.0.0.1:80: connect: no route to host', 502, 'destination_ip_unroutable'],
    ['dial tcp: lookup nosuch.invalid on 10.0.0.2:53: no such host', 502, 'dns_error'],
    ['dial tcp: lookup a.example: read udp 10.0.0.1:5: connection refused', 502, 'dns_error'],
    ['dial tcp 169.254.1.1:80: link-local addresses are not allowed by this agent', 502, 'destination_ip_prohibited'],
    ['x509: certificate has expired', 502, 'destination_unavailable'],
    ['something else', 502, 'destination_unavailable'],
  ]
  for (const [agentText, status, error] of words) {
    t.equal(statusLine(dialError(agentText)), `HTTP/1.1 ${status} ${agentText}`)
    t.match(proxyStatus(dialError(agentText)), new RegExp(`^culvert; error=${error}; details="`), agentText)
  }
})

t.test('lets no text of an agent break out of the status line or of the structured field', async (t) => {
  const evil = dialError('\r\nconnection\r\n\r\n refused\0\t"\\\x7f caf\u00e9 \u{1f600}\n')
  t.equal(statusLine(evil), 'HTTP/1.1 502 connection refused? "\\? caf? ??')
  t.equal(proxyStatus(evil), 'culvert; error=destination_unavailable; details="connection refused? \\"\\\\? caf? ??"')
  t.equal(text(evil).split('\r\n\r\n', 1)[0]?.split('\r\n').length, 4, 'a status line and three fields')
})

t.test('falls back to the standard phrase when an agent says nothing that can be shown', async (t) => {
  for (const nothing of ['', '\r\n', ' \t ']) {
    t.equal(statusLine(dialError(nothing)), 'HTTP/1.1 502 Bad Gateway')
    t.match(proxyStatus(dialError(nothing)), /details="Bad Gateway"$/)
  }
})

t.test('shows 200 bytes of an error in the status line, 4096 characters in the body, and no more', async (t) => {
  const long = text(dialError('x'.repeat(4_000_000)))
  t.equal(long.slice(0, long.indexOf('\r\n')), `HTTP/1.1 502 ${'x'.repeat(200)}`)
  t.equal(long.slice(long.indexOf('\r\n\r\n') + 4), 'x'.repeat(4096))
  t.equal(statusLine(dialError('y'.repeat(200))), `HTTP/1.1 502 ${'y'.repeat(200)}`)
})

t.test('is read by an HTTP client as the status, reason, fields and body that were meant', async (t) => {
  for (const [failure, bytes] of golden) {
    const [end, clientEnd] = duplexPair()
    const asked = request({ createConnection: () => clientEnd, method: 'POST' })
    asked.end()
    end.end(answer(failure))
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      asked.once('response', resolve).once('error', reject)
    })
    let body = ''
    for await (const chunk of response) body += chunk
    t.equal(`HTTP/1.1 ${response.statusCode} ${response.statusMessage}`, statusLine(failure))
    t.equal(response.headers['proxy-status'], proxyStatus(failure))
    t.equal(body, bytes.slice(bytes.indexOf('\r\n\r\n') + 4))
  }
})
