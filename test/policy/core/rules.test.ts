import t from 'tap'
import { ipBytes } from '../../../src/platform/ip-address.ts'
import { readRules } from '../../../src/policy/core/read-rules.ts'
import { judge, type Rules, ruleText, type Verdict } from '../../../src/policy/core/rules.ts'
import { createRandom } from '../../platform/random.ts'

const rulesOf = (...rules: object[]): Rules => {
  const read = readRules({ rules })
  if (!read.ok) throw new Error(JSON.stringify(read.problems))
  return read.rules
}
const address = (text: string, port = 443, name?: string) => ({ address: ipBytes(text), port, name })
const allowed = (rule: number): Verdict => ({ kind: 'allowed', rule })
const denied = (rule?: number): Verdict => ({ kind: 'denied', rule })

t.test('what no rule allows is denied', async (t) => {
  t.strictSame(judge([], address('10.0.0.1')), denied())
  const rules = rulesOf({ allow: { cidr: '10.0.0.0/8', ports: [443, '8000-8100'] } })
  for (const port of [443, 8000, 8100]) t.strictSame(judge(rules, address('10.0.0.1', port)), allowed(0))
  for (const port of [442, 444, 7999, 8101]) t.strictSame(judge(rules, address('10.0.0.1', port)), denied())
  t.strictSame(judge(rules, address('11.0.0.1')), denied())
  t.strictSame(judge(rules, address('::1')), denied())
})

t.test('a rule that denies wins, wherever it stands', async (t) => {
  const allow = { allow: { cidr: '10.0.0.0/8' } }
  const deny = { deny: { cidr: '10.1.0.0/16' } }
  t.strictSame(judge(rulesOf(allow, deny), address('10.1.0.1')), denied(1))
  t.strictSame(judge(rulesOf(deny, allow), address('10.1.0.1')), denied(0))
  t.strictSame(judge(rulesOf(deny, allow), address('10.2.0.1')), allowed(1))
  t.strictSame(judge(rulesOf({ allow: {} }, { deny: { ports: 22 } }), address('10.1.0.1', 22)), denied(1))
})

t.test('a name opens no denied range, and a range denies all forms of its addresses', async (t) => {
  const rules = rulesOf(
    { allow: { name: '*.example.com' } },
    { allow: { cidr: '::/0' } },
    { deny: { cidr: '10.0.0.0/8' } },
  )
  t.strictSame(judge(rules, address('192.0.2.1', 443, 'a.example.com')), allowed(0))
  t.strictSame(judge(rules, address('10.0.0.1', 443, 'a.example.com')), denied(2))
  t.strictSame(judge(rules, address('64:ff9b::10.0.0.1')), denied(2))
  t.strictSame(judge(rules, address('::ffff:10.0.0.1')), denied(2))
  t.strictSame(judge(rules, address('2001:db8::1')), allowed(1))
  const loopback = rulesOf({ allow: {} }, { deny: { cidr: ['127.0.0.0/8', '::1'] } })
  for (const text of ['127.0.0.1', '0.0.0.0', '::', '::1'])
    t.strictSame(judge(loopback, address(text)), denied(1), text)
  t.strictSame(
    judge(rulesOf({ allow: { cidr: '127.0.0.0/8' } }), address('0.0.0.0')),
    denied(),
    'allowed by its own form only',
  )
})

t.test('of cidr and name one has to fit; a rule with neither fits everything', async (t) => {
  const rules = rulesOf({ allow: { cidr: '10.0.0.0/8', name: 'web' } })
  t.strictSame(judge(rules, address('192.0.2.1', 1, 'web')), allowed(0))
  t.strictSame(judge(rules, address('10.0.0.1', 1, 'other')), allowed(0))
  t.strictSame(judge(rules, address('192.0.2.1', 1, 'other')), denied())
  t.strictSame(judge(rulesOf({ allow: { name: '*' } }), address('10.0.0.1')), denied(), 'an address has no name')
})

t.test('a name that is not resolved yet', async (t) => {
  const judged = (name: string, ...rules: object[]): Verdict => judge(rulesOf(...rules), { name, port: 443 })
  t.strictSame(judged('web', { allow: { name: 'web' } }), allowed(0))
  t.strictSame(judged('db', { allow: { name: 'web' } }), denied())
  t.strictSame(judged('web', { allow: {} }, { deny: { name: 'web' } }), denied(1))
  t.strictSame(judged('web', { allow: { name: 'web' } }, { deny: { cidr: '10.0.0.0/8' } }), { kind: 'by-address' })
  t.strictSame(judged('web', { allow: { cidr: '10.0.0.0/8' } }), { kind: 'by-address' })
  t.strictSame(judged('web', { allow: { cidr: '10.0.0.0/8', ports: 80 } }), denied(), 'no range of its port')
  t.strictSame(judged('web', { allow: {} }, { deny: { cidr: '10.0.0.0/8', ports: 80 } }), allowed(0))
})

t.test('what a rule is shown as', async (t) => {
  const shown = (rule: object): string => ruleText(rulesOf(rule)[0]!)
  t.equal(
    shown({ deny: { cidr: ['10.0.0.0/8', '::1'], name: '*.X.', ports: [443, '8000-8100'] } }),
    'deny 10.0.0.0/8, ::1/128, *.x ports 443, 8000-8100',
  )
  t.equal(shown({ allow: {} }), 'allow everything')
  t.equal(shown({ allow: { ports: [1, 2, 3, 4, 5, 6] } }), 'allow everything ports 1, 2, 3, 4 and 2 more')
})

t.test(
  'properties: order means nothing, denying never opens, an unresolved verdict holds for every address',
  async (t) => {
    const { below, pick, chance } = createRandom(17)
    const cidrs = ['10.0.0.0/8', '10.1.0.0/16', '0.0.0.0/0', '::/0', 'fd00::/8', '127.0.0.0/8']
    const names = ['a.b', '*.b', '*', 'c']
    const targets = ['10.0.0.1', '10.1.0.1', '192.0.2.1', 'fd00::1', '64:ff9b::10.1.0.1', '0.0.0.0', '127.0.0.1']
    const rule = (): object => ({
      [pick(['allow', 'deny'])]: {
        ...(chance(60) && { cidr: pick(cidrs) }),
        ...(chance(40) && { name: pick(names) }),
        ...(chance(40) && { ports: pick([443, '1-100', [80, 443]]) }),
      },
    })
    for (let round = 0; round < 3_000; round++) {
      const given = Array.from({ length: below(6) }, rule)
      const rules = rulesOf(...given)
      const name = pick([undefined, 'a.b', 'c', 'd'])
      const port = pick([80, 443, 8080])
      const target = { address: ipBytes(pick(targets)), port, name }
      const verdict = judge(rules, target)
      const turned = judge(rulesOf(...given.toReversed()), target)
      if (verdict.kind !== turned.kind) t.fail(`order matters: ${JSON.stringify(given)}`)
      const more = judge(rulesOf(...given, { deny: { cidr: pick(cidrs) } }), target)
      if (verdict.kind === 'denied' && more.kind !== 'denied') t.fail(`denying opened: ${JSON.stringify(given)}`)
      if (name === undefined) continue
      const before = judge(rules, { name, port })
      if (before.kind !== 'by-address' && before.kind !== verdict.kind)
        t.fail(`the name said ${before.kind}: ${JSON.stringify(given)}`)
    }
  },
)
