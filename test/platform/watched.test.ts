import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type FileText, type Loaded, readTexts, watchTexts } from '../../src/platform/watched.ts'
import { manualClock } from './manual-clock.ts'

/** A watch whose value is all texts; one that holds "bad" is a problem, "throws" a bug. */
function setup(t: Test, files: Record<string, string>, name = '') {
  const folder = t.testdir(files)
  const path = join(folder, name)
  const events: string[] = []
  const clock = manualClock()
  let loads = 0
  const load = (read: readonly FileText[]): Loaded<string> => {
    loads++
    if (read.some(({ text }) => text === 'throws')) throw new RangeError('a mistake of ours')
    const bad = read.filter(({ text }) => text.includes('bad'))
    if (bad.length > 0) return { ok: false, problems: bad.map((file) => `${file.path}: bad`) }
    return { ok: true, value: read.map(({ text }) => text).join() }
  }
  const watch = watchTexts({ flag: '--given', path, maxBytes: 20 }, load, {
    clock,
    intervalMs: 1_000,
    changed: (value) => events.push(value),
    broken: (error) => events.push(`broken ${error.code} ${error.message}`),
    mended: () => events.push('mended'),
  })
  t.teardown(() => watch[Symbol.dispose]())
  const write = (file: string, text: string): void => writeFileSync(join(folder, file), text)
  return { folder, path, watch, events, clock, write, loads: () => loads }
}

t.test('one file: loaded at the start, and anew when its text changes', async (t) => {
  const { watch, events, clock, write, loads } = setup(t, { 'a.txt': 'one' }, 'a.txt')
  clock.advance(1_000)
  t.strictSame([watch.current(), events, loads()], ['one', [], 1])
  write('a.txt', 'two')
  clock.advance(999)
  t.strictSame([watch.current(), loads()], ['one', 1], 'not yet looked at')
  clock.advance(1)
  t.strictSame([watch.current(), loads()], ['one', 2], 'once')
  clock.advance(1_000)
  t.strictSame([watch.current(), events, loads()], ['two', ['two'], 2])
})

t.test('uses no text that a writer is at work on, be it good so far', async (t) => {
  const { watch, events, clock, write } = setup(t, { 'a.yaml': 'one' })
  for (const text of ['', 'tw', 'two', 'two']) {
    write('a.yaml', text)
    clock.advance(1_000)
    t.equal(watch.current(), text === 'two' && events.length > 0 ? 'two' : 'one', text)
  }
  t.strictSame(events, ['two'])
  write('a.yaml', '')
  clock.advance(1_000)
  write('a.yaml', 'two')
  clock.advance(1_000)
  clock.advance(1_000)
  t.strictSame(events, ['two'], 'what was gone for a moment is no change')
})

t.test('an alarm is over when the good text stays as it is', async (t) => {
  const { events, clock, write } = setup(t, { 'a.yaml': 'one' })
  write('a.yaml', 'bad')
  clock.advance(1_000)
  clock.advance(1_000)
  write('a.yaml', 'half')
  clock.advance(1_000)
  t.equal(events.length, 1, 'the alarm')
  clock.advance(1_000)
  t.strictSame(events.slice(1), ['mended', 'half'])
})

t.test('a loader that throws is a problem of the file, and not the end of the process', async (t) => {
  const { folder, watch, events, clock, write } = setup(t, { 'a.yaml': 'one' })
  write('a.yaml', 'throws')
  clock.advance(1_000)
  clock.advance(1_000)
  t.strictSame(
    [watch.current(), events],
    ['one', [`broken bad-option ${folder}: could not be read: a mistake of ours`]],
  )
  t.throws(() => setup(t, { 'a.yaml': 'throws' }), { code: 'bad-option', message: /could not be read: a mistake/ })
})

t.test('a folder: its files by name, without hidden ones, others and subfolders', async (t) => {
  const { watch, events, write, folder } = setup(t, { 'b.yml': 'B', 'a.yaml': 'A', '.c.yaml': 'x', 'd.txt': 'x' })
  mkdirSync(join(folder, 'e.yaml'))
  t.equal(watch.current(), 'A,B')
  write('c.json', 'C')
  watch.check()
  rmSync(join(folder, 'a.yaml'))
  watch.check()
  t.strictSame(events, ['A,B,C', 'B,C'])
})

