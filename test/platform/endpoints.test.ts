import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import {
  createEndpoints,
  endpointLimits,
  moved,
  onlyRead,
  type Refusal,
  type Routes,
} from '../../src/platform/endpoints.ts'
import type { Reader } from '../../src/platform/going-on.ts'
import { listen } from '../../src/platform/listen.ts'
import { makePki } from '../integration/certificates.ts'
import { eventually, within } from '../integration/deadline.ts'

const routes: Routes = {
  '/healthz': () => ({ status: 200, body: 'ok' }),
  '/echo': ({ query, hostname }) => ({ status: 200, body: `${hostname} ${query}`, headers: { 'X-Test': 'yes' } }),
  '/asked': ({ method, search }) => ({ status: 200, body: `${method} ${search}` }),
  '/gzip': ({ acceptsGzip }) => ({ status: 200, body: String(acceptsGzip) }),
  '/read': onlyRead(() => ({ status: 200, body: Buffer.from('read') })),
  '/broken': () => {
    throw new Error('canary')
  },
}

/** A server for one test, and raw conversations with it: all that it answers until it closes the connection. */
async function setup(
  t: Test,
  limits: Partial<typeof endpointLimits> = {},
  mayBeCalled?: (hostname: string) => boolean,
  served = routes,
) {
  const refusals: Refusal[] = []
  const server = createEndpoints(served, (why) => refusals.push(why), {
    limits: { ...endpointLimits, ...limits },
    ...(mayBeCalled && { mayBeCalled }),
  })
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const port = await listen(server, { flag: '--health-port', host: '127.0.0.1', port: 0 })
  const say = (...parts: string[]): Promise<string> => {
    const socket = connect(port, '127.0.0.1')
    t.teardown(() => socket.destroy())
    for (const part of parts) socket.write(part)
    return text(socket)
  }
  return { say, refusals, server, port }
}
const close = 'Connection: close\r\n'

/** The same over TLS; @returns opens a connection that says this, and waits until it is hung up on */
async function setupTls(t: Test, limits: Partial<typeof endpointLimits>) {
  const { server: leaf } = await makePki(t)
  const refusals: Refusal[] = []
  const server = createEndpoints(routes, (why) => refusals.push(why), {
    limits: { ...endpointLimits, ...limits },
    tls: { cert: leaf.cert, key: leaf.key },
  })
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  const port = await listen(server, { flag: '--admin-port', host: '127.0.0.1', port: 0 })
  const open = (bytes: Buffer | string = '') => {
    const socket = connect({ port, host: '127.0.0.1', allowHalfOpen: true }) // hangs up on nobody
    socket.on('error', () => undefined)
    t.teardown(() => socket.destroy())
    socket.write(bytes)
    socket.resume()
    return Promise.race([once(socket, 'end'), once(socket, 'close')])
  }
  return { open, refusals }
}

t.test('a TLS handshake that does not end is hung up on and counted', async (t) => {
  const { open, refusals } = await setupTls(t, { headTimeoutMs: 300, connections: 2 })
  const hello = Buffer.from('16030100c8010000c40303', 'hex') // the beginning of one
  for (let round = 0; round < 2; round++) {
    await within(Promise.all([open(), open(hello)]), 'who is slow is hung up on')
  }
  t.strictSame(refusals, ['slow', 'slow', 'slow', 'slow'])
})

t.test('a TLS handshake that is none is hung up on and counted', async (t) => {
  const { open, refusals } = await setupTls(t, {})
  await within(
    Promise.all([open('GET / HTTP/1.1\r\n\r\n'), open('nonsense, and more of that')]),
    'who speaks no TLS is hung up on',
  )
  await eventually(
    'both are counted',
    () => refusals,
    (counted) => counted.join() === 'malformed,malformed',
  )
})

/** A client that keeps its connection from one request to the next. */
function keptConnection(t: Test, port: number) {
  const socket = connect(port, '127.0.0.1')
  socket.on('error', () => undefined)
  t.teardown(() => socket.destroy())
  const send = (...paths: string[]): unknown =>
    socket.write(paths.map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''))
  const answer = async (): Promise<string> => String(await within(once(socket, 'data'), 'an answer'))
  return {
    closed: once(socket, 'close'),
    send,
    answer,
    ask(path: string): Promise<string> {
      send(path)
      return answer()
    },
  }
}

