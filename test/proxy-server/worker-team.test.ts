/** The workers of a server, played by processes that say what a test has them say. With real ones: test/integration/workers*.test.ts. */
import type { ChildProcess } from 'node:child_process'
import { EventEmitter } from 'node:events'
import t, { type Test } from 'tap'
import type { Audit, AuditRecord } from '../../src/audit/record.ts'
import type { ServerOptions } from '../../src/proxy-server/options.ts'
import type { Report } from '../../src/proxy-server/worker-messages.ts'
import { createWorkerTeam, type WorkerTeam } from '../../src/proxy-server/worker-team.ts'
import { type ManualClock, manualClock } from '../platform/manual-clock.ts'
import { type RecordedLog, recordedLog } from '../platform/recorded-log.ts'

/** So many that end one after the other before they are up have the team give up. */
const WORKERS = 5
/** A worker that crashes when it has lived for this long is replaced at once: milliseconds. */
const STAYS_MS = 10_000

type Played = {
  readonly slot: number
  readonly says: (report: Report) => void
  readonly dies: () => void
  readonly ends: () => void
}
type PlayedTeam = {
  readonly team: WorkerTeam
  readonly clock: ManualClock
  readonly log: RecordedLog
  readonly audited: readonly AuditRecord[]
  /** The states of all members, each time that it told of one that is up. */
  readonly ups: readonly (readonly string[])[]
  /** In the order in which they were started. */
  readonly workers: readonly Played[]
  /** Starts all of them. */
  readonly begin: () => Promise<void>
}

function playedTeam(t: Test): PlayedTeam {
  const workers: Played[] = []
  const clock = manualClock()
  const log = recordedLog()
  const launch = (slot: number): ChildProcess => {
    const child = new EventEmitter()
    workers.push({
      slot,
      says: (report) => child.emit('message', report),
      dies: () => child.emit('close', 1, null),
      ends: () => child.emit('close', 0, null),
    })
    return Object.assign(child, {
      pid: 1,
      connected: true,
      send: () => true,
      kill: () => true,
    }) as unknown as ChildProcess
  }
  const audited: AuditRecord[] = []
  const options = { serverId: 'hub', workers: WORKERS } as ServerOptions
  const audit: Audit = (record) => void audited.push(record)
  const ups: string[][] = []
  const up = (): void => void ups.push(team.members().map(({ state }) => state))
  const deps = { clock, log, lines: { write() {} }, launch, up, crashed() {}, tell() {}, audit }
  const team: WorkerTeam = createWorkerTeam(options, deps)
  t.teardown(() => team.kill())
  const begin = (): Promise<void> => {
    const started = team.start()
    for (const worker of workers) worker.says({ is: 'up' })
    return started
  }
  return { team, clock, log, workers, audited, ups, begin }
}

/** Has the first of a restart say why it cannot start. */
function refuseRestart({ team, workers }: PlayedTeam): void {
  team.restart()
  const next = workers.at(-1)
  next?.says({ is: 'refused', problems: '--cluster-key: no longer a key' })
  next?.dies()
}

/** All who serve crash, and all who replace them without a word. @returns what the team fails with */
async function endAll({ team, clock, workers }: PlayedTeam, serving: readonly Played[]): Promise<Error> {
  clock.advance(STAYS_MS)
  const before = workers.length
  for (const worker of serving) worker.dies()
  for (const worker of workers.slice(before)) worker.dies()
  return team.broken.catch((error: Error) => error)
}

t.test('gives up with the reason of the last worker that could not start', async (t) => {
  const played = playedTeam(t)
  await played.begin()
  refuseRestart(played)
  const error = await endAll(played, played.workers.slice(0, WORKERS))
  const message =
    '5 workers in a row ended as soon as they were started, the last one with: --cluster-key: no longer a key'
  t.match(error, { code: 'no-worker', message })
})

t.test('gives up without a reason of days ago when a worker has started since', async (t) => {
  const played = playedTeam(t)
  const { clock, log, workers } = played
  await played.begin()
  refuseRestart(played)
  t.match(log.lines.find(({ message }) => message === 'worker cannot start')?.fields, { reason: /--cluster-key/ })
  clock.advance(STAYS_MS)
  workers[0]?.dies()
  const since = workers.at(-1)!
  since.says({ is: 'up' })
  const error = await endAll(played, [since, ...workers.slice(1, WORKERS)])
  t.match(error, { code: 'no-worker', message: /^5 workers in a row ended as soon as they were started$/ })
})

t.test('does not start with options that a worker refuses', async (t) => {
  const { team, workers } = playedTeam(t)
  const started = team.start()
  workers[0]?.says({ is: 'up' })
  workers[1]?.says({ is: 'refused', problems: '--cluster-key: not a key' })
  await t.rejects(started, { code: 'bad-option', message: '--cluster-key: not a key' })
})

t.test('a drain that is over time ends with the workers that are killed then', async (t) => {
  const { team, workers, begin } = playedTeam(t)
  await begin()
  const drained = team.drain('SIGTERM', () => {})
  team.kill()
  for (const worker of workers) worker.dies()
  await t.resolves(drained)
})

t.test('nobody hears of workers that end with a server that could not start', async (t) => {
  const { team, workers, audited, log, begin } = playedTeam(t)
  await begin()
  team.kill(false)
  for (const worker of workers) worker.dies()
  t.equal(workers.length, WORKERS, 'and none is started anew')
  t.strictSame([audited, log.messages('error')], [[], []])
})

t.test('tells of each worker that is up when it is among its members as such', async (t) => {
  const { workers, clock, ups, begin } = playedTeam(t)
  await begin()
  t.equal(ups.length, WORKERS)
  const first = ['up', ...Array(WORKERS - 1).fill('starting')]
  t.strictSame(ups[0], first)
  clock.advance(STAYS_MS)
  for (const worker of workers.slice(0, WORKERS)) worker.dies()
  t.equal(ups.length, WORKERS)
  workers[WORKERS]?.says({ is: 'up' })
  t.strictSame(ups.slice(WORKERS), [first])
})

t.test('the audit log is told of a worker that crashes, under whose id everything it opened stands', async (t) => {
  const { team, workers, audited, begin } = playedTeam(t)
  await begin()
  const { serverId } = team.members()[1]!
  workers[1]?.dies()
  t.strictSame(audited, [{ event: 'server-gone', server: serverId, reason: 'the worker process ended with code 1' }])
})

t.test('the audit log is told nothing more of a worker that ends when it is asked to', async (t) => {
  const { team, workers, audited, begin } = playedTeam(t)
  await begin()
  const drained = team.drain('SIGTERM', () => {})
  for (const worker of workers) worker.says({ is: 'left', figures: [] })
  for (const worker of workers) worker.ends()
  await drained
  t.strictSame(audited, [])
})
