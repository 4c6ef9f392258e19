import t from 'tap'
import { commandHelp, type Flags, readLine } from '../../src/platform/command-line.ts'

const flags: Flags = {
  dir: { takes: 'folder', default: 'pki', help: 'A folder.' },
  ip: {
    takes: 'address',
    repeats: true,
    help: 'An address.',
    problem: (text) => (text === 'x' ? 'an address' : undefined),
  },
  output: { takes: 'format', short: 'o', help: 'A format.' },
  force: { help: 'Replace.' },
}

t.test('reads values in each form, words between them, and defaults', async (t) => {
  const { given, problems, help } = readLine(flags, [
    'a',
    '--dir=b=c',
    '--ip',
    '1',
    '-o',
    'json',
    '--ip=2',
    '--',
    '--force',
  ])
  t.strictSame(problems, [])
  t.notOk(help)
  t.equal(given.value('dir'), 'b=c')
  t.strictSame(given.all('ip'), ['1', '2'])
  t.equal(given.value('output'), 'json')
  t.strictSame(given.words, ['a', '--force'])
  t.notOk(given.isSet('force'))
  t.equal(readLine(flags, []).given.value('dir'), 'pki')
  t.notOk(readLine(flags, []).given.isSet('dir'))
})

t.test('takes the last of a flag that does not repeat', async (t) => {
  t.equal(readLine(flags, ['--dir', 'a', '--dir', 'b']).given.value('dir'), 'b')
})

t.test('finds every mistake', async (t) => {
  const { problems, given } = readLine(flags, ['--no', '-x', '--dir=', '--ip', '--force=yes', '--ip', 'x', '-o'])
  t.strictSame(problems, [
    '--no: unknown flag',
    '-x: unknown flag',
    '--dir: needs a value <folder>',
    '--ip: needs a value <address>',
    '--ip: expected an address, got "x"',
    '-o: needs a value <format>',
  ])
  t.ok(given.isSet('ip'), 'so that nobody also calls it missing')
  t.strictSame(given.all('ip'), [])
  t.strictSame(readLine(flags, ['--force=yes']).problems, ['--force: takes no value'])
})

t.test('takes a value that begins with a dash only behind an equals sign', async (t) => {
  t.strictSame(readLine(flags, ['--dir', '-a']).problems, ['--dir: needs a value <folder>'])
  t.equal(readLine(flags, ['--dir=-a']).given.value('dir'), '-a')
})

t.test('notices that help was asked for wherever it stands', async (t) => {
  t.ok(readLine(flags, ['a', '--help']).help)
  t.ok(readLine(flags, ['-h', '--nonsense']).help)
})

t.test('is not led astray by flags named like what every object has', async (t) => {
  t.strictSame(readLine(flags, ['--constructor', '--__proto__=x', '--toString']).problems, [
    '--constructor: unknown flag',
    '--__proto__: unknown flag',
    '--toString: unknown flag',
  ])
})

t.test('shows each flag with its value, default and help', async (t) => {
  const text = commandHelp('tool', {
    usage: 'go <file>',
    summary: 'Go.',
    about: ['Goes.'],
    flags,
    examples: ['tool go a'],
  })
  t.match(text, /^Go\.\n\nUsage: tool go <file>\n\nGoes\.\n\nFlags:\n/)
  t.match(text, /\n {6}--dir <folder> {3,}A folder\. \(default pki\)\n/)
  t.match(text, /\n {6}--ip <address> {3,}An address\. \(may be repeated\)\n/)
  t.match(text, /\n {2}-o, --output <format> {2}A format\.\n/)
  t.match(text, /\n {2}-h, --help .*\n\nExamples:\n {2}tool go a$/)
})
