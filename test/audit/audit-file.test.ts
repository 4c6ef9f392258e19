import { readFileSync, renameSync, statSync, symlinkSync, truncateSync, write, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type AuditFile, type AuditFileDeps, openAuditFile } from '../../src/audit/audit-file.ts'
import { eventually } from '../integration/deadline.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'
import { verdictOn } from './chains.ts'

type Line = { readonly seq: number; readonly event: string; readonly [name: string]: unknown }

const linesOf = (path: string): Line[] =>
  readFileSync(path, 'utf8')
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Line)

const problems = (...paths: string[]): string[] =>
  verdictOn(paths.map((path) => readFileSync(path))).problems.map(({ what }) => what)

const eventsOf = (path: string): string[] => linesOf(path).map(({ event }) => event)

type Setup = {
  readonly path: string
  readonly clock: ReturnType<typeof manualClock>
  readonly log: ReturnType<typeof recordedLog>
  readonly open: (extra?: Partial<AuditFileDeps>) => AuditFile
}

function setup(t: Test): Setup {
  const path = join(t.testdir(), 'audit.log')
  const [clock, log] = [manualClock(), recordedLog()]
  return {
    path,
    clock,
    log,
    open(extra) {
      const file = openAuditFile(path, { clock, log, program: 'test', version: '1', ...extra })
      file.begin()
      return file
    },
  }
}

t.test('writes a chain from its first line to its last, for its owner only', async (t) => {
  const { path, clock, open } = setup(t)
  clock.advance(1_000)
  const file = open()
  file.record({ event: 'dial', destination: '10.0.0.1:443', verdict: 'allowed', reason: undefined })
  await file.close()
  t.match(linesOf(path), [
    { seq: 1, event: 'started', program: 'test', version: '1', time: '1970-01-01T00:00:01.000Z' },
    { seq: 2, event: 'dial', destination: '10.0.0.1:443', verdict: 'allowed' },
    { seq: 3, event: 'stopped' },
  ])
  t.strictSame(problems(path), [])
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.notMatch(readFileSync(path, 'utf8'), /reason/, 'what is not known is left out')
  t.match(file.state(), { written: 3, lost: 0, alarm: undefined })
})

t.test('goes on with the chain when the program starts again', async (t) => {
  const { path, open } = setup(t)
  await open().close()
  await open().close()
  t.strictSame(eventsOf(path), ['started', 'stopped', 'started', 'stopped'])
  t.strictSame(problems(path), [])
})

t.test('a program that never served leaves the log alone, and the chain of who does', async (t) => {
  const { path, clock, log, open } = setup(t)
  const serving = open()
  await eventually('the line is written', () => serving.state().written === 1, Boolean)
  const before = readFileSync(path)
  await openAuditFile(path, { clock, log, program: 'test', version: '1' }).close()
  t.strictSame(readFileSync(path), before)
  await serving.close()
  t.strictSame(eventsOf(path), ['started', 'stopped'])
  t.strictSame(problems(path), [])
  writeFileSync(path, readFileSync(path).subarray(0, 40), { flag: 'a' })
  const torn = readFileSync(path)
  await openAuditFile(path, { clock, log, program: 'test', version: '1' }).close()
  t.strictSame(readFileSync(path), torn, 'nor is half a line of it taken off')
  const late = openAuditFile(path, { clock, log, program: 'test', version: '1' })
  late.record({ event: 'dial' })
  late.begin()
  await late.close()
  t.strictSame(eventsOf(path).slice(2), ['started', 'dial', 'stopped'], 'whoever records something has begun')
})

t.test('takes the rest of a line off that a killed program left, and says so', async (t) => {
  const { path, open } = setup(t)
  await open().close()
  for (const cut of [1, 40]) {
    const { size } = statSync(path)
    await open().close()
    const line = readFileSync(path).subarray(size)
    truncateSync(path, size)
    const torn = line.subarray(0, cut)
    writeFileSync(path, torn, { flag: 'a' })
    await open().close()
    t.equal(linesOf(path).findLast(({ event }) => event === 'started')?.tornBytes, cut)
    t.strictSame(problems(path), [])
  }
})

t.test('goes on where the file before ended, when the program starts after a rotation', async (t) => {
  const { path, open } = setup(t)
  await open().close()
  renameSync(path, `${path}.1`)
  await open().close()
  t.match(linesOf(path), [{ seq: 3, event: 'started' }, { seq: 4 }])
  t.strictSame(problems(`${path}.1`, path), [])
})

t.test('refuses what is no audit log, and leaves it alone', async (t) => {
  const { path, open, clock, log } = setup(t)
  for (const text of ['precious', 'precious\n', '{"seq":1}\n', 'precious '.repeat(20_000)]) {
    writeFileSync(path, text)
    t.throws(() => open(), { code: 'bad-option', message: /does not end with a line of an audit log: move it away/ })
    t.equal(readFileSync(path, 'utf8'), text)
  }
  const deps = { clock, log, program: 'test', version: '1' }
  t.throws(() => openAuditFile('/dev/null', deps), { message: /no regular file/ })
  t.throws(() => openAuditFile(join(path, 'audit.log'), deps), { message: /ENOTDIR/ })
})

