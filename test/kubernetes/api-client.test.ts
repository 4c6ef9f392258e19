import { once } from 'node:events'
import t from 'tap'
import type { ApiAccess } from '../../src/kubernetes/access.ts'
import type { ApiRequest } from '../../src/kubernetes/api-client.ts'
import { ApiError } from '../../src/kubernetes/api-error.ts'
import { systemClock } from '../../src/platform/clock.ts'
import { closedPort } from '../integration/target.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { apiStandIn, clientOf, status } from './api-stand-in.ts'

const GET: ApiRequest = { what: 'get a thing', method: 'GET', path: '/api/thing' }
const errorOf = (work: Promise<unknown>): Promise<ApiError> =>
  work.then(
    () => {
      throw new Error('expected it to fail')
    },
    (error) => error as ApiError,
  )

t.test('asks with credentials and as JSON, below the path of the server', async (t) => {
  const { access, next } = await apiStandIn(t)
  const api = clientOf(t, { ...access, server: new URL('/k8s/clusters/c-1/', access.server) }, systemClock)
  const answer = api.request({ ...GET, method: 'POST', query: { labelSelector: 'a=b,c' }, body: { a: 'ä' } })
  const asked = await next()
  t.match(asked, {
    method: 'POST',
    path: '/k8s/clusters/c-1/api/thing',
    query: { labelSelector: 'a=b,c' },
    body: { a: 'ä' },
    headers: {
      authorization: 'Bearer ours',
      accept: 'application/json',
      'content-type': 'application/json',
      'user-agent': 'test/1',
    },
  })
  asked.answer(201, { b: 2 })
  t.strictSame(await answer, { b: 2 })
})

t.test('asks for credentials each time', async (t) => {
  const { access, next } = await apiStandIn(t)
  let number = 0
  const credentials: ApiAccess['credentials'] = async () => ({
    ...(await access.credentials()),
    headers: { authorization: `Bearer ${++number}` },
  })
  const api = clientOf(t, { ...access, credentials }, systemClock)
  for (const expected of ['Bearer 1', 'Bearer 2']) {
    const answer = api.request(GET)
    const asked = await next()
    t.equal(asked.headers.authorization, expected)
    asked.answer(200, {})
    await answer
  }
})

t.test('says what the API server said when it refuses, and what to do', async (t) => {
  const { access, next } = await apiStandIn(t)
  const api = clientOf(t, access, systemClock)
  const cases = [
    [
      403,
      status(403, 'Forbidden', 'leases is forbidden'),
      'Forbidden',
      /\(403\): leases is forbidden; docs\/kubernetes\.md says/,
    ],
    [401, status(401, 'Unauthorized', 'Unauthorized'), 'Unauthorized', /\(401\): Unauthorized; check the credentials/],
    [
      409,
      status(409, 'Conflict', 'the object has been modified'),
      'Conflict',
      /\(409\): the object has been modified$/,
    ],
    [500, '<html>bad gateway</html>', '', /\(500\): without a word$/],
    [502, '', '', /\(502\): without a word$/],
    [400, '[]', '', /\(400\): without a word$/],
    [404, { reason: 'MadeUp', message: 7 }, '', /\(404\): without a word$/],
    [422, status(422, 'Invalid', 'm'.repeat(9_999)), 'Invalid', /\(422\): m{300}$/],
    [302, '', '', /\(302\): without a word$/],
  ] as const
  for (const [code, body, reason, message] of cases) {
    const failed = errorOf(api.request(GET))
    ;(await next()).answer(code, body)
    const error = await failed
    t.ok(error instanceof ApiError)
    t.match(error, { status: code, reason, message })
    t.match(error.message, /^get a thing: the API server refused/)
  }
})

t.test('follows no redirect', async (t) => {
  const { access, next, count } = await apiStandIn(t)
  const failed = errorOf(clientOf(t, access, systemClock).request(GET))
  ;(await next()).response.writeHead(307, { location: `${access.server.origin}/elsewhere` }).end()
  t.match(await failed, { status: 307 })
  t.equal(count(), 1)
})

t.test('takes an answer of the longest length, and stops to read one that is longer', async (t) => {
  const limit = 8 * 2 ** 20
  const { access, next } = await apiStandIn(t)
  const api = clientOf(t, access, systemClock)
  const answer = api.request(GET)
  ;(await next()).answer(200, JSON.stringify('x'.repeat(limit - 2)))
  t.equal(((await answer) as string).length, limit - 2)

  const failed = errorOf(api.request(GET))
  const { response } = await next()
  const closed = once(response, 'close')
  response.on('error', () => undefined).writeHead(200)
  response.write(Buffer.alloc(limit + 1, 'x'))
  const error = await failed
  t.match(error.message, /no answer from .*: the answer is over the limit of 8388608 bytes/)
  t.equal(error.status, undefined)
  await closed
})

t.test('bounds what it reads of a refusal', async (t) => {
  const { access, next } = await apiStandIn(t)
  const failed = errorOf(clientOf(t, access, systemClock).request(GET))
  ;(await next()).answer(500, 'x'.repeat(65_537))
  t.match((await failed).message, /over the limit of 65536 bytes/)
})

t.test('says of an answer that is no JSON nothing but that', async (t) => {
  const { access, next } = await apiStandIn(t)
  const failed = errorOf(clientOf(t, access, systemClock).request(GET))
  ;(await next()).answer(200, '{"spec":{"token":"secret"')
  const error = await failed
  t.match(error.message, /: the answer is no JSON$/)
  t.notMatch(`${error.stack} ${JSON.stringify(error)}`, /secret/)
})

