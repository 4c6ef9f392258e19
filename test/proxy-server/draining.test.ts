import { getEventListeners } from 'node:events'
import { createServer } from 'node:net'
import t from 'tap'
import type { AgentStream } from '../../src/proxy-server/agent-stream-owner.ts'
import type { Dialing } from '../../src/proxy-server/dialing.ts'
import { drain, watchDials, watchTaken } from '../../src/proxy-server/draining.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A server whose frontend is as busy as the test says; what it is told to do is kept in order. */
function setup(options: { timeoutMs?: number; quietMs?: number } = {}) {
  const clock = manualClock()
  const log = recordedLog()
  const asked: unknown[] = []
  const [first, second] = [new AbortController(), new AbortController()]
  const world = {
    open: 0,
    leaving: 0,
    lastDialMs: Number.NEGATIVE_INFINITY,
    lastCallMs: Number.NEGATIVE_INFINITY,
    lastTakenMs: Number.NEGATIVE_INFINITY,
    over: false,
  }
  const frontend = {
    server: createServer(),
    close: async () => void asked.push('close frontend'),
    renew: () => undefined,
    take: () => undefined,
    count: () => world.open,
    busy: () => world.open > 0,
    goAway: () => asked.push('go away'),
    lastCallMs: () => world.lastCallMs,
    lastTakenMs: () => world.lastTakenMs,
    dismissIdle: () => asked.push('dismiss idle'),
    leaving: () => world.leaving,
    destroyAll: () => undefined,
  }
  const session = { goAway: (...notice: unknown[]) => asked.push(['agent', ...notice]) }
  first.abort('SIGTERM')
  const start = (): Promise<void> =>
    drain(
      { timeoutMs: 25_000, quietMs: 2_000, ...options },
      { clock, log, shutdown: { drain: first.signal, now: second.signal, [Symbol.dispose]: () => undefined } },
      {
        agents: { renew: () => undefined, take: () => undefined, close: () => asked.push('close agents') },
        agentPort: { close: () => asked.push('close agent port') } as never,
        connected: () => [{ session } as unknown as AgentStream],
        frontend,
        lastDialMs: () => world.lastDialMs,
      },
    ).then(() => {
      world.over = true
    })
  /** Time passes in small steps. */
  async function pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 50) {
      clock.advance(Math.min(50, ms - passed))
      await turn()
    }
  }
  return { clock, log, asked, world, start, pass, second }
}

const told = ['close agents', 'close agent port', 'go away', ['agent', 'shutdown', 25_000, 0]]
const closed = ['close frontend', 'dismiss idle']

t.test('with nothing open, and nobody who came a moment ago, it is over at once', async (t) => {
  const { clock, asked, start } = setup()
  await start()
  t.strictSame(asked, [...told, ...closed])
  t.equal(clock.waiting(), 0)
})

t.test('tells agents and clients at once, and closes the frontend when what is open has ended', async (t) => {
  const { clock, log, asked, world, start, pass, second } = setup()
  world.open = 2
  const done = start()
  t.match(log.lines, [{ message: 'shutting down', fields: { signal: 'SIGTERM', open: 2, timeout_ms: 25_000 } }])
  t.strictSame(asked, told)
  await pass(10_000)
  t.strictSame(asked, told)
  world.open = 0
  await pass(100)
  await done
  t.strictSame(asked, [...told, ...closed])
  t.equal(clock.waiting(), 0)
  t.equal(getEventListeners(second.signal, 'abort').length, 0)
})

t.test('waits for a while after the last client came, although nothing is open', async (t) => {
  const { clock, world, start, pass } = setup()
  clock.advance(5_000)
  world.lastDialMs = 4_500
  void start()
  await pass(1_400)
  t.notOk(world.over)
  await pass(100)
  t.ok(world.over)
})

t.test('a call that was opened a moment ago is about to dial', async (t) => {
  const { clock, world, start, pass } = setup()
  clock.advance(5_000)
  world.lastCallMs = 4_500
  void start()
  await pass(1_400)
  t.notOk(world.over)
  await pass(200)
  t.ok(world.over)
})

t.test(
  'who was accepted shortly before the port closed has the quiet time to ask, and is served to its end',
  async (t) => {
    const { clock, asked, world, start, pass } = setup()
    clock.advance(5_000)
    world.lastTakenMs = 4_500
    void start()
    await turn()
    t.strictSame(asked, [...told, 'close frontend'], 'nobody waits before it closes for who may never ask')
    await pass(1_000)
    world.open = 1
    await pass(5_000)
    t.notOk(world.over)
    world.open = 0
    await pass(100)
    t.ok(world.over)
    t.strictSame(asked, [...told, ...closed])
    t.equal(clock.waiting(), 0)
  },
)