t.test('refuses a log whose last line was changed', async (t) => {
  const { path, open } = setup(t)
  await open().close()
  writeFileSync(path, readFileSync(path, 'utf8').replace(/stopped/, 'stepped'))
  t.throws(() => open(), { code: 'bad-option' })
})

t.test('goes on in a new file when told that the one before was moved away', async (t) => {
  const { path, open, log } = setup(t)
  const file = open()
  file.record({ event: 'agent' })
  await eventually('the line is written', () => file.state().written === 2, Boolean)
  file.reopen()
  renameSync(path, `${path}.1`)
  file.reopen() // though it is being looked at
  await eventually(
    'the new file is there',
    () => log.messages('info'),
    (told) => told.length === 1,
  )
  file.record({ event: 'agent-end' })
  await file.close()
  t.strictSame(eventsOf(`${path}.1`), ['started', 'agent'])
  t.strictSame(eventsOf(path), ['agent-end', 'stopped'])
  t.strictSame(problems(`${path}.1`, path), [])
  t.equal(statSync(path).mode & 0o777, 0o600)
  t.strictSame(log.messages('info'), ['audit log opened anew'])
})

t.test('notices by itself within 5 s that the file was moved away', async (t) => {
  const { path, open, clock, log } = setup(t)
  const file = open()
  await eventually('the line is written', () => file.state().written === 1, Boolean)
  renameSync(path, `${path}.1`)
  clock.advance(5_000)
  await eventually(
    'the new file is there',
    () => log.messages('info'),
    (told) => told.length === 1,
  )
  await file.close()
  t.strictSame(eventsOf(path), ['stopped'])
  t.strictSame(problems(`${path}.1`, path), [])
})

t.test('stays in the file that was moved away while there is something else in its place', async (t) => {
  const { path, open, log } = setup(t)
  const file = open()
  await eventually('the line is written', () => file.state().written === 1, Boolean)
  renameSync(path, `${path}.1`)
  writeFileSync(path, 'something else\n')
  file.reopen()
  await eventually(
    'the alarm',
    () => file.state().alarm,
    (alarm) => /something in it/.test(alarm ?? ''),
  )
  file.reopen()
  file.reopen()
  file.record({ event: 'agent' })
  await eventually('the line is written', () => file.state().written === 2, Boolean)
  writeFileSync(path, '')
  file.reopen()
  await eventually(
    'no alarm',
    () => file.state().alarm,
    (alarm) => alarm === undefined,
  )
  t.strictSame(log.messages('error'), ['the audit log cannot be opened anew'], 'once')
  await file.close()
  t.strictSame(eventsOf(`${path}.1`), ['started', 'agent'])
  t.strictSame(problems(`${path}.1`, path), [])
})

t.test(
  'raises an alarm when somebody else writes to the file, or cuts it, until it goes on in another one',
  async (t) => {
    const cases = [
      ['writes', (path: string) => writeFileSync(path, 'x', { flag: 'a' })],
      ['cuts', (path: string) => truncateSync(path, 10)],
    ] as const
    for (const [what, act] of cases) {
      const { path, open, log, clock } = setup(t)
      const file = open()
      for (let count = 2; count < 5; count++) {
        file.record({ event: 'agent', reason: what })
        await eventually('the line is written', () => file.state().written === count, Boolean)
        file.reopen()
      }
      t.equal(file.state().alarm, undefined, 'its own lines are none of it')
      act(path)
      clock.advance(5_000)
      await eventually(
        'the alarm',
        () => file.state().alarm,
        (alarm) => /another program writes to it/.test(alarm ?? ''),
      )
      file.reopen()
      renameSync(path, `${path}.1`)
      file.reopen()
      await eventually(
        'no alarm',
        () => file.state().alarm,
        (alarm) => alarm === undefined,
      )
      t.equal(log.messages('error').length, 1, `${what}: told once`)
      await file.close()
    }
  },
)

t.test('two programs with one file: the first one notices', async (t) => {
  const { open } = setup(t)
  const first = open()
  await eventually('the line is written', () => first.state().written === 1, Boolean)
  const second = open()
  await eventually('the line is written', () => second.state().written === 1, Boolean)
  first.reopen()
  await eventually('the alarm', () => first.state().alarm, Boolean)
  first.record({ event: 'agent' })
  await eventually('the line is written', () => first.state().written === 2, Boolean)
  second.reopen()
  await eventually('the alarm', () => second.state().alarm, Boolean)
  await Promise.all([first.close(), second.close()])
})