t.test('a folder of the links that Kubernetes swaps', async (t) => {
  const { folder, watch, events, write } = setup(t, {})
  for (const version of ['1', '2']) {
    mkdirSync(join(folder, `..${version}`))
    write(`..${version}/a.yaml`, version)
  }
  symlinkSync('..1', join(folder, '..data'))
  symlinkSync('..data/a.yaml', join(folder, 'a.yaml'))
  watch.check()
  symlinkSync('..2', join(folder, '..data_tmp'))
  renameSync(join(folder, '..data_tmp'), join(folder, '..data'))
  watch.check()
  t.strictSame(events, ['1', '2'])
})

t.test('keeps the old while the new is broken, with one alarm until it is mended', async (t) => {
  const { folder, watch, events, clock, write } = setup(t, { 'a.yaml': 'one' })
  write('a.yaml', 'bad')
  clock.advance(1_000)
  t.strictSame([events, watch.alarm()], [[], undefined], 'one look may have met a writer')
  clock.advance(1_000)
  clock.advance(1_000)
  t.strictSame(events, [`broken bad-option ${join(folder, 'a.yaml')}: bad`])
  t.match(watch.alarm(), { code: 'bad-option' })
  t.equal(watch.current(), 'one')
  write('a.yaml', 'one')
  watch.check()
  t.strictSame(events.slice(1), ['mended'], 'what was in use all the time is no change')
  t.equal(watch.alarm(), undefined)
})

t.test('who asks for a reload hears at once that a file is broken, and once', async (t) => {
  const { folder, watch, events, clock, write } = setup(t, { 'a.yaml': 'one' })
  write('a.yaml', 'bad')
  watch.check()
  t.strictSame(events, [], 'who only knows that something has changed does not')
  watch.reload()
  const told = [`broken bad-option ${join(folder, 'a.yaml')}: bad`]
  t.strictSame(events, told)
  t.match(watch.alarm(), { code: 'bad-option' })
  watch.reload()
  clock.advance(1_000)
  t.strictSame(events, told)
})

t.test('another problem is another alarm, and a file that is gone is one', async (t) => {
  const { events, clock, path, write } = setup(t, { 'a.yaml': 'one' }, 'a.yaml')
  write('a.yaml', 'bad')
  clock.advance(1_000)
  clock.advance(1_000)
  rmSync(path)
  clock.advance(1_000)
  clock.advance(1_000)
  t.strictSame(events.slice(1), [`broken bad-option --given: could not use ${path}: there is no such file`])
})

t.test('refuses to start with what is broken, too long or no file', async (t) => {
  t.throws(() => setup(t, { 'a.yaml': 'bad', 'b.yaml': 'bad' }), {
    code: 'bad-option',
    message: /a\.yaml: bad\n.*b\.yaml: bad$/,
  })
  t.throws(() => setup(t, { 'a.yaml': 'x'.repeat(21) }), { message: /^--given: .*over the limit of 20 bytes/ })
  t.throws(() => setup(t, { 'a.yaml': 'x'.repeat(20), 'b.yaml': 'x' }), { message: /over the limit of 0 bytes/ })
  t.doesNotThrow(() => setup(t, { 'a.yaml': 'x'.repeat(10), 'b.yaml': 'x'.repeat(10) }))
  t.throws(() => setup(t, {}, 'none'), { message: /^--given: .*there is no such file/ })
})

t.test('ends with its owner', async (t) => {
  const { watch, clock } = setup(t, { 'a.yaml': 'one' })
  watch[Symbol.dispose]()
  t.equal(clock.waiting(), 0)
})

t.test('readTexts reads once', async (t) => {
  const folder = t.testdir({ 'a.yaml': 'A' })
  const path = join(folder, 'a.yaml')
  t.strictSame(readTexts({ flag: '--x', path: folder, maxBytes: 9 }), { ok: true, value: [{ path, text: 'A' }] })
})

t.test('tells of the files that only the case of their ending keeps out, whatever else is there', async (t) => {
  const folder = t.testdir({ 'a.yaml': 'A', 'C.YAML': 'x', 'c.Yml': 'x', '.h.YAML': 'x', 'd.TXT': 'x', 'e.JSON': {} })
  const told: (readonly string[])[] = []
  const source = { flag: '--x', path: folder, maxBytes: 9, passedOver: (paths: readonly string[]) => told.push(paths) }
  t.match(readTexts(source), { ok: true, value: [{ text: 'A' }] })
  t.strictSame(told, [[join(folder, 'C.YAML'), join(folder, 'c.Yml')]])
  t.match(readTexts({ ...source, path: join(folder, 'C.YAML') }), { ok: true, value: [{ text: 'x' }] })
  t.strictSame(told.slice(1), [[]], 'a file that is named itself may be called anything')
})
