import { closeSync, fstatSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { BEGINNING, MAX_LINE_BYTES } from '../../src/audit/core/chain.ts'
import { type First, lookAt, openFirst, openNext } from '../../src/audit/opening.ts'
import { chainOf, headOf } from './chains.ts'

/** The log's path, in a folder with these files. */
function log(t: Test, files: Readonly<Record<string, string | Buffer>> = {}): string {
  const folder = t.testdir()
  for (const [name, bytes] of Object.entries(files)) writeFileSync(join(folder, name), bytes)
  return join(folder, 'audit.log')
}

/** What it found, with its descriptor closed. */
function opened(path: string): Omit<First, 'file'> {
  const { file, ...rest } = openFirst(path)
  closeSync(file)
  return rest
}

const lines = chainOf(3)
const whole = Buffer.concat(lines)
const head = headOf(lines.at(-1)!)

t.test('a new file begins a chain, for its owner only', async (t) => {
  const path = log(t)
  t.match(opened(path), { head: BEGINNING, tornBytes: 0, place: { size: 0 } })
  t.equal(statSync(path).mode & 0o777, 0o600)
})

t.test('a chain goes on behind the last line, or behind that of the file before', async (t) => {
  t.match(opened(log(t, { 'audit.log': whole })), { head, place: { size: whole.length } })
  t.match(opened(log(t, { 'audit.log.1': whole })), { head, place: { size: 0 } })
  t.match(opened(log(t, { 'audit.log': lines[0]!, 'audit.log.1': whole })), { head: headOf(lines[0]!) })
})

t.test('finds what a program left that ended while it wrote', async (t) => {
  for (const cut of [1, 5, 40, lines[2]!.length - 1]) {
    const path = log(t, { 'audit.log': Buffer.concat([lines[0]!, lines[1]!, lines[2]!.subarray(0, cut)]) })
    const size = lines[0]!.length + lines[1]!.length
    t.match(opened(path), { head: headOf(lines[1]!), tornBytes: cut, place: { size } })
    t.equal(statSync(path).size, size + cut, 'who opens it may never begin')
  }
  const path = log(t, { 'audit.log': lines[0]!.subarray(0, 40) })
  t.match(opened(path), { head: BEGINNING, tornBytes: 40, place: { size: 0 } })
})

t.test('leaves alone what is no audit log, or was changed', async (t) => {
  const changed = Buffer.from(whole.toString().replace('10.0.0.2', '10.9.9.9'))
  for (const [what, bytes] of Object.entries({
    'text without an end': 'hello',
    'text behind a chain': Buffer.concat([whole, Buffer.from('hello')]),
    'a line of text': 'hello\n',
    'a line too long': Buffer.alloc(3 * MAX_LINE_BYTES, '{"seq":'),
    'a changed line': changed,
  })) {
    const path = log(t, { 'audit.log': bytes })
    const before = readFileSync(path)
    t.throws(() => opened(path), { code: 'bad-option', message: /does not end with a line of an audit log/ }, what)
    t.strictSame(readFileSync(path), before, what)
  }
})

t.test('says why a path cannot be used', async (t) => {
  const path = log(t)
  mkdirSync(path)
  t.throws(() => opened(path), { code: 'bad-option', message: /could not use the audit log .*: EISDIR/ })
  await t.rejects(openNext(path), { code: 'bad-option', message: /EISDIR/ })
  t.throws(() => opened(join(path, 'x/y')), { code: 'bad-option', message: /ENOENT/ })
  t.throws(() => opened('/dev/null'), { code: 'bad-option', message: /it is no regular file/ })
  await t.rejects(openNext('/dev/null'), { code: 'bad-option', message: /it is no regular file/ })
})

t.test('the file that follows one that was moved away has to be empty', async (t) => {
  const path = log(t)
  const { file, place } = await openNext(path)
  t.teardown(() => closeSync(file))
  t.equal(fstatSync(file).ino, place.ino)
  t.equal(place.size, 0)
  writeFileSync(path, whole)
  await t.rejects(openNext(path), { code: 'bad-option', message: /another file, with something in it/ })
})

t.test('tells what has the name', async (t) => {
  const path = log(t)
  t.equal(await lookAt(path), undefined)
  writeFileSync(path, whole)
  const { ino, dev, size } = statSync(path)
  t.strictSame(await lookAt(path), { ino, dev, size })
  await t.rejects(lookAt(join(path, 'x')), { code: 'ENOTDIR' })
})
