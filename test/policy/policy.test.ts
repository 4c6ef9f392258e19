import t from 'tap'
import { MAX_PUSHED_BYTES } from '../../src/policy/core/authorise.ts'
import { MAX_PROBLEMS } from '../../src/policy/core/read-rules.ts'
import { loadPolicy, MAX_POLICY_BYTES, policyOf, readPolicyText, readPushedPolicy } from '../../src/policy/policy.ts'

const problems = (text: string): readonly string[] => {
  const read = readPolicyText(text, 'p.yaml')
  return read.ok ? [] : read.problems
}
const version = (text: string): string => {
  const read = readPolicyText(text, 'p.yaml')
  return read.ok ? read.policy.version : read.problems.join()
}

t.test('one document with rules, as YAML or JSON', async (t) => {
  const yaml = 'rules:\n  # nodes\n  - allow: { cidr: 10.0.0.0/8, ports: [10250] }\n'
  t.match(version(yaml), /^[0-9a-f]{12}$/)
  t.equal(version('{"rules":[{"allow":{"ports":"10250","cidr":["10.0.0.0/8"]},"comment":"nodes"}]}'), version(yaml))
  t.not(version('rules:\n  - deny: { cidr: 10.0.0.0/8, ports: [10250] }\n'), version(yaml))
  t.strictSame(policyOf([]), { rules: [], version: version('rules: []') })
})

t.test('says file, line and place of what is wrong', async (t) => {
  t.strictSame(
    problems(
      'rules:\n  - allow: { ports: [443] }\n  - deny:\n      cidr:\n        - 10.0.0.0/8\n        - 10.0.0.1/8\n',
    ),
    ['p.yaml:6: rules.1.deny.cidr.1: expected the first address of the range, 10.0.0.0/8'],
  )
  t.strictSame(problems('rule: []'), ['p.yaml:1: rule: expected one of the keys rules, got "rule"'])
  t.match(problems('- a'), ['p.yaml:1: expected a map with the key rules'])
  t.strictSame(problems(''), ['p.yaml: expected one document with the key rules, got none'])
  t.strictSame(problems('rules: []\n---\nrules: []\n'), ['p.yaml: expected one document with the key rules, got 2'])
  t.match(problems('rules: &a [*a]'), [/^p\.yaml:1: expected no /])
  t.match(problems(`# ${'x'.repeat(MAX_POLICY_BYTES)}`), [/expected at most 1048576 bytes/])
})

t.test('is loaded from the one file that is watched', async (t) => {
  t.match(loadPolicy([{ path: 'p', text: 'rules: []' }]), { ok: true, value: { rules: [] } })
  t.strictSame(loadPolicy([]), { ok: false, problems: ['expected one file with a policy'] })
  t.match(loadPolicy([{ path: 'p', text: 'x' }]), { ok: false })
})

t.test('tells the first problems only, and no more of a key than shows which it is', async (t) => {
  const told = problems(JSON.stringify(Object.fromEntries(Array.from({ length: 30_000 }, (_, n) => [`k${n}`, 1]))))
  t.equal(told.length, MAX_PROBLEMS)
  const bad = Array.from({ length: 1_000 }, () => 'x y')
  t.equal(problems(JSON.stringify({ rules: [{ allow: { name: bad, cidr: bad } }] })).length, MAX_PROBLEMS)
  const [long = ''] = problems(`{"rules": [], "${'x'.repeat(900)}": 1}`)
  t.match(long, /expected one of the keys rules/)
  t.ok(long.length < 400)
})

t.test('a hub’s policy is as long as can be pushed, measured as it goes over the wire', async (t) => {
  const ofSome = (count: number, from = ''): string => {
    const address = (n: number): string => `"::${(n + 1).toString(16)}"`
    const rule = (n: number): string =>
      `{deny: {cidr: [${Array.from({ length: 1_000 }, (_, i) => address(n * 1_000 + i))}]}${from}}`
    return `rules: [${Array.from({ length: count }, (_, n) => rule(n))}]`
  }
  const asHub = (text: string) => readPolicyText(text, 'p.yaml', 'hub')
  t.equal(asHub(ofSome(4)).ok, true)
  t.match(asHub(ofSome(6)), {
    ok: false,
    problems: [/^p\.yaml:1: expected rules that take at most 65536 bytes when they are pushed to agents, got \d+: /],
  })
  t.ok(ofSome(6).length < 65_536, 'it is shorter in the file')
  t.equal(asHub(ofSome(6, ', from: user/bob')).ok, true, 'these are kept by the server')
  t.equal(readPolicyText(ofSome(6), 'p.yaml').ok, true, 'an agent’s own is pushed to nobody')
})

t.test('to the byte', async (t) => {
  const written = (names: readonly string[]): string => JSON.stringify({ rules: [{ deny: { name: names } }] })
  const names = Array.from({ length: 770 }, (_, n) => `${'a'.repeat(60)}.${'b'.repeat(15)}${1_000 + n}`)
  for (let room = 0; room === 0 || room > 200; room = MAX_PUSHED_BYTES - written(names).length) {
    names.push(`${'c'.repeat(60)}.x${names.length}`)
  }
  const last = (over: number): string => {
    const chars = MAX_PUSHED_BYTES + over - written([...names, '']).length
    return `${'d.'
      .repeat(100)
      .slice(0, chars - 1)
      .replace(/\.$/, 'd')}d`
  }
  for (const over of [0, 1]) {
    const text = written([...names, last(over)])
    t.equal(text.length, MAX_PUSHED_BYTES + over)
    t.equal(readPolicyText(text, 'p', 'hub').ok, over === 0)
  }
})

t.test('a key of a stranger does nothing to the terminal or the log that shows it', async (t) => {
  const key = '\\u001b[2J\\u202e\\ufeffx'
  for (const read of [readPolicyText(`{"${key}": 1}`, 'p.yaml'), readPushedPolicy(`{"${key}": 1, "rules": []}`)]) {
    t.notOk(read.ok)
    if (!read.ok) t.match(read.problems.join('\n'), /^[ -~]*\?\[2J\?\?x: expected [ -~]+$/m)
    if (!read.ok) t.notMatch(read.problems.join('\n'), /[\p{Cc}\p{Cf}]/u)
  }
})
