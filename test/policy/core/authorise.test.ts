import t from 'tap'
import { ipBytes } from '../../../src/platform/ip-address.ts'
import { authorise, pushedRules } from '../../../src/policy/core/authorise.ts'
import { readRules } from '../../../src/policy/core/read-rules.ts'
import { judge, type Rules } from '../../../src/policy/core/rules.ts'
import { createRandom } from '../../platform/random.ts'

const rulesOf = (...rules: object[]): Rules => {
  const read = readRules({ rules }, 'hub')
  if (!read.ok) throw new Error(JSON.stringify(read.problems))
  return read.rules
}
const said = (rules: Rules, principal: string, address: string): string => {
  const authorisation = authorise(rules, principal, address)
  return authorisation.kind === 'denied'
    ? authorisation.text.replace('not allowed by the policy of the cluster: ', '')
    : authorisation.kind
}

t.test('addresses are judged by the rules of who asks, who hears nobody’s name', async (t) => {
  const rules = rulesOf(
    { allow: { cidr: '10.0.0.0/8', ports: 443 } },
    { allow: { cidr: '10.9.0.0/16' }, from: ['prometheus', 'grafana'] },
    { deny: { cidr: '10.0.1.0/24' }, from: ['prometheus', 'somebody else'] },
  )
  t.equal(said(rules, 'apiserver', '10.0.1.1:443'), 'allowed')
  t.equal(said(rules, 'prometheus', '10.0.1.1:443'), 'rule 3, deny 10.0.1.0/24')
  t.equal(said(rules, 'prometheus', '10.9.0.1:9090'), 'allowed')
  t.equal(said(rules, 'apiserver', '10.9.0.1:9090'), 'no rule allows it')
  t.equal(said(rules, 'prometheus', '[::ffff:10.0.1.1]:443'), 'rule 3, deny 10.0.1.0/24')
})

t.test('what cannot be read one way is denied', async (t) => {
  const all = rulesOf({ allow: {} })
  for (const address of [
    '',
    'web',
    'web:',
    'web:0443',
    'web:https',
    ':443',
    '0x0a000001:443',
    '010.0.0.1:443',
    '10.1:443',
    '[web]:1',
    '::1:80',
    '[fe80::1%eth0]:80',
  ]) {
    t.equal(said(all, 'x', address), 'it is no name or address with a port', address)
  }
  t.equal(said(all, 'x', 'Web.:443'), 'allowed')
})

t.test('a name is no way around a denied range', async (t) => {
  const rules = rulesOf(
    { allow: { name: '*.example' } },
    { deny: { cidr: '10.0.0.0/8' } },
    { deny: { name: 'db.example' } },
  )
  t.equal(said(rules, 'x', 'web.example:443'), 'by-address', 'the agent judges the address')
  t.equal(said(rules, 'x', 'DB.example.:443'), 'rule 3, deny db.example')
  t.equal(said(rules, 'x', 'other:443'), 'no rule allows it')
})

t.test('nor one by which somebody gets what is for others only', async (t) => {
  const unjudged = 'it depends on the address, which the agent cannot judge for who asks'
  const forOthers = rulesOf({ allow: { cidr: '10.0.0.0/8' } }, { allow: { cidr: '192.168.0.0/16' }, from: 'admin' })
  t.equal(said(forOthers, 'x', 'web:443'), unjudged)
  t.equal(said(forOthers, 'admin', 'web:443'), 'by-address')
  const deniedToSome = rulesOf({ allow: {} }, { deny: { cidr: '10.0.0.0/8', ports: 443 }, from: 'x' })
  t.equal(said(deniedToSome, 'x', 'web:443'), unjudged)
  t.equal(said(deniedToSome, 'x', 'web:80'), 'allowed')
  t.equal(said(deniedToSome, 'y', 'web:443'), 'allowed')
})

t.test('what is pushed knows nobody', async (t) => {
  const rules = rulesOf(
    { allow: { cidr: '10.0.0.0/8' }, from: 'a' },
    { deny: { name: 'x' }, from: 'a' },
    { deny: { name: 'y' } },
  )
  t.strictSame(pushedRules(rules), rulesOf({ allow: { cidr: '10.0.0.0/8' } }, { deny: { name: 'y' } }))
})

t.test('property: server and agent together allow exactly what the rules of who asks allow, or less', async (t) => {
  const { below, pick, chance } = createRandom(31)
  const cidrs = ['10.0.0.0/8', '10.1.0.0/16', '0.0.0.0/0', '192.0.2.0/24']
  const rule = (): object => ({
    [pick(['allow', 'deny'])]: {
      ...(chance(60) && { cidr: pick(cidrs) }),
      ...(chance(50) && { name: pick(['a.b', '*.b', '*']) }),
      ...(chance(30) && { ports: pick([443, '1-100']) }),
    },
    ...(chance(40) && { from: pick(['p', 'q']) }),
  })
  let passed = 0
  for (let round = 0; round < 5_000; round++) {
    const given = Array.from({ length: below(6) }, rule)
    const rules = rulesOf(...given)
    const port = pick([80, 443])
    const address = ipBytes(pick(['10.1.0.1', '10.0.0.1', '192.0.2.1', '198.51.100.1']))
    const own = rules.filter(({ from }) => from.length === 0 || from.includes('p'))
    const should = judge(own, { name: 'a.b', address, port }).kind === 'allowed'
    const { kind } = authorise(rules, 'p', `a.b:${port}`)
    const agent = judge(pushedRules(rules), { name: 'a.b', address, port }).kind === 'allowed'
    const does = kind !== 'denied' && agent
    if (does && !should) t.fail(`opened by ${JSON.stringify(given)} for port ${port}, ${address}`)
    if (kind !== 'denied' && should && !does) t.fail(`closed by ${JSON.stringify(given)}`)
    if (does) passed++
  }
  t.ok(passed > 200, `${passed} were allowed`)
})
