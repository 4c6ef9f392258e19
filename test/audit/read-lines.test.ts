/** A log is read whatever its size is, and no line of it is held beyond the longest that there may be. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { readLines } from '../../src/audit/read-lines.ts'

/** More than is read at once. */
const LONG_BYTES = 3 * 1024 * 1024

/** What was told of a file with these bytes, in its order: the length of each line, or of the rest with a minus. */
async function told(t: Test, bytes: string | Buffer, maxBytes = 100): Promise<string[]> {
  const file = join(t.testdir(), 'log')
  writeFileSync(file, bytes)
  const all: string[] = []
  await readLines(file, maxBytes, {
    line: (line) => all.push(Buffer.from(line).toString('latin1')),
    rest: (length) => all.push(`rest of ${length}`),
  })
  return all
}

t.test('tells each line without its end, empty ones too', async (t) => {
  t.strictSame(await told(t, 'a\n\nbc\n'), ['a', '', 'bc'])
  t.strictSame(await told(t, ''), [])
  t.strictSame(await told(t, '\n'), [''])
})

t.test('tells what is behind the last line end by its length only', async (t) => {
  t.strictSame(await told(t, 'a\nbcd'), ['a', 'rest of 3'])
  t.strictSame(await told(t, 'b'), ['rest of 1'])
})

t.test('puts lines together that lie in two reads', async (t) => {
  const lines = Array.from({ length: LONG_BYTES / 96 }, (_, index) => String(index).padStart(95, '.'))
  t.strictSame(await told(t, `${lines.join('\n')}\n`), lines)
})

t.test('reads no further than a line that is too long, and holds little of it', async (t) => {
  const [rest = '', ...more] = await told(t, Buffer.concat([Buffer.alloc(LONG_BYTES, 'x'), Buffer.from('\nnext\n')]))
  t.match(rest, /^rest of \d+$/)
  t.ok(Number(rest.slice('rest of '.length)) < LONG_BYTES, rest)
  t.strictSame(more, [])
})

t.test('a line of exactly the longest length is one, though its end is in the next read', async (t) => {
  const read = 1024 * 1024
  const before = `${'y'.repeat(read - 101)}\n`
  t.strictSame((await told(t, `${before}${'z'.repeat(100)}\nlast\n`)).slice(1), ['z'.repeat(100), 'last'])
})

t.test('says which file cannot be read, and why', async (t) => {
  const nobody = { line: () => undefined, rest: () => undefined }
  const [missing, folder] = [join(t.testdir(), 'none'), t.testdir()]
  await t.rejects(readLines(missing, 100, nobody), { code: 'bad-option', message: `could not read ${missing}: ENOENT` })
  await t.rejects(readLines(folder, 100, nobody), { code: 'bad-option', message: `could not read ${folder}: EISDIR` })
})
