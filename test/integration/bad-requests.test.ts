/** What is no good CONNECT: each gets its own answer, is counted, and a tunnel that is open beside it goes on. */
import t from 'tap'
import { makePki } from './certificates.ts'
import { ask, connectFrontend, connectHead, ESTABLISHED, echoOver, openTunnel, readAll, readAnswer } from './client.ts'
import { counts, figureBecomes } from './figures.ts'
import { echo, listenTarget } from './target.ts'
import { startTunnels } from './tunnel.ts'

type Bad = {
  readonly what: string
  readonly bytes: string
  readonly status: number
  /** As it is counted. */
  readonly why: string
  readonly reason: RegExp
}

const connectTo = (target: string): string => connectHead(target)
const withField = (field: string): string => `CONNECT 10.0.0.1:443 HTTP/1.1\r\n${field}\r\n\r\n`
const port = { status: 400, why: 'port', reason: /^Bad Request: expected a port from 1 to 65535/ }
const body = { status: 400, why: 'body', reason: /^Bad Request: a CONNECT must not have/ }
const large = { status: 431, why: 'too_large', reason: /over the limit of 16384 bytes$/ }

const bad: readonly Bad[] = [
  {
    what: 'another method',
    bytes: 'GET http://10.0.0.1/ HTTP/1.1\r\nHost: 10.0.0.1\r\n\r\n',
    status: 405,
    why: 'method',
    reason: /^Method Not Allowed$/,
  },
  {
    what: 'a first line that is none',
    bytes: 'hello there\r\n\r\n',
    status: 400,
    why: 'malformed',
    reason: /not "CONNECT/,
  },
  { what: 'a field without a colon', bytes: withField('Host'), status: 400, why: 'malformed', reason: /name: value/ },
  { what: 'a bare line feed', bytes: 'CONNECT a:1 HTTP/1.1\n\n', status: 400, why: 'line_end', reason: /CR LF/ },
  {
    what: 'a control byte',
    bytes: 'CONNECT \0:1 HTTP/1.1\r\n\r\n',
    status: 400,
    why: 'control_byte',
    reason: /control byte/,
  },
  { what: 'a folded line', bytes: withField('A: b\r\n c'), status: 400, why: 'folded_line', reason: /folded lines/ },
  {
    what: 'two Host fields',
    bytes: withField('Host: a\r\nHost: b'),
    status: 400,
    why: 'repeated_host',
    reason: /Host/,
  },
  {
    what: 'HTTP/2',
    bytes: 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    status: 400,
    why: 'version',
    reason: /began with HTTP\/2/,
  },
  { what: 'another version', bytes: 'CONNECT a:1 HTTP/3.0\r\n\r\n', status: 505, why: 'version', reason: /HTTP\/3.0/ },
  { what: 'Transfer-Encoding', bytes: withField('Transfer-Encoding: chunked'), ...body },
  { what: 'a body', bytes: `${withField('Content-Length: 5')}hello`, ...body },
  {
    what: 'an absolute target',
    bytes: connectTo('http://10.0.0.1:80/'),
    status: 400,
    why: 'target',
    reason: /not a URL/,
  },
  { what: 'an address that is none', bytes: connectTo('[::g]:80'), status: 400, why: 'target', reason: /not an IPv6/ },
  {
    what: 'a target without a port',
    bytes: connectTo('10.0.0.1'),
    status: 502,
    why: 'port',
    reason: /^dial tcp: address 10\.0\.0\.1: missing port in address$/,
  },
  { what: 'port 0', bytes: connectTo('10.0.0.1:0'), ...port },
  {
    what: 'port 70000',
    bytes: connectTo('10.0.0.1:70000'),
    status: 502,
    why: 'port',
    reason: /^dial tcp: address 70000: invalid port$/,
  },
  { what: 'a field of 16 KiB', bytes: withField(`Padding: ${'x'.repeat(16_384)}`), ...large },
  { what: 'a head without an end', bytes: 'x'.repeat(20_000), ...large },
  {
    what: 'more than 100 fields',
    bytes: withField(Array.from({ length: 101 }, (_, index) => `A${index}: b`).join('\r\n')),
    status: 431,
    why: 'too_many_fields',
    reason: /more than 100 header fields/,
  },
]

const pki = await makePki(t)
const target = await listenTarget(t, echo)

/** Short, for a head that is slow, and longer than a busy machine takes for one that comes byte by byte. */
const HEAD_TIMEOUT = '3s'
const tunnels = await startTunnels(t, { pki, flags: [`--connect-head-timeout=${HEAD_TIMEOUT}`] })
const open = await Promise.all(tunnels.map(({ server }) => openTunnel(server, target.address)))
t.teardown(() => open.forEach((socket) => void socket.destroy()))

for (const [index, { server }] of tunnels.entries()) {
  const { transport } = server
  const beside = open[index]!

  for (const { what, bytes, status, why, reason } of bad) {
    t.test(`${transport}: ${what} is answered with ${status}`, async (t) => {
      await counts(server, `culvert_server_refused_heads_total{why="${why}"}`, 1, async () => {
        const answer = await ask(server, bytes)
        t.match(answer, { status, reason, headers: { connection: 'close' } })
        t.match(answer.headers['proxy-status'], /^culvert; error=http_request_error; details="/)
      })
      await echoOver(beside, what)
    })
  }

  t.test(`${transport}: a head that does not come to its end in time is answered with 408`, async (t) => {
    await counts(server, 'culvert_server_refused_heads_total{why="slow"}', 1, async () => {
      const socket = await connectFrontend(server)
      socket.write('CONNECT 10.0.0.1:443 HT')
      const { status, reason } = readAnswer((await readAll(socket)).toString())
      t.strictSame(
        { status, reason },
        { status: 408, reason: 'Request Timeout: the request head did not arrive in time' },
      )
      socket.destroy()
    })
    await echoOver(beside, 'slow')
  })

  t.test(`${transport}: a client that ends before its head does is let go`, async (t) => {
    const socket = await connectFrontend(server)
    socket.end('CONNECT 10.0.0.1:443 HT')
    t.equal((await readAll(socket)).length, 0)
    socket.destroy()
    await figureBecomes(server, 'konnectivity_network_proxy_server_http_connections', 1)
    await echoOver(beside, 'gone')
  })

  t.test(`${transport}: a head that comes byte by byte, and one of HTTP/1.0 without fields, are good`, async (t) => {
    for (const [head, version] of [
      [connectHead(target.address), 'in pieces'],
      [`CONNECT ${target.address} HTTP/1.0\r\n\r\n`, 'of HTTP/1.0'],
    ] as const) {
      const socket = await connectFrontend(server)
      for (const byte of head) await new Promise((sent) => socket.write(byte, sent))
      socket.end('hello')
      t.equal((await readAll(socket)).toString(), `${ESTABLISHED}hello`, version)
      socket.destroy()
    }
  })
}