t.test('gives a request up at its deadline, wherever it waits', async (t) => {
  const { access, next } = await apiStandIn(t)
  const clock = manualClock()
  const api = clientOf(t, access, clock)

  const silent = errorOf(api.request(GET))
  await next()
  clock.advance(9_999)
  clock.advance(1)
  t.match((await silent).message, /not finished within 10000 ms/)

  const short = errorOf(api.request({ ...GET, timeoutMs: 500 }))
  const halfway = await next()
  halfway.response.writeHead(200).write('{')
  clock.advance(500)
  t.match((await short).message, /not finished within 500 ms/, 'in the middle of the answer')

  const never = clientOf(t, { ...access, credentials: () => new Promise(() => undefined) }, clock)
  const asking = errorOf(never.request(GET))
  await Promise.resolve()
  clock.advance(10_000)
  t.match((await asking).message, /not finished within 10000 ms/, 'for its credentials')
  t.equal(clock.waiting(), 0, 'no timer is left')
})

t.test('gives a request up when the caller does', async (t) => {
  const { access, next } = await apiStandIn(t)
  const stop = new AbortController()
  const failed = errorOf(clientOf(t, access, systemClock).request({ ...GET, signal: stop.signal }))
  const { response } = await next()
  const closed = once(response, 'close')
  stop.abort()
  t.ok((await failed) instanceof ApiError)
  await closed
})

t.test('says who did not answer, and what to check of certificates', async (t) => {
  const { access, port } = await apiStandIn(t)
  const tls = async () => ({ headers: {}, tls: {} })
  const unknown = await errorOf(clientOf(t, { ...access, credentials: tls }, systemClock).request(GET))
  t.match(
    unknown.message,
    new RegExp(`no answer from https://127\\.0\\.0\\.1:${port}: .*; check the server and the cert`),
  )
  const otherName = { ...access, server: new URL(`https://localhost:${port}`) }
  t.match((await errorOf(clientOf(t, otherName, systemClock).request(GET))).message, /; check the server and the cert/)
  const nobody = { ...access, server: new URL(`https://${await closedPort()}`) }
  const refused = await errorOf(clientOf(t, nobody, systemClock).request(GET))
  t.match(refused.message, /ECONNREFUSED/)
})

t.test('hands an error of the credentials on', async (t) => {
  const { access } = await apiStandIn(t)
  const credentials = () => Promise.reject(new Error('the plug-in is not there'))
  const error = await errorOf(clientOf(t, { ...access, credentials }, systemClock).request(GET))
  t.match(error.message, /the plug-in is not there/)
})

const watching = { what: 'watch things', path: '/api/things', watchMs: 60_000, opened: () => undefined }

t.test('gives the events of a watch one by one, wherever the network splits them', async (t) => {
  const { access, next } = await apiStandIn(t)
  const events: unknown[] = []
  let opened = 0
  const watch = clientOf(t, access, systemClock).watch({
    ...watching,
    query: { resourceVersion: '7' },
    opened: () => opened++,
    event: (event) => events.push(event),
  })
  const asked = await next()
  t.strictSame(asked.query, {
    resourceVersion: '7',
    watch: 'true',
    allowWatchBookmarks: 'true',
    timeoutSeconds: '60',
  })
  const { response } = asked
  response.writeHead(200).flushHeaders()
  const bytes = Buffer.from('{"a":"ä"}\n{"b":2}\n{"c":3}\n')
  for (const byte of bytes) {
    response.write(Buffer.of(byte))
    await new Promise((resolve) => setImmediate(resolve))
  }
  response.end()
  await watch
  t.strictSame(events, [{ a: 'ä' }, { b: 2 }, { c: 3 }])
  t.equal(opened, 1)
})

t.test('has a watch live as long as it was asked for and no longer', async (t) => {
  const { access, next } = await apiStandIn(t)
  const clock = manualClock()
  const seen = Promise.withResolvers<void>()
  const failed = errorOf(clientOf(t, access, clock).watch({ ...watching, event: () => seen.resolve() }))
  const { response } = await next()
  response.writeHead(200).write('{}\n')
  await seen.promise
  clock.advance(69_999)
  t.equal(clock.waiting(), 1)
  clock.advance(1)
  t.match((await failed).message, /not finished within 70000 ms/)
})

t.test('refuses an event that is too long, and one that is no JSON', async (t) => {
  const { access, next } = await apiStandIn(t)
  const api = clientOf(t, access, systemClock)
  for (const [line, message] of [
    [Buffer.alloc(8 * 2 ** 20 + 1, 'x'), /an event is over the limit of 8388608 bytes/],
    ['{"type":\n', /the answer is no JSON/],
  ] as const) {
    const failed = errorOf(api.watch({ ...watching, event: () => t.fail('an event') }))
    const { response } = await next()
    response
      .on('error', () => undefined)
      .writeHead(200)
      .write(line)
    t.match((await failed).message, message)
  }
})

t.test('tells of a watch that breaks off', async (t) => {
  const { access, next } = await apiStandIn(t)
  const failed = errorOf(clientOf(t, access, systemClock).watch({ ...watching, event: () => undefined }))
  const { response } = await next()
  response.writeHead(200).write('{}\n{')
  await new Promise((resolve) => setImmediate(resolve))
  response.destroy()
  t.match((await failed).message, /no answer from/)
})

t.test('asks again on another connection where the API server has closed the last', async (t) => {
  const { access, next } = await apiStandIn(t)
  const api = clientOf(t, access, systemClock)
  for (let round = 0; round < 3; round++) {
    const answer = api.request(GET)
    const asked = await next()
    asked.response.setHeader('connection', 'close')
    asked.answer(200, { round })
    t.strictSame(await answer, { round })
  }
})
