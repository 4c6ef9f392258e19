/** `culvert audit` as a user runs it: the real program as a child process. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { chainOf, headOf } from '../audit/chains.ts'
import { culvertIn, type Ended } from './run-culvert.ts'

const audit = (folder: string, ...argv: string[]): Promise<Ended> => culvertIn(folder)('audit', ...argv)

function folderWith(t: Test, files: Readonly<Record<string, readonly Buffer[]>>): string {
  const folder = t.testdir()
  for (const [name, lines] of Object.entries(files)) writeFileSync(join(folder, name), Buffer.concat(lines))
  return folder
}

t.test('verifies the files of a chain, and tells its last hash', async (t) => {
  const lines = chainOf(30_000) // more than is read at once
  const folder = folderWith(t, { old: lines.slice(0, 20_000), young: lines.slice(20_000) })
  const { hash } = headOf(lines.at(-1)!)
  t.match(await audit(folder, 'verify', 'old', 'young', '--contains', hash), {
    code: 0,
    stdout: `whole, lines 1 to 30000 of the chain, the last hash is ${hash}\n`,
    stderr: '',
  })
  t.match(await audit(folder, 'verify', 'young', '--partial'), { code: 0, stdout: /^whole, lines 20001 to 30000 / })
})

t.test('names each place where a chain is broken', async (t) => {
  const lines = chainOf(5)
  const folder = folderWith(t, { log: [lines[0]!, lines[2]!, lines[3]!, lines[4]!.subarray(0, 50)] })
  t.strictSame(await audit(folder, 'verify', 'log'), {
    code: 1,
    stdout: '',
    stderr: [
      'culvert audit verify: log:2: a line is missing between line 1 and line 3 of the chain',
      'culvert audit verify: log:4: it is cut off: 50 bytes without the end of a line',
      '',
    ].join('\n'),
  })
  const { code, stdout } = await audit(folder, 'verify', 'log', '-o', 'json')
  t.equal(code, 1)
  t.match(JSON.parse(stdout), {
    ok: false,
    lines: 3,
    last: { seq: 4 },
    problems: [{ file: 'log', line: 2 }, { line: 4 }],
  })
})

t.test('says what is wrong with a command line or a file', async (t) => {
  const folder = folderWith(t, { long: [Buffer.alloc(200_000, 'x')] })
  t.match(await audit(folder, 'verify'), { code: 1, stderr: /name the files to verify, the oldest first/ })
  t.match(await audit(folder, 'verify', 'long', '--contains=12'), { code: 1, stderr: /--contains: expected the 64 / })
  t.match(await audit(folder, 'verify', 'nowhere'), { code: 1, stderr: /could not read nowhere: ENOENT/ })
  t.match(await audit(folder, 'verify', 'long'), { code: 1, stderr: /long:1: it is cut off: \d+ bytes/ })
  t.match(await audit(folder, 'verify', '--help'), { code: 0, stdout: /Usage: culvert audit verify <file>/ })
  t.match(await audit(folder), { code: 1, stderr: /no command given/ })
})