t.test('answers an exact path with a text, its length and its headers', async (t) => {
  const { say } = await setup(t)
  const answer = await say(`GET /healthz HTTP/1.1\r\nHost: x\r\n${close}\r\n`)
  t.match(answer, /^HTTP\/1\.1 200 OK\r\nContent-Type: text\/plain; charset=utf-8\r\nContent-Length: 2\r\n/)
  t.match(answer, /\r\n\r\nok$/)
  t.match(
    await say(`GET /echo?a=1&b HTTP/1.1\r\nHost: Name:80\r\n${close}\r\n`),
    /X-Test: yes\r\n[\s\S]*\r\n\r\nname a=1&b=$/,
  )
})

t.test('answers HEAD without the body', async (t) => {
  const { say } = await setup(t)
  t.match(
    await say(`HEAD /healthz HTTP/1.1\r\nHost: x\r\n${close}\r\n`),
    /^HTTP\/1\.1 200 [\s\S]*Content-Length: 2\r\n[\s\S]*\r\n\r\n$/,
  )
})

t.test('answers 404 to other paths', async (t) => {
  const { say } = await setup(t)
  for (const path of ['/', '/healthz/', '//healthz', '/__proto__', '/toString', 'http://x', 'http://x/none', '*']) {
    const answer = await say(`GET ${path} HTTP/1.1\r\nHost: x\r\n${close}\r\n`)
    t.match(answer, /^HTTP\/1\.1 404 [\s\S]*nosniff\r\n[\s\S]*\r\n\r\n404 page not found\n$/, path)
  }
})

t.test('answers the absolute form of a path', async (t) => {
  const { say } = await setup(t)
  for (const target of ['http://x/asked?a=1', 'HTTPS://x:80/asked?a=1']) {
    t.match(await say(`GET ${target} HTTP/1.1\r\nHost: x\r\n${close}\r\n`), /\r\n\r\nGET \?a=1$/)
  }
})

t.test('answers every method, but 405 where only reading makes sense', async (t) => {
  const { say } = await setup(t)
  for (const method of ['OPTIONS', 'POST', 'DELETE']) {
    t.match(await say(`${method} /asked HTTP/1.1\r\nHost: x\r\n${close}\r\n`), new RegExp(`\r\n\r\n${method} $`))
    t.match(
      await say(`${method} /read HTTP/1.1\r\nHost: x\r\n${close}\r\n`),
      /^HTTP\/1\.1 405 [\s\S]*Allow: GET, HEAD\r\n/,
    )
  }
  t.match(await say(`GET /read HTTP/1.1\r\nHost: x\r\n${close}\r\n`), /^HTTP\/1\.1 200 [\s\S]*\r\n\r\nread$/)
  t.match(await say(`HEAD /read HTTP/1.1\r\nHost: x\r\n${close}\r\n`), /^HTTP\/1\.1 200 /)
})

t.test('answers 403 to a client that calls it by a name that it may not, and counts it', async (t) => {
  const names: string[] = []
  const { say, refusals } = await setup(t, {}, (name) => {
    names.push(name)
    return name === 'localhost'
  })
  const status = async (host: string, path = '/healthz') =>
    (await say(`GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${close}\r\n`)).slice(9, 12)
  t.equal(await status('LocalHost:80'), '200')
  for (const host of ['rebound.example', 'a b', 'x@localhost', 'localhost/x', ''])
    t.equal(await status(host), '403', host)
  t.equal(await status('rebound.example', '/none'), '403', 'also where there is nothing')
  t.strictSame(names, ['localhost', 'rebound.example', '', '', '', '', 'rebound.example'])
  t.strictSame(new Set(refusals), new Set(['foreign-host']))
  t.match(await say('GET /healthz HTTP/1.0\r\n\r\n'), /^HTTP\/1\.1 200 /, 'no name at all is no foreign one')
})

t.test('tells a route when its client waits no longer', async (t) => {
  const { promise: gone, resolve } = Promise.withResolvers<void>()
  const server = createEndpoints(
    {
      '/slow': (asked) => {
        asked.gone.addEventListener('abort', () => resolve(), { once: true })
        return new Promise(() => {})
      },
    },
    () => {},
  )
  t.teardown(() => server.close())
  const port = await listen(server, { flag: '--admin-port', host: '127.0.0.1', port: 0 })
  const socket = connect(port, '127.0.0.1')
  socket.write('GET /slow HTTP/1.1\r\nHost: x\r\n\r\n')
  await once(server, 'request')
  socket.destroy()
  await within(gone, 'the route hears of it')
})

