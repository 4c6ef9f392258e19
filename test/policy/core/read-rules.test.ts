import { readFileSync } from 'node:fs'
import { Ajv } from 'ajv'
import t from 'tap'
import { readIdentity } from '../../../src/pki/identity.ts'
import { MAX_ITEMS, MAX_RULES, readRules, writeRules } from '../../../src/policy/core/read-rules.ts'
import { principalOf } from '../../../src/proxy-server/core/admission.ts'
import { createRandom } from '../../platform/random.ts'

const schema = JSON.parse(readFileSync(new URL('../../../config/policy.schema.json', import.meta.url), 'utf8'))
const fitsSchema = new Ajv({ strict: true, strictRequired: false }).compile(schema)

const problems = (document: unknown): string[] => {
  const read = readRules(document)
  return read.ok ? [] : read.problems.map(({ pointer, expected }) => `${pointer}: ${expected}`)
}
const ofRule = (rule: unknown): string[] => problems({ rules: [rule] })

/** What the shape of a document is told by, in the reader and in the schema alike. */
const good: readonly unknown[] = [
  { rules: [] },
  { rules: [{ allow: {} }] },
  { rules: [{ deny: { cidr: '10.0.0.0/8' }, comment: 'why' }] },
  {
    rules: [{ allow: { cidr: ['10.0.0.0/8', '::1'], name: ['a.b', '*.c', '*'], ports: [1, 65535, '1-65535', '80'] } }],
  },
  { rules: [{ allow: { name: 'A.b.', ports: 443 } }] },
]
const bad: readonly unknown[] = [
  undefined,
  null,
  [],
  'rules',
  {},
  { rules: {} },
  { rules: [], more: 1 },
  { rules: [null] },
  { rules: [{}] },
  { rules: [{ allow: {}, deny: {} }] },
  { rules: [{ reject: {} }] },
  { rules: [{ allow: {}, log: true }] },
  { rules: [{ allow: [] }] },
  { rules: [{ allow: null }] },
  { rules: [{ allow: {}, comment: 1 }] },
  { rules: [{ allow: { host: 'a' } }] },
  { rules: [{ allow: { cidr: [] } }] },
  { rules: [{ allow: { cidr: 10 } }] },
  { rules: [{ allow: { cidr: [['10.0.0.0/8']] } }] },
  { rules: [{ allow: { cidr: null } }] },
  { rules: [{ allow: { name: 'a b' } }] },
  { rules: [{ allow: { name: 'a.*' } }] },
  { rules: [{ allow: { name: true } }] },
  { rules: [{ allow: { ports: 0 } }] },
  { rules: [{ allow: { ports: 65536 } }] },
  { rules: [{ allow: { ports: 1.5 } }] },
  { rules: [{ allow: { ports: [[443]] } }] },
  { rules: [{ allow: { ports: 'https' } }] },
  { rules: [{ allow: { ports: '1-2-3' } }] },
  { rules: Array.from({ length: MAX_RULES + 1 }, () => ({ allow: {} })) },
  { rules: [{ allow: { ports: Array.from({ length: MAX_ITEMS + 1 }, () => 443) } }] },
]

t.test('takes what the shipped schema takes, and refuses what it refuses', async (t) => {
  for (const document of good) {
    t.strictSame(problems(document), [], JSON.stringify(document))
    t.ok(fitsSchema(document), JSON.stringify(fitsSchema.errors))
  }
  for (const document of bad) {
    t.not(problems(document).length, 0, JSON.stringify(document)?.slice(0, 100))
    t.notOk(fitsSchema(document), JSON.stringify(document)?.slice(0, 100))
  }
  t.strictSame(problems({ rules: Array.from({ length: MAX_RULES }, () => ({ allow: {} })) }), [])
})

t.test('refuses besides what only a reader can tell', async (t) => {
  t.strictSame(ofRule({ allow: { cidr: '10.1.0.0/8' } }), [
    '/rules/0/allow/cidr: the first address of the range, 10.0.0.0/8',
  ])
  t.match(ofRule({ allow: { name: ['a', '10.0.0.1'] } }), [/^\/rules\/0\/allow\/name\/1: a name such as/])
  t.match(ofRule({ allow: { name: '0xa9fea9fe' } }), [/a name such as/])
  t.match(ofRule({ allow: { ports: '100-1' } }), [/a port from 1 to 65535, or a range/])
  t.match(ofRule({ allow: { ports: '1-65536' } }), [/a port from 1 to 65535/])
})

