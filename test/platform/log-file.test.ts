import { execFileSync } from 'node:child_process'
import {
  closeSync,
  constants,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  readSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type LogFile, openLogFile } from '../../src/platform/log-file.ts'

const LINE = `${'x'.repeat(99)}\n`

type Opened = { readonly file: LogFile; readonly events: string[]; readonly pass: (ms: number) => void }

function open(path: string, maxBytes = 0): Opened {
  const events: string[] = []
  let nowMs = 0
  const file = openLogFile(
    path,
    maxBytes,
    { failed: (reason) => events.push(`failed ${reason}`), recovered: () => events.push('recovered') },
    () => nowMs,
  )
  const pass = (ms: number): void => {
    nowMs += ms
  }
  return { file, events, pass }
}
const fill = (file: LogFile, count: number): void => {
  for (let line = 0; line < count; line++) file.write(LINE)
}
const sizeOf = (path: string): number => statSync(path).size
/** A file that cannot be renamed, as one that is mounted alone: its backup's name is taken by a folder that is not empty. */
function unmovable(t: Test): string {
  const path = join(t.testdir({ 'log.1': { kept: '' } }), 'log')
  return path
}

t.test('appends to what is there, and opens nothing before the first line', async (t) => {
  const path = join(t.testdir(), 'log')
  const { file, events } = open(path)
  t.notOk(existsSync(path))
  writeFileSync(path, 'before\n')
  t.ok(file.write('one\n') && file.write('two\n'))
  t.equal(readFileSync(path, 'utf8'), 'before\none\ntwo\n')
  t.strictSame(events, [])
})

t.test('never holds more than its size, with the file before it, and has the last lines', async (t) => {
  const path = join(t.testdir(), 'log')
  const { file } = open(path, 2_000)
  for (let line = 0; line < 95; line++) {
    file.write(`${String(line).padEnd(99)}\n`)
    const before = existsSync(`${path}.1`) ? sizeOf(`${path}.1`) : 0
    t.ok(sizeOf(path) + before <= 2_000)
  }
  const kept = `${readFileSync(`${path}.1`, 'utf8')}${readFileSync(path, 'utf8')}`
  const lines = kept.trimEnd().split('\n').map(Number)
  t.strictSame(
    lines,
    Array.from({ length: 15 }, (_, index) => 80 + index),
  )
})

t.test('counts what was there before it towards the size', async (t) => {
  const path = join(t.testdir({ log: LINE.repeat(10) }), 'log')
  open(path, 2_000).file.write(LINE)
  t.strictSame([sizeOf(`${path}.1`), sizeOf(path)], [1_000, 100])
})

t.test('has no limit at 0', async (t) => {
  const path = join(t.testdir(), 'log')
  fill(open(path, 0).file, 50)
  t.strictSame([sizeOf(path), existsSync(`${path}.1`)], [5_000, false])
})

t.test('writes a line that is longer than the size all the same', async (t) => {
  const path = join(t.testdir(), 'log')
  const { file, events } = open(path, 50)
  t.ok(file.write(LINE) && file.write(LINE))
  t.strictSame([sizeOf(path), sizeOf(`${path}.1`), events.length], [100, 100, 0])
})

t.test('empties a file that cannot be renamed', async (t) => {
  const path = unmovable(t)
  const { file, events } = open(path, 2_000)
  fill(file, 10)
  t.ok(file.write('new\n'))
  t.equal(readFileSync(path, 'utf8'), 'new\n')
  t.strictSame(events, [])
})

t.test('sees that somebody else emptied the file, and keeps what was logged since', async (t) => {
  const path = join(t.testdir(), 'log')
  const { file } = open(path, 2_000)
  fill(file, 10)
  truncateSync(path)
  fill(file, 3)
  t.equal(sizeOf(path), 300)
  t.notOk(existsSync(`${path}.1`))
})

t.test('says once that it cannot write, says when it can, and does not try at each line', async (t) => {
  const folder = join(t.testdir(), 'later')
  const { file, events, pass } = open(join(folder, 'log'))
  t.notOk(file.write(LINE))
  t.notOk(file.write(LINE))
  mkdirSync(folder)
  pass(4_999)
  t.notOk(file.write(LINE), 'not yet')
  t.strictSame(events, ['failed ENOENT'])
  pass(1)
  t.ok(file.write(LINE))
  t.strictSame(events, ['failed ENOENT', 'recovered'])
  t.equal(sizeOf(join(folder, 'log')), 100)
})

t.test('can be asked for a line of its own while it says that it cannot write', async (t) => {
  const said: boolean[] = []
  const file: LogFile = openLogFile(
    join(t.testdir(), 'no', 'log'),
    0,
    { failed: () => said.push(file.write('failed\n')), recovered: () => undefined },
    () => 0,
  )
  t.notOk(file.write(LINE))
  t.strictSame(said, [false])
})

t.test('a disk that is full, a folder, and a pipe without a reader are failures, not errors', async (t) => {
  const folder = t.testdir()
  execFileSync('mkfifo', [join(folder, 'pipe')])
  for (const [path, reason] of [
    ['/dev/full', 'ENOSPC'],
    [folder, 'EISDIR'],
    [join(folder, 'pipe'), 'ENXIO'],
  ] as const) {
    const { file, events } = open(path, 1_000)
    t.notOk(file.write(LINE))
    t.strictSame(events, [`failed ${reason}`])
  }
})

t.test('neither renames nor empties what is no file', async (t) => {
  const { file, events } = open('/dev/null', 150)
  fill(file, 5)
  t.strictSame(events, [])
  t.notOk(existsSync('/dev/null.1'))
})

t.test('ends a line that was cut short, before the next one', async (t) => {
  const path = join(t.testdir(), 'pipe')
  execFileSync('mkfifo', [path])
  const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK)
  t.teardown(() => closeSync(reader))
  const { file, events, pass } = open(path)
  const long = `${'a'.repeat(39_999)}\n` // two of them do not fit into a pipe
  t.ok(file.write(long))
  t.notOk(file.write(long))
  t.strictSame(events, ['failed EAGAIN'])
  t.ok(readSync(reader, Buffer.alloc(100_000)) > long.length, 'a part of the second is there')
  pass(5_000)
  t.ok(file.write('next\n'))
  const rest = Buffer.alloc(100)
  t.equal(rest.toString('utf8', 0, readSync(reader, rest)), '\nnext\n')
})

t.test('is not for others to write', async (t) => {
  const path = join(t.testdir(), 'log')
  open(path).file.write(LINE)
  t.equal(statSync(path).mode & 0o022, 0)
})
