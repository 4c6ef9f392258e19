import t from 'tap'
import { type AddressRange, readRange } from '../../../src/policy/core/address.ts'
import { readRules } from '../../../src/policy/core/read-rules.ts'
import type { Rules } from '../../../src/policy/core/rules.ts'
import { type DialTarget, type GateRules, refusalOf } from '../../../src/proxy-agent/core/gate.ts'

const rules = (...list: object[]): Rules => {
  const read = readRules({ rules: list })
  if (!read.ok) throw new Error(JSON.stringify(read.problems))
  return read.rules
}
const open: GateRules = { hubRanges: [], own: undefined, pushed: undefined }
const why = (gate: Partial<GateRules>, target: Partial<DialTarget>) =>
  refusalOf({ ...open, ...gate }, { port: 443, ...target })?.why
const text = (gate: Partial<GateRules>, target: Partial<DialTarget>) =>
  refusalOf({ ...open, ...gate }, { port: 443, ...target })?.text

t.test('without a policy everything but link-local addresses', async (t) => {
  for (const address of ['10.0.0.1', '127.0.0.1', '0.0.0.0', '::1', 'fec0::1']) t.equal(why({}, { address }), undefined)
  t.equal(why({}, { name: 'web' }), undefined)
  for (const address of [
    '169.254.169.254',
    'fe80::1',
    'fe80::1%eth0',
    '::ffff:169.254.1.1',
    '64:ff9b::a9fe:a9fe',
    '',
  ]) {
    t.equal(why({}, { address }), 'link_local', address)
  }
  const words = 'dial tcp 169.254.169.254:443: link-local addresses are not allowed by this agent'
  t.equal(text({}, { address: '169.254.169.254', name: 'metadata' }), words)
})

t.test('link-local and the hub, whatever the policy says', async (t) => {
  const own = rules({ allow: {} })
  const hubRanges = ['192.0.2.0/24', '2001:db8::/32'].map((range) => readRange(range) as AddressRange)
  t.equal(why({ own, hubRanges }, { address: '169.254.169.254' }), 'link_local')
  t.equal(why({ own, hubRanges }, { address: '192.0.2.7', name: 'hub.example' }), 'hub_range')
  t.equal(why({ hubRanges }, { address: '64:ff9b::192.0.2.7' }), 'hub_range')
  t.equal(why({ hubRanges }, { address: '2001:db8::1' }), 'hub_range')
  t.equal(why({ hubRanges }, { address: '192.0.3.7' }), undefined)
})

t.test('the server itself, at the port where it is reached only', async (t) => {
  const own = rules({ allow: {} })
  const server = { address: readRange('192.0.2.7') as AddressRange, port: 8132 }
  for (const address of ['192.0.2.7', '::ffff:192.0.2.7', '64:ff9b::192.0.2.7']) {
    t.equal(why({ own, server }, { address, port: 8132 }), 'hub_range', address)
    t.equal(why({ own, server }, { address, port: 6443 }), undefined, 'the API server beside it')
  }
  t.equal(why({ server }, { address: '192.0.2.8', port: 8132 }), undefined)
  t.equal(why({ server }, { name: 'hub.example', port: 8132 }), undefined, 'its address will tell')
})

t.test('the own policy', async (t) => {
  const own = rules({ allow: { cidr: '10.0.0.0/8' } }, { deny: { cidr: '10.1.0.0/16' } }, { deny: { name: 'db' } })
  t.equal(why({ own }, { address: '10.0.0.1' }), undefined)
  t.equal(why({ own }, { name: 'web' }), undefined, 'its address will tell')
  const denied = 'dial tcp 10.1.0.1:443: not allowed by the policy of this agent: rule 2, deny 10.1.0.0/16'
  t.equal(text({ own }, { address: '10.1.0.1', name: 'web' }), denied)
  t.equal(
    text({ own }, { address: '11.0.0.1' }),
    'dial tcp 11.0.0.1:443: not allowed by the policy of this agent: no rule allows it',
  )
  t.equal(text({ own }, { name: 'DB.' }), 'dial tcp DB.:443: not allowed by the policy of this agent: rule 3, deny db')
  t.equal(why({ own: [] }, { name: 'web' }), 'policy')
})

t.test('what the hub pushes only narrows', async (t) => {
  const own = rules({ allow: { cidr: '10.0.0.0/8' } })
  const wider = rules({ allow: {} })
  const narrower = rules({ allow: { cidr: '10.1.0.0/16' } })
  t.equal(why({ own, pushed: wider }, { address: '11.0.0.1' }), 'policy', 'never widens')
  t.equal(why({ own, pushed: narrower }, { address: '10.1.0.1' }), undefined)
  t.equal(why({ own, pushed: narrower }, { address: '10.2.0.1' }), 'hub_policy')
  t.equal(why({ pushed: narrower }, { address: '10.2.0.1' }), 'hub_policy', 'without an own one, too')
  t.equal(why({ pushed: wider }, { address: '169.254.1.1' }), 'link_local')
  t.equal(why({ pushed: 'unreadable' }, { address: '10.1.0.1' }), 'hub_policy_unreadable')
  t.equal(why({ pushed: 'unreadable' }, { name: 'web' }), 'hub_policy_unreadable')
})
