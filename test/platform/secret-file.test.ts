import { execFileSync } from 'node:child_process'
import { appendFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { readSmallFile, readTokenFile } from '../../src/platform/secret-file.ts'

const file = (t: { testdir: (files: Record<string, string>) => string }, text: string): string =>
  join(t.testdir({ token: text }), 'token')

t.test('gives the token without the blanks around it', async (t) => {
  t.equal(readTokenFile(file(t, ' eyJ.a-b_c.d\n')), 'eyJ.a-b_c.d')
})

t.test('reads it anew each time', async (t) => {
  const path = file(t, 'first')
  t.equal(readTokenFile(path), 'first')
  writeFileSync(path, 'second')
  t.equal(readTokenFile(path), 'second')
})

t.test('refuses what no header could carry, without a word of it', async (t) => {
  for (const [text, why] of [
    ['', /it is empty/],
    [' \n', /it is empty/],
    ['hunter2\nhunter2', /more than one line/],
    ['hunter2\0', /more than one line/],
    ['hünter2', /more than one line/],
  ] as const) {
    const path = file(t, text)
    t.throws(() => readTokenFile(path), { code: 'bad-option', message: why })
    t.throws(() => readTokenFile(path), { message: new RegExp(path) })
    try {
      readTokenFile(path)
    } catch (error) {
      t.notMatch((error as Error).stack, /h.nter2/)
    }
  }
})

t.test('takes a token of 16 KiB and none that is longer', async (t) => {
  const path = file(t, 'x'.repeat(16_384))
  t.equal(readTokenFile(path).length, 16_384)
  appendFileSync(path, 'x')
  t.throws(() => readTokenFile(path), { message: /it is over the limit of 16384 bytes/ })
})

t.test('says which file cannot be read, and why', async (t) => {
  const folder = t.testdir()
  t.throws(() => readSmallFile(join(folder, 'none'), 9), { code: 'bad-option', message: /none: there is no such file/ })
  t.throws(() => readSmallFile(folder, 9), { message: /it is no regular file/ })
  t.throws(() => readSmallFile('/dev/zero', 9), { message: /it is no regular file/ })
  const pipe = join(folder, 'pipe')
  execFileSync('mkfifo', [pipe])
  t.throws(() => readSmallFile(pipe, 9), { message: /it is no regular file/ }, 'without waiting for a writer')
})