t.test('moves as the HTTP server of Go does', async (t) => {
  t.strictSame(moved('//[::1]:8093/metrics?a=<b>&"c"'), {
    status: 301,
    body: '<a href="//[::1]:8093/metrics?a=&lt;b&gt;&amp;&#34;c&#34;">Moved Permanently</a>.\n\n',
    headers: { 'Content-Type': 'text/html; charset=utf-8', Location: '//[::1]:8093/metrics?a=<b>&"c"' },
  })
})

t.test('tells whether the client takes gzip', async (t) => {
  const { say } = await setup(t)
  const codings = {
    gzip: true,
    'deflate, GZIP ;q=0.001': true,
    '*': true,
    'br, *;q=0': false,
    'gzip;q=0, *': false,
    'gzip; q=0.00': false,
    'x-gzip2, identity': false,
    '': false,
  }
  for (const [header, takes] of Object.entries(codings)) {
    const answer = await say(`GET /gzip HTTP/1.1\r\nHost: x\r\nAccept-Encoding: ${header}\r\n${close}\r\n`)
    t.equal(answer.split('\r\n').at(-1), String(takes), header)
  }
})

t.test('takes the hostname from the address when the client names none, or nonsense', async (t) => {
  const { say } = await setup(t)
  t.match(await say('GET /echo HTTP/1.0\r\n\r\n'), /\r\n\r\n127\.0\.0\.1 $/)
  t.match(await say(`GET /echo HTTP/1.1\r\nHost: a b\r\n${close}\r\n`), /\r\n\r\n127\.0\.0\.1 $/)
  t.match(await say(`GET /echo HTTP/1.1\r\nHost: [::1]:80\r\n${close}\r\n`), /\r\n\r\n\[::1\] $/)
})

t.test('keeps a connection between requests for longer than Prometheus does, which asks once a minute', async (t) => {
  const { port } = await setup(t)
  const client = keptConnection(t, port)
  t.match(await client.ask('/healthz'), /\r\nConnection: keep-alive\r\nKeep-Alive: timeout=600\r\n/)
  t.match(await client.ask('/healthz'), /^HTTP\/1\.1 200 /)
})

t.test('closes a connection that is idle for too long', async (t) => {
  const { port } = await setup(t, { idleMs: 100 })
  const client = keptConnection(t, port)
  await client.ask('/healthz')
  await within(client.closed, 'the end of the idle connection')
})

t.test(
  'closes whoever has been idle for longest when too many are, and nobody whose answer is under way',
  async (t) => {
    const answer = Promise.withResolvers<void>()
    const slow = async () => {
      await answer.promise
      return { status: 200, body: 'late' }
    }
    const { port } = await setup(t, { idleConnections: 2 }, undefined, { ...routes, '/slow': slow })
    const [first, second, third, busy] = [1, 2, 3, 4].map(() => keptConnection(t, port))
    await busy!.ask('/healthz')
    const late = busy!.ask('/slow')
    for (const client of [first, second, first, third]) await client!.ask('/healthz')
    await within(second!.closed, 'the end of the one that was idle for longest')
    answer.resolve()
    t.match(await late, /late$/)
    await within(first!.closed, 'the end of the next')
    for (const client of [third, busy]) t.match(await client!.ask('/healthz'), /^HTTP\/1\.1 200 /, 'is kept')
  },
)

t.test('answers 500 without the cause when an answer cannot be put together', async (t) => {
  const { say } = await setup(t)
  const answer = await say(`GET /broken HTTP/1.1\r\nHost: x\r\n${close}\r\n`)
  t.match(answer, /^HTTP\/1\.1 500 /)
  t.notMatch(answer, /canary/)
})

t.test('reads no body: the connection ends with the answer', async (t) => {
  const { say } = await setup(t)
  t.match(
    await say('GET /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\nabc'),
    /Connection: close\r\n[\s\S]*ok$/,
  )
  t.match(
    await say('GET /healthz HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n'),
    /Connection: close\r\n[\s\S]*ok$/,
  )
})

t.test('refuses and counts garbage', async (t) => {
  const { say, refusals } = await setup(t)
  t.equal(await say('\u0016\u0003\u0001 this is TLS\r\n\r\n'), 'HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n')
  t.strictSame(refusals, ['malformed'])
})