t.test('names the place of every problem', async (t) => {
  t.strictSame(ofRule({ alow: {} }), ['/rules/0/alow: one of the keys allow, deny, comment, got "alow"'])
  t.strictSame(ofRule({ allow: { 'a/b': 1 } }), ['/rules/0/allow/a~1b: one of the keys cidr, name, ports, got "a/b"'])
  t.strictSame(
    problems({ rules: [{ allow: { ports: 0 } }, { deny: { ports: [1, 'x'] } }] }).map((line) => line.split(':')[0]),
    ['/rules/0/allow/ports', '/rules/1/deny/ports/1'],
  )
})

t.test('who asks is for a hub’s rules', async (t) => {
  const rule = { allow: {}, from: ['cluster/eu-1/apiserver', 'user/bob'] }
  t.strictSame(ofRule(rule), ['/rules/0/from: one of the keys allow, deny, comment, got "from"'])
  const read = readRules({ rules: [rule, { deny: {}, from: 'x' }] }, 'hub')
  t.strictSame(read.ok && read.rules.map(({ from }) => from), [rule.from, ['x']])
  t.equal(
    read.ok && writeRules(read.rules),
    '{"rules":[{"allow":{},"from":["cluster/eu-1/apiserver","user/bob"]},{"deny":{},"from":["x"]}]}',
  )
  for (const from of [[], '', 7, null, [''], ['x'.repeat(1_025)], {}]) {
    const document = { rules: [{ allow: {}, from }] }
    t.match(readRules(document, 'hub'), { ok: false, problems: [{ expected: /^who asks|^1 to/ }] })
    t.notOk(fitsSchema(document))
  }
  t.ok(fitsSchema({ rules: [rule] }))
})

t.test('who asks is told by names that there are', async (t) => {
  const names = ['user/prometheus', 'cluster/eu-1/apiserver']
  const expected = `who asks, such as ${names.join(' or ')}`
  const problems = [{ pointer: '/rules/0/from', expected }]
  t.strictSame(readRules({ rules: [{ allow: {}, from: 7 }] }, 'hub'), { ok: false, problems })
  for (const name of names) {
    t.equal(principalOf(readIdentity(`URI:spiffe://hub.example/${name}`, 'hub.example'), ''), name)
  }
})

t.test('equal rules are written alike, and read back as themselves', async (t) => {
  const read = (document: unknown) => {
    const result = readRules(document)
    return result.ok ? result.rules : []
  }
  const one = read({ rules: [{ comment: 'x', allow: { ports: '443', cidr: 'FD00::/8', name: 'A.b.' } }] })
  const other = read({ rules: [{ allow: { name: ['a.b'], cidr: ['fd00:0::/8'], ports: [443] } }] })
  t.equal(writeRules(one), writeRules(other))
  t.equal(writeRules(one), '{"rules":[{"allow":{"cidr":["fd00::/8"],"name":["a.b"],"ports":["443"]}}]}')
  for (const document of good) t.strictSame(read(JSON.parse(writeRules(read(document)))), read(document))
})

t.test('never throws, whatever it is given', async (t) => {
  const { below, pick } = createRandom(23)
  const leaf = (): unknown => pick([null, 1, '10.0.0.0/8', 'a.b', [], {}, true, -1, '1-2', '*', 1e99])
  const value = (depth: number): unknown => {
    if (depth === 0 || below(4) === 0) return leaf()
    const keys = ['rules', 'allow', 'deny', 'cidr', 'name', 'ports', 'comment', 'toString', 'constructor']
    if (below(2) === 0) return Array.from({ length: below(3) }, () => value(depth - 1))
    return Object.fromEntries(Array.from({ length: below(3) }, () => [pick(keys), value(depth - 1)]))
  }
  for (let round = 0; round < 5_000; round++) {
    const document = { rules: [value(4)] }
    const read = readRules(document)
    if (read.ok && !fitsSchema(document)) t.fail(`the schema refuses ${JSON.stringify(document)}`)
  }
})
