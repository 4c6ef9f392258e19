import { once } from 'node:events'
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'
import t, { type Test } from 'tap'
import { createEndpoints, endpointLimits, type Refusal, type Routes } from '../../src/platform/endpoints.ts'
import { listen } from '../../src/platform/listen.ts'

const routes: Routes = {
  '/healthz': () => ({ status: 200, body: 'ok' }),
  '/echo': ({ query, hostname }) => ({ status: 200, body: `${hostname} ${query}`, headers: { 'X-Test': 'yes' } }),
  '/broken': () => {
    throw new Error('canary')
  },
}

/** A server for one test, and raw conversations with it: all that it answers until it closes the connection. */
async function setup(t: Test, limits: Partial<typeof endpointLimits> = {}) {
  const refusals: Refusal[] = []
  const server = createEndpoints(routes, (why) => refusals.push(why), { ...endpointLimits, ...limits })
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

t.test('answers 404 to other paths and 405 to other methods', async (t) => {
  const { say } = await setup(t)
  for (const path of ['/', '/healthz/', '//healthz', '/__proto__', '/toString', 'http://x/healthz', '*']) {
    t.match(await say(`GET ${path} HTTP/1.1\r\nHost: x\r\n${close}\r\n`), /^HTTP\/1\.1 404 /, path)
  }
  t.match(
    await say(`DELETE /healthz HTTP/1.1\r\nHost: x\r\n${close}\r\n`),
    /^HTTP\/1\.1 405 [\s\S]*Allow: GET, HEAD\r\n/,
  )
})

t.test('takes the hostname from the address when the client names none, or nonsense', async (t) => {
  const { say } = await setup(t)
  t.match(await say('GET /echo HTTP/1.0\r\n\r\n'), /\r\n\r\n127\.0\.0\.1 $/)
  t.match(await say(`GET /echo HTTP/1.1\r\nHost: a b\r\n${close}\r\n`), /\r\n\r\n127\.0\.0\.1 $/)
  t.match(await say(`GET /echo HTTP/1.1\r\nHost: [::1]:80\r\n${close}\r\n`), /\r\n\r\n\[::1\] $/)
})

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
