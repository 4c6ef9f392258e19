import { gunzipSync } from 'node:zlib'
import { Profile } from 'pprof-format'
import t, { type Test } from 'tap'
import type { Answer, Asked } from '../../src/platform/endpoints.ts'
import { type Profiling, profilingLimits, startProfiling } from '../../src/platform/profiling.ts'
import { eventually, within } from '../integration/deadline.ts'
import { asked } from './asked.ts'
import { type ManualClock, manualClock } from './manual-clock.ts'

type World = {
  readonly clock: ManualClock
  readonly shutdown: AbortController
  readonly profiling: Profiling
  readonly ask: (name: string, search?: string, more?: Partial<Asked>) => Promise<Answer>
}

async function setup(t: Test, contention = false): Promise<World> {
  const clock = manualClock()
  const shutdown = new AbortController()
  const profiling = await startProfiling({ clock, stop: shutdown.signal, contention })
  t.teardown(() => profiling[Symbol.dispose]())
  const ask: World['ask'] = async (name, search = '', more = {}) => {
    const route = profiling.routes[`/debug/pprof${name}`]
    if (!route) throw new Error(`no route ${name}`)
    return within(Promise.resolve(route(asked({ search, ...more }))), `an answer to ${name}`)
  }
  return { clock, shutdown, profiling, ask }
}

function read({ status, body, headers }: Answer): { types: string[]; names: string[]; profile: Profile } {
  if (status !== 200) throw new Error(`${status} ${body}`)
  if (headers?.['Content-Type'] !== 'application/octet-stream') throw new Error('no profile')
  const profile = Profile.decode(gunzipSync(body))
  const text = (index: number | bigint): string => profile.stringTable.strings[Number(index)] ?? ''
  return {
    profile,
    types: profile.sampleType.map(({ type, unit }) => `${text(type)}/${text(unit)}`),
    names: profile.function.map(({ name }) => text(name)),
  }
}

/** The profiler runs once its deadline has been set. */
const running = (clock: ManualClock): Promise<unknown> => eventually('the profiler runs', clock.waiting, Boolean)

/** Something to be seen at, for so much of the processor's time: a machine may leave the test alone for longer. */
function turnCircles(ms: number): number {
  let turns = 0
  for (const before = process.threadCpuUsage(); process.threadCpuUsage(before).user < ms * 1_000; ) {
    for (let count = 0; count < 10_000; count++) turns += Math.sqrt(turns + 1)
  }
  return turns
}

t.test('takes a CPU profile for as long as it was asked for', async (t) => {
  const { clock, ask } = await setup(t)
  const answer = ask('/profile', '?seconds=7')
  await running(clock)
  turnCircles(200)
  clock.advance(6_999)
  t.equal(clock.waiting(), 1, 'not yet')
  clock.advance(1)
  const { types, names, profile } = read(await answer)
  t.strictSame(types, ['samples/count', 'cpu/nanoseconds'])
  t.ok(names.includes('platform/profiling.test.ts:turnCircles'), names.join(' '))
  t.equal(Number(profile.period), 10_000_000)
  t.equal(BigInt(profile.durationNanos), 7_000_000_000n)
  t.match((await answer).headers, { 'Content-Disposition': 'attachment; filename="profile"' })
})

t.test('takes 30 seconds when it is not told, or nonsense', async (t) => {
  for (const search of ['', '?seconds=', '?seconds=0', '?seconds=-1', '?seconds=1.5', '?seconds=ten']) {
    const { clock, ask } = await setup(t)
    const answer = ask('/profile', search)
    await running(clock)
    clock.advance(29_999)
    t.equal(clock.waiting(), 1, search)
    clock.advance(1)
    t.equal((await answer).status, 200, search)
  }
})

t.test('takes no longer than the limit', async (t) => {
  const { ask } = await setup(t)
  const { status, body } = await ask('/profile', `?seconds=${profilingLimits.maxSeconds + 1}`)
  t.strictSame([status, body], [400, 'seconds must be at most 300\n'])
})

t.test('takes one at a time, in the words of Go', async (t) => {
  const { clock, ask } = await setup(t)
  const first = ask('/profile', '?seconds=1')
  await running(clock)
  t.match(await ask('/profile'), {
    status: 500,
    body: 'Could not enable CPU profiling: cpu profiling already in use\n',
    headers: { 'X-Go-Pprof': '1' },
  })
  clock.advance(1_000)
  t.equal((await first).status, 200)
  const second = ask('/profile', '?seconds=1')
  await running(clock)
  clock.advance(1_000)
  t.equal((await second).status, 200, 'and then another one')
})

