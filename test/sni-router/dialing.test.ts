import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { type Backends, createBackends, type Member } from '../../src/sni-router/backends.ts'
import type { Target } from '../../src/sni-router/core/config.ts'
import { startDial } from '../../src/sni-router/dialing.ts'
import type { Answer, WatchName } from '../../src/sni-router/names.ts'
import { within } from '../integration/deadline.ts'
import { closedPort, echo, listenTarget } from '../integration/target.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'

const limits = { dialTimeoutMs: 3_000, dialDeadlineMs: 10_000 }
const rule = { intervalMs: 1_000_000, timeoutMs: 500_000, fall: 1_000, rise: 1 }
/** Of the range for documentation: nothing answers, and nothing refuses. */
const SILENT = { host: '192.0.2.1', port: 9 }

/** Sockets to SILENT are made and never connected. */
function setup(t: Test, targets: readonly Target[]) {
  const clock = manualClock()
  const answers = new Map<string, (answer: Answer) => void>()
  const watchName: WatchName = (name, _interval, told) => {
    answers.set(name, told)
    return { [Symbol.dispose]: () => void answers.delete(name) }
  }
  const sockets: Socket[] = []
  const silent = async (ip: string, port: number): Promise<never> => new Promise(() => void [ip, port])
  const open = ({ ip, port }: { ip: string; port: number }): Socket => {
    const socket = connect(
      ip === SILENT.host ? { host: 'silent', port, lookup: () => void silent(ip, port) } : { host: ip, port },
    )
    sockets.push(socket)
    t.teardown(() => socket.destroy())
    return socket
  }
  const backends: Backends = createBackends({ clock, log: recordedLog(), watchName, connect: open, random: () => 1 })
  t.teardown(() => backends[Symbol.dispose]())
  backends.use(targets, rule)
  const dial = () => {
    const missed: string[] = []
    const { promise, resolve } = Promise.withResolvers<Socket | string>()
    const dialing = startDial(
      {
        targets,
        limits,
        connected: (socket, _member: Member) => resolve(socket),
        failed: resolve,
        missed: ({ shown }, why) => void missed.push(`${shown} ${why}`),
      },
      { clock, backends, connect: open },
    )
    return { dialing, outcome: promise, missed }
  }
  return { clock, answers, backends, dial, dialled: () => sockets }
}
const portOf = (address: string): Target => ({ host: '127.0.0.1', port: Number(address.split(':')[1]) })
const turns = async (): Promise<void> => {
  for (let count = 0; count < 3; count++) await new Promise((resolve) => setImmediate(resolve))
}

t.test('goes on to the next when one refuses or takes its time', async (t) => {
  const target = await listenTarget(t, echo)
  const closed = portOf(await closedPort())
  const { clock, dial, dialled } = setup(t, [SILENT, closed, { host: '127.0.0.1', port: target.port }])
  const { outcome, missed } = dial()
  await turns()
  clock.advance(2_999)
  t.equal(dialled().length, 1, 'not yet')
  clock.advance(1)
  const socket = await within(outcome, 'a connection')
  t.type(socket, 'object')
  t.strictSame(missed, ['192.0.2.1:9 timeout', `127.0.0.1:${closed.port} refused`])
  t.ok(dialled()[0]?.destroyed, 'who was given up is closed')
})

t.test('fails when all have refused, with what the last did', async (t) => {
  const targets = [portOf(await closedPort()), portOf(await closedPort())]
  const { dial, backends } = setup(t, targets)
  const { outcome, missed } = dial()
  t.equal(await within(outcome, 'an outcome'), 'refused')
  t.equal(missed.length, 2)
  t.strictSame(
    backends.members(targets).map(({ active }) => active),
    [0, 0],
  )
})

t.test('ends at the deadline of all tries together', async (t) => {
  const many = Array.from({ length: 6 }, (_, index) => ({ ...SILENT, port: 1 + index }))
  const { clock, dial, dialled, backends } = setup(t, many)
  const { outcome } = dial()
  await turns()
  for (let at = 0; at < 3; at++) clock.advance(3_000)
  t.equal(dialled().length, 4)
  clock.advance(999)
  t.notOk(dialled()[3]?.destroyed)
  clock.advance(1)
  t.equal(await within(outcome, 'an outcome'), 'deadline')
  t.ok(dialled().every((socket) => socket.destroyed))
  t.strictSame(
    backends.members(many).map(({ active }) => active),
    [0, 0, 0, 0, 0, 0],
  )
})

