/** The program itself: test/cli/audit.test.ts. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { verify } from '../../../src/audit/commands/verify.ts'
import { problemsOf, run } from '../../platform/run-command.ts'
import { chainOf, headOf } from '../chains.ts'

const lines = chainOf(4)
const { hash } = headOf(lines.at(-1)!)

function file(t: Test, ...parts: readonly Buffer[]): string {
  const path = join(t.testdir(), 'log')
  writeFileSync(path, Buffer.concat(parts))
  return path
}

t.test('tells of a whole chain where it begins and ends', async (t) => {
  const path = file(t, ...lines)
  t.strictSame(await run(verify, [path]), {
    kind: 'done',
    lines: [`whole, lines 1 to 4 of the chain, the last hash is ${hash}`],
    warnings: [],
  })
  const outcome = await run(verify, [path, '-o', 'json'])
  t.match(outcome, { kind: 'done' })
  const json = outcome.kind === 'done' ? JSON.parse(outcome.lines.join('\n')) : undefined
  t.match(json, { ok: true, lines: 4, first: { seq: 1 }, last: { seq: 4, hash }, problems: [], more: 0 })
})

t.test('a chain that begins anywhere is whole only when that was said', async (t) => {
  const path = file(t, ...lines.slice(1))
  t.match(await run(verify, [path]), { kind: 'failed', lines: [] })
  t.match(await run(verify, [path, '--partial']), { kind: 'done', lines: [/lines 2 to 4/] })
})

t.test('misses a line that was to be there', async (t) => {
  const path = file(t, ...lines)
  t.match(await run(verify, [path, '--contains', hash]), { kind: 'done' })
  t.match(await run(verify, [path, '--contains', '00'.repeat(32)]), { kind: 'failed' })
})

t.test('names the places only that it can, and says that there are more', async (t) => {
  const path = file(t, ...Array.from({ length: 2_000 }, () => lines[1]!))
  const outcome = await run(verify, [path])
  t.match(outcome, { kind: 'failed' })
  const warnings = outcome.kind === 'failed' ? (outcome.warnings ?? []) : []
  t.ok(warnings.length < 2_000)
  t.match(warnings.at(-1), /^and \d+ problems more$/)
})

t.test('refuses a line without files, and one that it does not understand', async (t) => {
  t.match(await problemsOf(verify), [/name the files to verify/])
  t.match(await problemsOf(verify, 'log', '--contains', 'ABCD', '-o', 'yaml'), [/--contains/, /text or json/])
})

t.test('takes a file without a line for whole only where those before it are gone', async (t) => {
  const path = file(t)
  t.match(await run(verify, [path]), { kind: 'failed', warnings: [/there is no line: every log has one/] })
  t.match(await run(verify, [path, '--partial']), { kind: 'done', lines: [], warnings: [/there is no line, as/] })
  t.match(await run(verify, [path, '--partial', '--contains', hash]), {
    kind: 'failed',
    warnings: [/there is no line/, /is not in the/],
  })
})