/** A disk that is full from some byte on; `room` bytes are left. */
function smallDisk(room: number): { write: NonNullable<AuditFileDeps['write']>; room: number } {
  const disk = {
    room,
    write: ((file, bytes, done) => {
      const fits = bytes.subarray(0, disk.room)
      if (fits.length === 0) {
        return void setImmediate(() => done(Object.assign(new Error('no space left'), { code: 'ENOSPC' }), 0))
      }
      disk.room -= fits.length
      write(file, fits, done)
    }) as NonNullable<AuditFileDeps['write']>,
  }
  return disk
}

t.test('keeps lines while the disk is full, and writes them when it is not', async (t) => {
  const { path, open, clock, log } = setup(t)
  const disk = smallDisk(300)
  const file = open({ write: disk.write })
  for (let count = 0; count < 10; count++) file.record({ event: 'dial', destination: `10.0.0.${count}:443` })
  await eventually('the alarm', () => file.state().alarm === 'ENOSPC', Boolean)
  t.equal(file.state().written, 0)
  clock.advance(1_000)
  await eventually('another attempt', () => clock.waiting() === 2, Boolean)
  t.strictSame(log.messages('error'), ['the audit log cannot be written: its lines wait in memory'], 'told once')
  disk.room = 1e9
  clock.advance(1_000)
  await eventually('all is written', () => file.state().alarm === undefined, Boolean)
  await file.close()
  t.equal(linesOf(path).length, 12)
  t.strictSame(problems(path), [])
  t.strictSame(log.messages('info').slice(1), ['the audit log is written again'])
})

t.test('loses what is over its limit, counts it, and the chain says so', async (t) => {
  const { path, open, clock } = setup(t)
  const disk = smallDisk(100)
  const file = open({ write: disk.write, maxHeldBytes: 2_000 })
  for (let count = 0; count < 100; count++) file.record({ event: 'dial', destination: `10.0.0.${count}:443` })
  const { lost } = file.state()
  t.ok(lost > 80 && lost < 100, String(lost))
  await eventually('the alarm', () => file.state().alarm === 'ENOSPC', Boolean)
  disk.room = 1e9
  clock.advance(1_000)
  await eventually('all is written', () => file.state().alarm === undefined, Boolean)
  file.record({ event: 'end' })
  await file.close()
  const lines = linesOf(path)
  t.match(lines.slice(-3), [{ event: 'gap', lost }, { event: 'end' }, { event: 'stopped' }])
  t.equal(lines.filter(({ event }) => event === 'dial').length + lost, 100)
  t.strictSame(problems(path), [])
})

t.test('says in the chain how many never came this far', async (t) => {
  const { path, open } = setup(t)
  const file = open()
  file.lose(3)
  file.record({ event: 'end' })
  await file.close()
  t.match(linesOf(path), [{ event: 'started' }, { event: 'gap', lost: 3 }, { event: 'end' }, { event: 'stopped' }])
  t.equal(file.state().lost, 3)
})

t.test('leaves no half line behind when the file is moved away while the disk is full', async (t) => {
  const { path, open, clock, log } = setup(t)
  const disk = smallDisk(300)
  const file = open({ write: disk.write })
  file.record({ event: 'dial' })
  await eventually('the alarm', () => file.state().alarm === 'ENOSPC', Boolean)
  t.equal(statSync(path).size, 300)
  renameSync(path, `${path}.1`)
  file.reopen()
  await eventually('the new file is there', () => log.messages('info').includes('audit log opened anew'), Boolean)
  disk.room = 1e9
  clock.advance(1_000)
  await eventually('all is written', () => file.state().alarm === undefined, Boolean)
  await file.close()
  t.strictSame(eventsOf(`${path}.1`), ['started'])
  t.strictSame(eventsOf(path), ['dial', 'stopped'])
  t.strictSame(problems(`${path}.1`, path), [])
})

t.test('does not wait for a full disk at its end, and says how many lines are lost', async (t) => {
  const { open, log } = setup(t)
  const disk = smallDisk(0)
  const file = open({ write: disk.write })
  file.record({ event: 'dial' })
  await file.close()
  t.match(log.lines.at(-1), { level: 'error', message: 'lines of the audit log are lost', fields: { lines: 3 } })
})

t.test('does not wait for ever for a disk that hangs', async (t) => {
  const { open, clock, log } = setup(t)
  const file = open({ write: () => undefined })
  const closed = file.close()
  await eventually('a write is under way', () => clock.waiting() > 0, Boolean)
  clock.advance(2_000)
  await closed
  t.match(log.lines.at(-1), { message: 'lines of the audit log are lost' })
})

t.test('cuts texts that peers have written', async (t) => {
  const { path, open } = setup(t)
  const file = open()
  file.record({ event: 'dial', destination: '\u0000'.repeat(100_000), reason: 'x'.repeat(600) })
  await file.close()
  const [, dial] = linesOf(path)
  t.equal(String(dial?.destination).length, 513)
  t.ok(String(dial?.reason).endsWith('x…'))
  t.strictSame(problems(path), [])
})

t.test('a file that cannot be opened is refused', async (t) => {
  const { path, open } = setup(t)
  symlinkSync(path, path)
  t.throws(() => open(), { message: /ELOOP/ })
})
