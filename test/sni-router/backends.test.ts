/** Time, answers about names and connections come when the test says so: no socket is ever connected. */
import { Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { Clock } from '../../src/platform/clock.ts'
import { createBackends, MAX_CHECKS } from '../../src/sni-router/backends.ts'
import type { Target } from '../../src/sni-router/core/config.ts'
import type { Answer, WatchName } from '../../src/sni-router/names.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'

const rule = { intervalMs: 5_000, timeoutMs: 2_000, fall: 2, rise: 1 }
const to = (host: string): Target => ({ host, port: 1 })
const [A, B, C] = [to('10.0.0.1'), to('10.0.0.2'), to('10.0.0.3')]
const error = new Error('refused')

/**
 * @param earlyMs how much too early a timer fires
 * @param random the part of the interval after which the first check comes
 */
function setup(t: Test, { earlyMs = 0, random = 0 } = {}) {
  const time = manualClock()
  const clock: Clock = { ...time, after: (ms, run) => time.after(ms - earlyMs, run) }
  const log = recordedLog()
  const answers = new Map<string, (answer: Answer) => void>()
  const paces: [string, number][] = []
  let watched = 0
  const watchName: WatchName = (name, intervalMs, told) => {
    watched++
    answers.set(name, told)
    paces.push([name, intervalMs()])
    const end = (): void => {
      watched--
      if (answers.get(name) === told) answers.delete(name)
    }
    return { [Symbol.dispose]: end }
  }
  const checks: { readonly ip: string; readonly socket: Socket }[] = []
  const connect = ({ ip }: { readonly ip: string }): Socket => {
    const socket = new Socket()
    checks.push({ ip, socket })
    return socket
  }
  const backends = createBackends({ clock, log, watchName, connect, random: () => random })
  t.teardown(() => backends[Symbol.dispose]())
  const ipsOf = (...targets: Target[]) => backends.members(targets).map(({ ip }) => ip)
  return { time, log, answers, paces, watched: () => watched, checks, backends, ipsOf }
}

t.test(
  'checks an address after a part of the interval and a while after each result, and says what becomes of it',
  async (t) => {
    const { time, log, checks, backends } = setup(t, { random: 0.25 })
    backends.use([A], rule)
    time.advance(1_249)
    t.equal(checks.length, 0, 'not all backends at once')
    time.advance(1)
    const [member] = backends.members([A])
    t.equal(checks.length, 1)
    checks[0]?.socket.emit('error', error)
    t.ok(checks[0]?.socket.destroyed)
    time.advance(4_999)
    t.equal(checks.length, 1)
    time.advance(1)
    t.equal(checks.length, 2)
    t.equal(member?.health.state, 'up')
    time.advance(2_000) // nothing answers
    t.equal(member?.health.state, 'down')
    time.advance(5_000)
    checks[2]?.socket.emit('connect')
    t.equal(member?.health.state, 'up')
    t.strictSame(log.messages('info'), ['backend is down', 'backend is up again'])
  },
)

t.test('a check that succeeded takes the place of none, however early a timer fires', async (t) => {
  const { time, checks, backends } = setup(t, { earlyMs: 0.5 })
  backends.use([A], rule)
  time.advance(0)
  for (let count = 1; count <= 3; count++) {
    t.equal(checks.length, count)
    checks.at(-1)?.socket.emit('connect')
    time.advance(4_999.5)
  }
})

t.test('a backend that clients reach is not checked; one that has failed them, or is down, is', async (t) => {
  const { time, checks, backends } = setup(t)
  backends.use([A], { ...rule, rise: 2 })
  time.advance(0)
  const member = backends.members([A])[0]!
  checks[0]?.socket.emit('connect')
  time.advance(4_000)
  backends.tried(member, 'ok')
  time.advance(1_000)
  t.equal(checks.length, 1, 'a client has just been there')
  time.advance(4_000)
  for (const result of ['ok', 'failed'] as const) backends.tried(member, result)
  time.advance(1_000)
  t.equal(checks.length, 2, 'the last one did not get there')
  checks[1]?.socket.emit('error', error)
  t.equal(member.health.state, 'down', 'a client and a check')
  time.advance(1_000)
  backends.tried(member, 'ok')
  time.advance(4_000)
  t.equal(checks.length, 3, 'once is not enough')
  checks[2]?.socket.emit('connect')
  t.equal(member.health.state, 'up')
  time.advance(5_000)
  t.equal(checks.length, 4, 'no client has been there for an interval')
})

t.test('a backend that says whether it is ready is asked, and believed before its clients', async (t) => {
  const { time, checks, backends } = setup(t)
  const ready = { ...A, readiness: { port: 8092, path: '/readyz' } }
  backends.use([A, ready], rule)
  time.advance(0)
  const [plain, member] = [backends.members([A])[0]!, backends.members([ready])[0]!]
  t.not(plain, member, 'one route asks, the other one does not')
  checks[0]?.socket.emit('connect')
  checks[1]?.socket.emit('error', error)
  time.advance(4_000)
  for (const one of [plain, member]) backends.tried(one, 'ok')
  time.advance(1_000)
  t.equal(checks.length, 3, 'the one that clients reach is asked all the same')
  checks[2]?.socket.emit('error', error)
  backends.tried(member, 'ok')
  t.equal(member.health.state, 'down', 'one that drains accepts as well')
})

t.test('the addresses of a name come and go with its answers, and stay while there is none', async (t) => {
  const { time, log, answers, checks, backends, ipsOf } = setup(t)
  const name = to('backend')
  backends.use([name], rule)
  const tell = (answer: Answer): void => answers.get('backend')?.(answer)
  t.equal(checks.length, 0)
  tell({ ips: ['10.0.0.1', '10.0.0.2'] })
  time.advance(0)
  const stays = backends.members([name])[1]
  for (let count = 0; count < 2; count++) tell({ error })
  t.strictSame(ipsOf(name), ['10.0.0.1', '10.0.0.2'])
  tell({ ips: ['10.0.0.3', '10.0.0.2'] })
  time.advance(0)
  t.strictSame(ipsOf(name), ['10.0.0.2', '10.0.0.3'])
  t.equal(backends.members([name])[0], stays, 'with what is known of it')
  t.strictSame(
    checks.map(({ ip, socket }) => [ip, socket.destroyed]),
    [
      ['10.0.0.1', true],
      ['10.0.0.2', false],
      ['10.0.0.3', false],
    ],
  )
  t.equal(time.waiting(), 2)
  tell({ ips: [] })
  t.strictSame(ipsOf(name), [])
  t.equal(time.waiting(), 0)
  t.strictSame(log.messages('info'), [
    'backend has no address now: those it had stay in use',
    'backend has addresses again',
  ])
})

t.test('other targets keep what stays and end what goes', async (t) => {
  const { time, answers, checks, backends, ipsOf } = setup(t)
  backends.use([A, B, to('backend')], rule)
  time.advance(0)
  const [stays] = backends.members([A])
  backends.use([A, C, to('other')], rule)
  time.advance(0)
  t.equal(backends.members([A])[0], stays)
  t.strictSame(ipsOf(A, B, C), ['10.0.0.1', '10.0.0.3'])
  t.strictSame([...answers.keys()], ['other'])
  t.strictSame(
    checks.map(({ ip, socket }) => [ip, socket.destroyed]),
    [
      ['10.0.0.1', false],
      ['10.0.0.2', true],
      ['10.0.0.3', false],
    ],
  )
  for (const { socket } of checks) socket.emit('connect')
  t.equal(time.waiting(), 2, 'the next checks of those that are left')
  backends[Symbol.dispose]()
  t.equal(time.waiting(), 0)
  t.strictSame([...answers.keys()], [])
})

t.test('tells who waits of the first answer, once, and nobody who has gone', async (t) => {
  const { answers, backends } = setup(t)
  const [one, two] = [to('one'), to('two')]
  backends.use([A, one, two], rule)
  const told: string[] = []
  const wait = (who: string, ...targets: Target[]) => backends.nextAnswer(targets, () => void told.push(who))
  wait('either', one, two)
  wait('two', A, two)
  const gone = wait('gone', one, two)
  gone?.[Symbol.dispose]()
  answers.get('one')?.({ error })
  t.strictSame(told, ['either'])
  t.equal(wait('late', A, one), undefined, 'there is no first answer to come')
  answers.get('one')?.({ ips: ['10.0.0.1'] })
  answers.get('two')?.({ ips: ['10.0.0.1'] })
  t.strictSame(told, ['either', 'two'])
})

t.test('tells who waits for a name that is not asked for any more', async (t) => {
  const { backends } = setup(t)
  const [one, two] = [to('one'), to('two')]
  backends.use([one, two], rule)
  const told: string[] = []
  const wait = (): void => {
    if (!backends.nextAnswer([one, two], wait)) told.push('nothing to wait for')
  }
  wait()
  backends.use([two], rule)
  t.strictSame(told, [])
  backends[Symbol.dispose]()
  t.strictSame(told, ['nothing to wait for'])
})

t.test('checks so many at once and no more, and gives the place of who goes to the next', async (t) => {
  const { time, checks, backends } = setup(t)
  const all = Array.from({ length: MAX_CHECKS + 3 }, (_, index) => ({ host: '10.0.0.1', port: index + 1 }))
  backends.use(all, rule)
  time.advance(0)
  t.equal(checks.length, MAX_CHECKS)
  checks[0]?.socket.emit('connect')
  checks[1]?.socket.emit('error', error)
  await Promise.resolve()
  t.equal(checks.length, MAX_CHECKS + 2)
  backends.use([...all.slice(0, 2), ...all.slice(3)], rule)
  t.ok(checks[2]?.socket.destroyed)
  await Promise.resolve()
  t.equal(checks.length, MAX_CHECKS + 3)
})

t.test('takes up another interval at once, for names as well, and keeps what is known', async (t) => {
  const { time, answers, paces, watched, checks, backends } = setup(t, { random: 0.5 })
  const [name, hour] = [to('backend'), 3_600_000]
  backends.use([A, name], { ...rule, intervalMs: hour })
  answers.get('backend')?.({ ips: ['10.0.0.2'] })
  time.advance(hour / 2)
  for (const { socket } of checks) socket.emit('connect')
  const members = backends.members([A, name])
  backends.use([A, name], { ...rule, fall: 3 })
  t.strictSame(backends.members([A, name]), members)
  t.strictSame(paces, [
    ['backend', hour],
    ['backend', rule.intervalMs],
  ])
  t.equal(watched(), 1)
  time.advance(2_499)
  t.equal(checks.length, 2)
  time.advance(1)
  t.equal(checks.length, 4)
  backends.use([A, name], rule)
  t.equal(paces.length, 2, 'the interval is the same')
})

t.test(
  'where more wait for a check than are under way at once, none begins because others are disposed of',
  async (t) => {
    const { time, checks, backends } = setup(t)
    const many = (from: number): Target[] =>
      Array.from({ length: 2 * MAX_CHECKS }, (_, at) => to(`10.${from}.${at >> 8}.${at & 255}`))
    backends.use([...many(1), ...many(2)], rule)
    time.advance(0)
    t.equal(checks.length, MAX_CHECKS)
    backends.use(many(2), rule)
    await Promise.resolve()
    t.equal(checks.length, 2 * MAX_CHECKS, 'the places of those that a reload took away are for who stays')
    t.ok(checks.slice(MAX_CHECKS).every(({ ip }) => ip.startsWith('10.2.')))
    backends[Symbol.dispose]()
    await Promise.resolve()
    t.equal(checks.length, 2 * MAX_CHECKS)
  },
)