t.test('ends when the client hangs up, and another one may be taken', async (t) => {
  const { clock, ask } = await setup(t)
  const client = new AbortController()
  const answer = ask('/profile', '', { gone: client.signal })
  await running(clock)
  client.abort()
  await answer
  t.equal(clock.waiting(), 0, 'nothing is waited for')
  const next = ask('/profile', '?seconds=1')
  await running(clock)
  clock.advance(1_000)
  t.equal((await next).status, 200)
  const gone = await ask('/profile', '', { gone: client.signal })
  t.equal(gone.status, 200, 'also one that hung up before it began')
  t.equal(clock.waiting(), 0)
})

t.test('answers with what it has when the program shuts down, and takes no more', async (t) => {
  const { clock, shutdown, ask } = await setup(t)
  const answer = ask('/profile')
  await running(clock)
  clock.advance(2_000)
  shutdown.abort()
  t.equal(BigInt(read(await answer).profile.durationNanos), 2_000_000_000n)
  t.equal(clock.waiting(), 0)
  t.match(await ask('/profile'), { status: 503, body: 'the program is shutting down\n' })
})

t.test('gives what is alive on the heap, by what allocated it', async (t) => {
  const { clock, ask } = await setup(t)
  const kept: unknown[] = []
  function hoard(): void {
    for (let index = 0; index < 200_000; index++) kept.push({ index, more: [index] })
  }
  hoard()
  clock.advance(5_000)
  for (const search of ['', '?gc=1', '?gc=0&debug=0']) {
    const { types, names, profile } = read(await ask('/heap', search))
    t.strictSame(types, ['inuse_space/bytes'])
    t.ok(names.includes('platform/profiling.test.ts:hoard'), `${search}: ${names.join(' ')}`)
    t.equal(BigInt(profile.durationNanos), 5_000_000_000n, 'since the start')
    const comments = profile.comment.map((index) => profile.stringTable.strings[Number(index)])
    t.match(comments, [/^rss \d+ bytes$/])
  }
  t.equal(kept.length, 200_000)
})

t.test('gives how long the event loop was held up, where that is asked for', async (t) => {
  const off = await setup(t)
  t.match(await off.ask('/block'), { status: 404, body: /--enable-contention-profiling/ })
  const { clock, ask, profiling } = await setup(t, true)
  clock.advance(50)
  const { types, names } = read(await ask('/block'))
  t.strictSame(types, ['contentions/count', 'delay/nanoseconds'])
  t.strictSame(names, ['held up for 32 ms to 64 ms', 'event loop'])
  profiling[Symbol.dispose]()
  t.equal(clock.waiting(), 0)
})

t.test('says what it cannot give', async (t) => {
  const { ask } = await setup(t, true)
  for (const name of ['/heap', '/block']) {
    t.match(await ask(name, '?seconds=5'), { status: 400, body: /"seconds" parameter is not supported/ })
    t.match(await ask(name, '?debug=1'), { status: 400, body: /no text form/ })
  }
  t.match(await ask('/trace', '?seconds=1'), { status: 501, body: /^a trace of goroutines cannot be had/ })
  t.match(await ask('/symbol'), { status: 200, body: 'num_symbols: 0\n' })
  for (const name of ['/goroutine', '/allocs', '/mutex', '/threadcreate', '/cmdline']) {
    t.match(await ask(name), { status: 404, body: 'Unknown profile\n', headers: { 'X-Go-Pprof': '1' } })
  }
})

t.test('has a page that leads to each', async (t) => {
  const { ask, profiling } = await setup(t)
  t.match(await ask(''), { status: 301, headers: { Location: '/debug/pprof/' } })
  const { status, body, headers } = await ask('/')
  t.match([status, headers?.['Content-Type']], [200, 'text/html; charset=utf-8'])
  const links = [...String(body).matchAll(/href="([^"?]+)/g)].map(([, link = '']) => link)
  t.strictSame(links, ['profile', 'heap', 'heap', 'block'])
  for (const link of links) t.ok(`/debug/pprof/${link}` in profiling.routes, link)
})
