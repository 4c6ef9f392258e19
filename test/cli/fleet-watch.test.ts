/** What `--watch` shows, of a hub that says what the test wants, at a time of its choosing. */
import t from 'tap'
import type { ServerEvent } from '../../src/cli/event-stream.ts'
import { watchLines, watchScreen } from '../../src/cli/fleet-watch.ts'
import type { Hub } from '../../src/cli/hub-client.ts'
import { eventually } from '../integration/deadline.ts'
import { manualClock } from '../platform/manual-clock.ts'

const time = '2030-01-01T00:00:00.000Z'
const snapshotOf = (states: Readonly<Record<string, string>>): ServerEvent => ({
  id: 'x-0',
  type: 'snapshot',
  data: JSON.stringify({
    clusters: Object.entries(states).map(([id, state]) => ({ id, state, since: time, reason: 'closed' })),
  }),
})
const snapshot = (...ids: string[]): ServerEvent => snapshotOf(Object.fromEntries(ids.map((id) => [id, 'lost'])))
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

/** A hub that is watched, a line for each change, and goes away again and again. */
async function watched(id?: string) {
  const { hub, followed, followers } = fakeHub()
  const [printed, complaints]: [string[], string[]] = [[], []]
  const clock = manualClock()
  const print = (text: string): void => void printed.push(text)
  void watchLines(hub, id, clock, { format: 'text', print, complain: (problem) => complaints.push(problem) })
  /** Ends that one, which is asked again after the wait. */
  async function again(follower: Follower, failure?: Error): Promise<Follower> {
    const count = followers.length
    follower.end(failure)
    await eventually('a wait', clock.waiting, (waiting) => waiting === 1)
    clock.advance(1_999)
    t.equal(followers.length, count)
    clock.advance(1)
    return followed(count + 1)
  }
  return { first: await followed(1), again, printed, complaints }
}

t.test('a hub that goes away is followed from where it was left', async (t) => {
  const { first, again, printed } = await watched()
  t.equal(first.lastId, undefined)
  first.event(snapshot('eu-1'))
  first.event(up(1))
  const second = await again(first)
  t.equal(second.lastId, 'x-1')
  second.event(snapshotOf({ 'eu-1': 'established' }))
  t.equal(printed.length, 2, 'how it stands is told once')
})

t.test('what changed while nobody told of it is told when the hub is back', async (t) => {
  const { first, again, printed } = await watched()
  first.event(snapshotOf({ same: 'established', changed: 'established', gone: 'established', 'was-lost': 'lost' }))
  printed.length = 0
  const second = await again(first)
  second.event(snapshotOf({ same: 'established', changed: 'degraded', fresh: 'established' }))
  t.strictSame(printed, [
    `${time}  degraded     changed  closed`,
    `${time}  established  fresh  closed`,
    '1970-01-01T00:00:02.000Z  lost         gone  the hub knows of no such cluster any more',
  ])
  const third = await again(second)
  third.event(snapshotOf({ same: 'established', changed: 'degraded', fresh: 'established' }))
  t.equal(printed.length, 3, 'once')
  third.event(up(1, 'gone'))
  t.equal(printed.length, 4)
})

t.test('what changed meanwhile is told of the cluster that is named only', async (t) => {
  const { first, again, printed } = await watched('eu-2')
  first.event(snapshotOf({ 'eu-1': 'established', 'eu-2': 'established' }))
  ;(await again(first)).event(snapshotOf({}))
  t.strictSame(
    printed.map((line) => line.split(/ +/)[2]),
    ['eu-2', 'eu-2'],
  )
})

t.test('each reason why the hub cannot be asked is complained of once, until it is back', async (t) => {
  const { first, again, complaints } = await watched()
  first.event(snapshot('eu-1'))
  const second = await again(first)
  const third = await again(second, new Error('could not ask'))
  const fourth = await again(third, new Error('answers 401'))
  const fifth = await again(fourth, new Error('could not ask'))
  const away = [
    'the hub ended the connection; asking again',
    'could not ask; asking again',
    'answers 401; asking again',
  ]
  t.strictSame(complaints, away)
  fifth.event(snapshot('eu-1'))
  await again(fifth, new Error('could not ask'))
  t.strictSame(complaints, [...away, 'could not ask; asking again'])
})

t.test('of reasons without end the first twenty are complained of', async (t) => {
  const { first, again, complaints } = await watched()
  first.event(snapshot('eu-1'))
  let last = await again(first)
  for (let count = 0; count < 30; count++) last = await again(last, new Error(`answers 502, request ${count}`))
  t.equal(complaints.length, 20)
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
