import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { Outcome } from '../../../src/platform/command-line.ts'
import { validate } from '../../../src/policy/commands/validate.ts'
import { run } from '../../platform/run-command.ts'

const linesOf = (outcome: Outcome): readonly string[] => (outcome.kind === 'refused' ? [] : outcome.lines)

const folder = (t: Test): string =>
  t.testdir({ 'good.yaml': 'rules: [{ allow: {} }]', 'bad.yaml': 'rules: [\n  { alow: {} }]', 'empty.yaml': '' })

t.test('validate says the version of what is good, and every problem of what is not', async (t) => {
  const at = folder(t)
  const [good, bad, none] = ['good.yaml', 'bad.yaml', 'none.yaml'].map((name) => join(at, name))
  const fine = await run(validate, [good!])
  t.equal(fine.kind, 'done')
  t.match(linesOf(fine), [/good\.yaml: good: version [0-9a-f]{12}, 1 rule$/])
  const mixed = await run(validate, [good!, bad!, none!])
  t.match(mixed, {
    kind: 'failed',
    lines: [/good\.yaml: good/],
    warnings: [/bad\.yaml:2: rules\.0\.alow: expected one of the keys/, /none\.yaml: there is no such file/],
  })
})

t.test('validate knows a hub’s policy when that is said, and how long it may be', async (t) => {
  const cidr = Array.from({ length: 900 }, (_, index) => `::${(index + 1).toString(16)}`)
  const at = t.testdir({
    'hub.yaml': 'rules: [{ allow: {}, from: user/bob }, { deny: { name: db }, from: user/bob }]',
    'pushed.yaml': 'rules: [{ allow: {} }]',
    'long.yaml': JSON.stringify({ rules: Array(10).fill({ allow: { cidr } }) }),
  })
  const [hub, pushed, long] = ['hub.yaml', 'pushed.yaml', 'long.yaml'].map((name) => join(at, name))
  t.match(await run(validate, [hub!]), {
    kind: 'failed',
    warnings: [/hub\.yaml:1: rules\.0\.from: expected one of the keys/, /rules\.1\.from/],
  })
  const version = linesOf(await run(validate, [pushed!]))[0]?.match(/version (\w+)/)?.[1]
  t.strictSame(linesOf(await run(validate, [hub!, '--hub'])), [`${hub}: good: version ${version}, 2 rules`])
  t.equal((await run(validate, [long!])).kind, 'done', 'nobody pushes that of an agent')
  t.match(await run(validate, [long!, '--hub']), {
    kind: 'failed',
    warnings: [/long\.yaml:1: expected rules that take at most 65536 bytes when they are pushed/],
  })
})

t.test('validate as JSON', async (t) => {
  const at = folder(t)
  const outcome = await run(validate, [join(at, 'good.yaml'), join(at, 'bad.yaml'), '-o', 'json'])
  t.equal(outcome.kind, 'failed')
  t.match(JSON.parse(linesOf(outcome).join('\n')), [
    { ok: true, version: /^[0-9a-f]{12}$/, rules: 1, problems: [] },
    { ok: false, problems: [/bad\.yaml:2/] },
  ])
})

t.test('validate wants files', async (t) => {
  t.strictSame(await run(validate, []), { kind: 'refused', problems: ['name a file to validate'] })
  t.match(await run(validate, ['x', '-o', 'xml']), { kind: 'refused' })
  t.match(await run(validate, [folder(t)]), { kind: 'failed', warnings: [/expected one file with a policy/] })
})