t.test('takes a head up to its limit, and refuses and counts a longer one', async (t) => {
  const { say, refusals } = await setup(t, { headBytes: 1_024 })
  const head = (bytes: number): string => `GET /healthz HTTP/1.1\r\nHost: x\r\n${close}X: ${'x'.repeat(bytes)}\r\n\r\n`
  t.match(await say(head(900)), /^HTTP\/1\.1 200 /)
  t.match(await say(head(1_100)), /^HTTP\/1\.1 431 /)
  t.strictSame(refusals, ['too-large'])
})

t.test('refuses and counts a client that says nothing, or half a head, for too long', async (t) => {
  const { say, refusals } = await setup(t, { headTimeoutMs: 50, requestTimeoutMs: 100, checkMs: 10 })
  t.match(await say(), /^HTTP\/1\.1 408 /)
  t.match(await say('GET /healthz HTTP/1.1\r\nHos'), /^HTTP\/1\.1 408 /)
  t.strictSame(refusals, ['slow', 'slow'])
})

t.test('holds no more connections than its limit', async (t) => {
  const { say, server, port } = await setup(t, { connections: 1 })
  const first = connect(port, '127.0.0.1')
  t.teardown(() => first.destroy())
  await once(server, 'connection')
  t.equal(await say(), '', 'closed without an answer')
  const gone = once(first, 'close')
  first.end('GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n').resume()
  await gone
  t.match(await say(`GET /healthz HTTP/1.1\r\nHost: x\r\n${close}\r\n`), /^HTTP\/1\.1 200 /, 'and there is room again')
})

t.test('a route that ends with an asterisk is for all right below it, and gets the path', async (t) => {
  const below: Routes = {
    '/v1/clusters/*': ({ path }) => ({ status: 200, body: path }),
    '/v1/clusters': () => ({ status: 200, body: 'all' }),
    '/debug/': () => ({ status: 200, body: 'index' }),
  }
  const { say } = await setup(t, {}, undefined, below)
  t.match(await say(`GET /v1/clusters/eu-1 HTTP/1.1\r\nHost: x\r\n${close}\r\n`), /\r\n\r\n\/v1\/clusters\/eu-1$/)
  t.match(await say(`GET /v1/clusters HTTP/1.1\r\nHost: x\r\n${close}\r\n`), /\r\n\r\nall$/)
  for (const path of ['/v1/clusters/eu-1/x', '/v1/', '/', '/constructor', '/__proto__/x', '/debug/nonsense']) {
    t.match(await say(`GET ${path} HTTP/1.1\r\nHost: x\r\n${close}\r\n`), /^HTTP\/1\.1 404 /, path)
  }
})

t.test('who may not ask for a path is told so before it is looked for', async (t) => {
  const server = createEndpoints(routes, () => undefined, {
    refusal: (path) => (path === '/healthz' ? undefined : { status: 403, body: `not ${path}` }),
  })
  t.teardown(() => server.close())
  const port = await listen(server, { flag: '--admin-port', host: '127.0.0.1', port: 0 })
  t.equal((await fetch(`http://127.0.0.1:${port}/healthz`)).status, 200)
  const refused = await fetch(`http://127.0.0.1:${port}/read`)
  t.strictSame([refused.status, await refused.text()], [403, 'not /read'])
  t.equal((await fetch(`http://127.0.0.1:${port}/nowhere`)).status, 403)
})

t.test('an answer that goes on goes on, until its reader leaves too much unread', async (t) => {
  const readers: Reader[] = []
  const goesOn: Routes = {
    '/events': ({ lastEventId, gone }) => ({
      status: 200,
      body: `since ${lastEventId}\n`,
      reader(reader) {
        readers.push(reader)
        gone.addEventListener('abort', () => readers.splice(readers.indexOf(reader), 1))
      },
    }),
  }
  const { port } = await setup(t, { readerBytes: 100_000 }, undefined, goesOn)
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  socket.on('error', () => undefined)
  socket.write('GET /events HTTP/1.1\r\nHost: x\r\nLast-Event-ID: a-7\r\n\r\n')
  let read = ''
  const until = (wanted: string): Promise<void> =>
    within(
      new Promise((resolve) => {
        socket.on('data', (bytes: Buffer) => {
          read += bytes.toString()
          if (read.includes(wanted)) resolve()
        })
      }),
      wanted,
    )
  await until('since a-7')
  t.notMatch(read, /content-length/i)
  readers[0]?.write('more\n')
  await until('more')
  socket.pause()
  const piece = 'x'.repeat(50_000)
  for (let count = 0; count < 1_000 && readers.length > 0; count++) {
    readers[0]?.write(piece)
    await new Promise(setImmediate)
  }
  t.equal(readers.length, 0, 'hung up on')
})
