/** What `--watch` shows, of a hub that says what the test wants, at a time of its choosing. */
import t from 'tap'
import type { ServerEvent } from '../../src/cli/event-stream.ts'
import { watchLines, watchScreen } from '../../src/cli/fleet-watch.ts'
import type { Hub } from '../../src/cli/hub-client.ts'
import { eventually } from '../integration/deadline.ts'
import { manualClock } from '../platform/manual-clock.ts'

const time = '2030-01-01T00:00:00.000Z'
const snapshot = (...ids: string[]): ServerEvent => ({
  id: 'x-0',
  type: 'snapshot',
  data: JSON.stringify({ clusters: ids.map((id) => ({ id, state: 'lost', since: time, reason: 'closed' })) }),
})
const change = (number: number, fields: object): ServerEvent => ({
  id: `x-${number}`,
  type: 'established',
  data: JSON.stringify({ type: 'established', time, ...fields }),
})
const up = (number: number, cluster = 'eu-1'): ServerEvent =>
  change(number, { cluster, agent: 'a', reason: 'an agent is connected' })

type Follower = {
  readonly lastId: string | undefined
  readonly event: (event: ServerEvent) => void
  readonly end: (error?: Error) => void
}

function fakeHub(): {
  readonly hub: Hub
  readonly followers: Follower[]
  readonly followed: (count: number) => Promise<Follower>
} {
  const followers: Follower[] = []
  const hub: Hub = {
    ask: () => Promise.resolve(undefined),
    follow: (_, lastId, event) =>
      new Promise((resolve, reject) => {
        followers.push({ lastId, event, end: (error) => (error ? reject(error) : resolve()) })
      }),
  }
  const followed = (count: number): Promise<Follower> =>
    eventually('the hub is followed', () => followers[count - 1], Boolean) as Promise<Follower>
  return { hub, followers, followed }
}

t.test('each change is a line, or a document, and of one cluster when it is named', async (t) => {
  const cases = [
    [
      'text',
      undefined,
      [
        `${time}  lost         eu-1  closed`,
        `${time}  lost         eu-2  closed`,
        `${time}  established  eu-1  an agent is connected (agent a)`,
      ],
    ],
    ['text', 'eu-2', [`${time}  lost         eu-2  closed`]],
    [
      'json',
      'eu-1',
      [
        `{"time":"${time}","type":"lost","cluster":"eu-1","reason":"closed"}`,
        `{"type":"established","time":"${time}","cluster":"eu-1","agent":"a","reason":"an agent is connected"}`,
      ],
    ],
    ['yaml', 'eu-2', [`---\ntime: ${time}\ntype: lost\ncluster: eu-2\nreason: closed`]],
  ] as const
  for (const [format, id, wanted] of cases) {
    const { hub, followed } = fakeHub()
    const printed: string[] = []
    void watchLines(hub, id, manualClock(), { format, print: (text) => printed.push(text), complain: t.fail })
    const { event } = await followed(1)
    event(snapshot('eu-1', 'eu-2'))
    event(up(1))
    t.strictSame(printed, wanted, `${format} ${id}`)
  }
})

t.test('a hub that goes away is followed from where it was left, and complained of once', async (t) => {
  const { hub, followed, followers } = fakeHub()
  const [printed, complaints]: string[][] = [[], []]
  const clock = manualClock()
  void watchLines(hub, undefined, clock, {
    format: 'text',
    print: (text) => printed?.push(text),
    complain: (problem) => complaints?.push(problem),
  })
  const first = await followed(1)
  t.equal(first.lastId, undefined)
  first.event(snapshot('eu-1'))
  first.event(up(1))
  first.end()
  await eventually(
    'a wait',
    () => clock.waiting(),
    (count) => count === 1,
  )
  clock.advance(1_999)
  t.equal(followers.length, 1)
  clock.advance(1)
  const second = await followed(2)
  t.equal(second.lastId, 'x-1')
  second.end(new Error('could not ask'))
  await eventually(
    'a wait',
    () => clock.waiting(),
    (count) => count === 1,
  )
  t.strictSame(complaints, ['the hub ended the connection; asking again'])
  clock.advance(2_000)
  const third = await followed(3)
  third.event(snapshot('eu-1'))
  t.equal(printed?.length, 2, 'how it stands is told once')
  third.end(new Error('socket hang up'))
  await eventually(
    'another complaint',
    () => complaints?.length,
    (count) => count === 2,
  )
})

t.test('a hub that cannot be reached at first is an error', async (t) => {
  const { hub, followed } = fakeHub()
  const ended = watchLines(hub, undefined, manualClock(), { format: 'text', print: t.fail, complain: t.fail })
  ;(await followed(1)).end(new Error('could not ask'))
  await t.rejects(ended, { message: 'could not ask' })
})

t.test('a terminal shows the table as it is, soon after each change and every 2 s', async (t) => {
  const { hub, followed } = fakeHub()
  const clock = manualClock()
  const frames: string[] = []
  let asked = 0
  let failure: Error | undefined
  const table = async (): Promise<string[]> => {
    asked++
    if (failure) throw failure
    return ['HEAD', `asked ${asked}`]
  }
  const screen = { write: (text: string) => void frames.push(text), size: () => ({ columns: 120, rows: 24 }) }
  void watchScreen(hub, undefined, clock, screen, table)
  const drawn = (count: number): Promise<unknown> =>
    eventually(
      `${count} frames`,
      () => frames.length,
      (length) => length === count,
    )
  await drawn(2)
  t.equal(frames[0], '\x1b[2J')
  t.match(frames[1], 'asked 1')
  const first = await followed(1)
  first.event(snapshot('eu-1'))
  clock.advance(200)
  await drawn(3)
  t.notMatch(frames[2], 'closed', 'how it stood is no change')
  for (let number = 1; number <= 30; number++) {
    first.event(up(number))
    clock.advance(10)
  }
  await drawn(4)
  t.match(frames[3], /asked 3[\s\S]*an agent is connected \(agent a\)/)
  failure = new Error('no \x1b[31manswer')
  clock.advance(2_000)
  await drawn(5)
  t.match(frames[4], /asked 3[\s\S]*no \?\[31manswer; asking again/, 'the old table, and why')
  failure = undefined
  first.end(new Error('socket hang up'))
  await drawn(6)
  t.match(frames[5], 'socket hang up; asking again')
  clock.advance(2_000)
  await drawn(7)
  ;(await followed(2)).event(snapshot('eu-1'))
  clock.advance(200)
  await drawn(8)
  t.notMatch(frames[7], 'asking again')
})
