/** Two pairs of real sockets, joined in the middle: client — [a, b] — backend. */
import { connect, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { type SpliceEnd, splice } from '../../src/sni-router/splice.ts'
import { readBytes } from '../integration/client.ts'
import { event, eventually, within } from '../integration/deadline.ts'

const NEVER = { idleTimeoutMs: 0, halfClosedTimeoutMs: 1_000_000 }

/** The two ends of one connection. */
async function pair(t: Test): Promise<[Socket, Socket]> {
  const server = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1')
  await event(server, 'listening')
  const taken = event<Socket>(server, 'connection')
  const outer = connect({ ...(server.address() as { port: number }), host: '127.0.0.1', allowHalfOpen: true })
  await event(outer, 'connect')
  const inner = await taken
  server.close()
  for (const socket of [outer, inner]) {
    socket.on('error', () => undefined)
    t.teardown(() => socket.destroy())
  }
  return [outer, inner]
}

async function joined(t: Test) {
  const [client, a] = await pair(t)
  const [backend, b] = await pair(t)
  const bytes = { fromClients: 0, toClients: 0 }
  const { promise, resolve } = Promise.withResolvers<SpliceEnd>()
  const join = splice(a, b, bytes, 0, resolve)
  return { client, backend, a, b, bytes, join, over: () => within(promise, 'the end of both') }
}
const isPaused = (socket: Socket): Promise<unknown> =>
  eventually(
    'it is read no more',
    () => socket.isPaused(),
    (isPaused) => isPaused,
  )

t.test('passes bytes on and counts them, and lets each direction end by itself', async (t) => {
  const { client, backend, bytes, over } = await joined(t)
  const there = readBytes(backend, 5)
  client.end('there')
  t.equal((await there).toString(), 'there')
  await event(backend.resume(), 'end')
  const back = readBytes(client, 4)
  backend.end('back')
  t.equal((await back).toString(), 'back')
  t.equal(await over(), 'finished')
  t.strictSame(bytes, { fromClients: 5, toClients: 4 })
})

t.test('a side that breaks breaks the other', async (t) => {
  for (const who of ['client', 'backend'] as const) {
    const ends = await joined(t)
    const [one, other] = who === 'client' ? [ends.client, ends.backend] : [ends.backend, ends.client]
    const closed = within(new Promise((resolve) => other.once('close', resolve)), 'a reset')
    other.resume()
    one.resetAndDestroy()
    await closed
    t.equal(await ends.over(), 'reset')
  }
})

t.test('reads no more than the other side takes, and goes on when it does', async (t) => {
  const { client, backend, a, b } = await joined(t)
  backend.pause()
  const whole = Buffer.alloc(32 * 2 ** 20, 'whole')
  client.end(whole)
  await isPaused(a)
  t.ok(b.writableLength < 2 ** 20, `${b.writableLength} bytes`)
  t.ok((await readBytes(backend, whole.length)).equals(whole))
})

t.test('silence ends it only where it may, and what moves is no silence', async (t) => {
  const never = await joined(t)
  never.join.look(1_000_000_000, NEVER)
  t.notOk(never.a.destroyed)
  never.join.breakOff('shutdown')
  t.equal(await never.over(), 'shutdown')

  const { client, backend, join, over, a } = await joined(t)
  const limits = { idleTimeoutMs: 500, halfClosedTimeoutMs: 1_000_000 }
  join.look(499, limits)
  const there = readBytes(backend, 1)
  client.write('x')
  await there
  join.look(600, limits)
  join.look(1_099, limits)
  t.notOk(a.destroyed)
  join.look(1_100, limits)
  t.equal(await over(), 'idle')

  const half = await joined(t)
  half.client.end()
  await event(half.backend.resume(), 'end')
  half.join.look(999_999, { ...NEVER, idleTimeoutMs: 0 })
  t.notOk(half.a.destroyed)
  half.join.look(1_000_000, NEVER)
  t.equal(await half.over(), 'half-closed')
})

t.test('who is not read and has gone is found by a look', async (t) => {
  const { client, backend, a, join, over } = await joined(t)
  backend.pause()
  client.write(Buffer.alloc(32 * 2 ** 20))
  await isPaused(a)
  client.resetAndDestroy()
  await eventually(
    'the look finds out',
    () => {
      join.look(0, NEVER)
      return a.destroyed
    },
    (isDestroyed) => isDestroyed,
  )
  t.equal(await over(), 'reset')
})
