import { readFileSync } from 'node:fs'
import t from 'tap'
import { culvert } from './run-culvert.ts'

t.test('shows its commands and examples when asked for help', async (t) => {
  for (const word of ['--help', '-h', 'help']) {
    const { code, stdout, stderr } = await culvert(word)
    t.equal(code, 0)
    t.equal(stderr, '')
    t.match(stdout, /Usage: culvert <command>[\s\S]*\n {2}pki +Make and inspect[\s\S]*Examples:\n/)
  }
})

t.test('shows the version of the package', async (t) => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  t.match(await culvert('--version'), { code: 0, stdout: `culvert ${version}\n`, stderr: '' })
})

t.test('says what to do about a command or flag that it does not know', async (t) => {
  for (const [argv, problem] of [
    [[], /^culvert: no command given\n/],
    [['tunnel'], /^culvert: unknown command "tunnel"\n/],
    [['--loud', 'pki'], /^culvert: unknown flag "--loud"\n/],
    [['constructor'], /^culvert: unknown command "constructor"\n/],
  ] as const) {
    const { code, stdout, stderr } = await culvert(...argv)
    t.equal(code, 1)
    t.equal(stdout, '')
    t.match(stderr, problem)
    t.match(stderr, /expected one of pki.*; "culvert --help" says more\n$/)
  }
})