t.test('who was accepted and never asks is hung up on, once the quiet time is over', async (t) => {
  const { clock, asked, world, start, pass } = setup()
  clock.advance(5_000)
  world.lastTakenMs = 4_500
  void start()
  await turn()
  await pass(1_400)
  t.strictSame(asked, [...told, 'close frontend'])
  await pass(100)
  t.ok(world.over)
  t.strictSame(asked, [...told, ...closed])
})

t.test('they are waited for no longer than there is time', async (t) => {
  const { clock, log, world, start, pass } = setup({ timeoutMs: 1_000 })
  clock.advance(5_000)
  world.lastTakenMs = 5_000
  void start()
  await pass(950)
  t.notOk(world.over)
  await pass(50)
  t.ok(world.over)
  t.match(log.lines.at(-1), { fields: { why: 'time is up' } })
})

t.test('clients that were told to go have a second to read that and hang up', async (t) => {
  const { clock, asked, world, start, pass } = setup()
  world.leaving = 3
  void start()
  await turn()
  await pass(950)
  t.strictSame(asked, [...told, ...closed])
  t.notOk(world.over)
  await pass(50)
  t.ok(world.over)
  t.equal(clock.waiting(), 0)
})

t.test('it is over when the last of them has hung up', async (t) => {
  const { clock, world, start, pass } = setup()
  world.leaving = 3
  void start()
  await pass(400)
  t.notOk(world.over)
  world.leaving = 0
  await pass(50)
  t.ok(world.over)
  t.equal(clock.waiting(), 0)
})

t.test('a second signal ends that as well', async (t) => {
  const { world, second, start, pass } = setup()
  world.leaving = 3
  void start()
  await pass(100)
  t.notOk(world.over)
  second.abort()
  await pass(50)
  t.ok(world.over)
})

t.test('when its time is up, or with a second signal, nobody is waited for', async (t) => {
  const { world, start, pass } = setup({ timeoutMs: 100 })
  world.open = 1
  world.leaving = 3
  void start()
  await pass(150)
  t.ok(world.over)
})

t.test('a client that comes meanwhile prolongs that, but never beyond the time there is', async (t) => {
  const { clock, log, world, start, pass } = setup()
  world.lastDialMs = 0
  void start()
  while (clock.now() < 24_900) {
    world.lastDialMs = clock.now()
    await pass(100)
  }
  t.notOk(world.over)
  await pass(100)
  t.ok(world.over)
  t.match(log.lines.at(-1), { fields: { why: 'time is up' } })
})

t.test('closes when the time is up, whatever is open', async (t) => {
  const { world, log, start, pass } = setup({ timeoutMs: 1_000 })
  world.open = 3
  void start()
  await pass(950)
  t.notOk(world.over)
  await pass(50)
  t.ok(world.over)
  t.match(log.lines.at(-1), { message: 'closed the frontend', fields: { open: 3, why: 'time is up' } })
})

t.test('a second signal closes at once, whenever it comes', async (t) => {
  for (const early of [true, false]) {
    const { clock, world, second, start } = setup()
    world.open = 1
    if (early) second.abort()
    void start()
    await turn()
    t.equal(world.over, early)
    second.abort()
    await turn()
    t.ok(world.over)
    t.equal(clock.waiting(), 0)
  }
})

t.test('remembers when it was last asked for a connection', async (t) => {
  const clock = manualClock()
  const dials: unknown[][] = []
  const cancel = (): undefined => undefined
  const dialing: Dialing = {
    dial(...dial) {
      dials.push(dial)
      return cancel
    },
  }
  const watched = watchDials(dialing, clock)
  t.equal(watched.lastMs(), Number.NEGATIVE_INFINITY)
  clock.advance(7)
  const waiter = { connected: () => undefined as never, failed: () => undefined }
  t.equal(watched.dial('default', 'user/alice', '10.0.0.1:443', waiter), cancel)
  clock.advance(7)
  t.equal(watched.lastMs(), 7)
  t.strictSame(dials, [['default', 'user/alice', '10.0.0.1:443', waiter]])
})

t.test('remembers when somebody was last accepted, on the port or on a socket of a cluster', (t) => {
  const clock = manualClock()
  const server = createServer()
  const taken: unknown[] = []
  const frontend = watchTaken({ server, take: (...client: unknown[]) => void taken.push(client) } as never, clock)
  t.equal(frontend.lastTakenMs(), Number.NEGATIVE_INFINITY)
  clock.advance(7)
  server.emit('connection', 'a socket')
  t.equal(frontend.lastTakenMs(), 7)
  clock.advance(7)
  frontend.take('a socket' as never, 'its cluster' as never)
  t.equal(frontend.lastTakenMs(), 14)
  t.strictSame(taken, [['a socket', 'its cluster']])
  t.end()
})