t.test('ends with who asked for it, and tells nothing then', async (t) => {
  const { clock, dial, dialled, backends } = setup(t, [SILENT])
  const { dialing, outcome, missed } = dial()
  await turns()
  dialing[Symbol.dispose]()
  t.ok(dialled()[0]?.destroyed)
  t.strictSame(
    backends.members([SILENT]).map(({ active }) => active),
    [0],
  )
  clock.advance(60_000)
  t.equal(await Promise.race([outcome, turns().then(() => 'nothing')]), 'nothing')
  t.strictSame(missed, [])
})

t.test('waits for the first answer about a name, within its deadline, and for none that is not needed', async (t) => {
  const target = await listenTarget(t, echo)
  const named = { host: 'backend', port: target.port }
  const waiting = setup(t, [named])
  const late = waiting.dial()
  await turns()
  t.equal(waiting.dialled().length, 0)
  waiting.clock.advance(10_000)
  t.equal(await within(late.outcome, 'an outcome'), 'deadline')
  const soon = waiting.dial()
  waiting.answers.get('backend')?.({ ips: ['127.0.0.1'] })
  t.type(await within(soon.outcome, 'a connection'), 'object')

  const other = setup(t, [{ host: '127.0.0.1', port: target.port }, named])
  t.type(await within(other.dial().outcome, 'a connection'), 'object', 'the one that is known')
})

t.test('waits for the next name while none of the route has an address, and fails when none is left', async (t) => {
  const target = await listenTarget(t, echo)
  const named = (host: string): Target => ({ host, port: target.port })
  const gone: Answer = { error: new Error('gone') }
  const slow = setup(t, [named('gone'), named('late')])
  const first = slow.dial()
  await turns()
  slow.answers.get('gone')?.(gone)
  const second = slow.dial()
  await turns()
  slow.answers.get('late')?.({ ips: ['127.0.0.1'] })
  for (const { outcome } of [first, second]) t.type(await within(outcome, 'a connection'), 'object')

  const none = setup(t, [named('gone'), named('late')])
  const { outcome } = none.dial()
  await turns()
  for (const name of ['gone', 'late']) none.answers.get(name)?.(gone)
  t.equal(await within(outcome, 'an outcome'), 'no-backend')
})

t.test('fails where a name has no address, and keeps those it had', async (t) => {
  const target = await listenTarget(t, echo)
  const named = { host: 'backend', port: target.port }
  const { answers, dial } = setup(t, [named])
  answers.get('backend')?.({ error: new Error('gone') })
  t.equal(await within(dial().outcome, 'an outcome'), 'no-backend')
  answers.get('backend')?.({ ips: ['127.0.0.1'] })
  answers.get('backend')?.({ error: new Error('gone') })
  t.type(await within(dial().outcome, 'a connection'), 'object')
  answers.get('backend')?.({ ips: [] })
  t.equal(await within(dial().outcome, 'an outcome'), 'no-backend')
})

t.test('who is connected is left alone by the times that were for the dial', async (t) => {
  const target = await listenTarget(t, echo)
  const { clock, dial } = setup(t, [{ host: '127.0.0.1', port: target.port }])
  const before = clock.waiting()
  const { dialing, outcome, missed } = dial()
  const socket = (await within(outcome, 'a connection')) as Socket
  t.equal(clock.waiting(), before, 'nothing of it is to come')
  clock.advance(60_000)
  dialing[Symbol.dispose]()
  t.notOk(socket.destroyed)
  t.strictSame(missed, [])
})

t.test('of equals it asks the one that was asked longest ago, and no more than eight for one client', async (t) => {
  const closed = await Promise.all(Array.from({ length: 9 }, async () => portOf(await closedPort())))
  const { dial } = setup(t, closed)
  const shown = closed.map(({ host, port }) => `${host}:${port} refused`)
  for (const expected of [
    shown.slice(0, 8),
    [shown[8], ...shown.slice(0, 7)],
    [shown[7], shown[8], ...shown.slice(0, 6)],
  ]) {
    const { outcome, missed } = dial()
    await within(outcome, 'an outcome')
    t.strictSame(missed, expected)
  }
})
