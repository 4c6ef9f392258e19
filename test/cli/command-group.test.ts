import t, { type Test } from 'tap'
import { type CommandGroup, runGroup } from '../../src/cli/command-group.ts'
import type { Command, Outcome } from '../../src/platform/command-line.ts'
import { TunnelError } from '../../src/platform/errors.ts'

const command = (run: Command['run']): Command => ({
  usage: 'go <file> [flags]',
  summary: 'Go there.',
  about: ['Goes.'],
  flags: { fast: { help: 'Run.' } },
  examples: ['tool go a'],
  run,
})

const group = (run: Command['run']): CommandGroup => ({
  program: 'tool',
  summary: 'A tool.',
  commands: { go: command(run), 'come-back': command(run) },
  examples: ['First steps:', 'tool go a'],
})

async function ran(t: Test, argv: readonly string[], run: Command['run'] = gives({ kind: 'done', lines: [] })) {
  const out = t.capture(console, 'log')
  const err = t.capture(console, 'error')
  const code = await runGroup(group(run), argv)
  const lines = (calls: readonly { readonly args: readonly unknown[] }[]) => calls.map(({ args }) => args.join(' '))
  return { code, out: lines(out()), err: lines(err()) }
}

const gives =
  (outcome: Outcome): Command['run'] =>
  async () =>
    outcome

t.test('shows its commands, and what to begin with', async (t) => {
  const { code, out, err } = await ran(t, ['help'])
  t.equal(code, 0)
  t.strictSame(err, [])
  t.match(out.join('\n'), /^A tool\.\n\nUsage: tool <command> \[flags\]\n\nCommands:\n {2}go {9}Go there\.\n/)
  t.match(out.join('\n'), /\n\nFirst steps:\n {2}tool go a$/)
})

t.test('prints what a command gives, and what it warns of', async (t) => {
  t.strictSame(await ran(t, ['go'], gives({ kind: 'done', lines: ['a', 'b'], warnings: ['c'] })), {
    code: 0,
    out: ['a\nb'],
    err: ['tool go: c'],
  })
  t.match(await ran(t, ['go'], gives({ kind: 'failed', lines: ['a'] })), { code: 1, out: ['a'] })
})

t.test('says every mistake of a line, and where help is', async (t) => {
  const run: Command['run'] = async (_given, problems) => ({ kind: 'refused', problems: [...problems, 'name a file'] })
  t.strictSame(await ran(t, ['go', '--slow'], run), {
    code: 1,
    out: [],
    err: ['tool go: --slow: unknown flag', 'tool go: name a file', '"tool go --help" says more'],
  })
})

t.test('says each line of what went wrong, of errors of ours only', async (t) => {
  const fail = (error: Error) => async () => Promise.reject(error)
  t.strictSame(await ran(t, ['go'], fail(new TunnelError('bad-option', 'one\ntwo'))), {
    code: 1,
    out: [],
    err: ['tool go: one', 'tool go: two'],
  })
  await t.rejects(ran(t, ['go'], fail(new TypeError('a bug'))), { message: 'a bug' })
})

t.test('shows the help of a command, which does nothing then', async (t) => {
  const { code, out } = await ran(t, ['go', '-h'], async () => t.fail('it ran') as never)
  t.equal(code, 0)
  t.match(out[0], /^Go there\.\n\nUsage: tool go <file>/)
})

t.test('names what there is instead of a command that there is not', async (t) => {
  for (const [argv, problem] of [
    [[], 'tool: no command given'],
    [['toString'], 'tool: unknown command "toString"'],
    [['--fast'], 'tool: unknown flag "--fast"'],
  ] as const) {
    const { code, err } = await ran(t, argv)
    t.equal(code, 1)
    t.strictSame(err, [problem, 'expected one of go, come-back; "tool --help" says more'])
  }
})
