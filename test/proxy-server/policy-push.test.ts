import t from 'tap'
import { readRules } from '../../src/policy/core/read-rules.ts'
import { type Policy, policyOf, readPolicyText } from '../../src/policy/policy.ts'
import type { PushedPolicy } from '../../src/proxy-server/core/agent-record.ts'
import { createPolicyPush } from '../../src/proxy-server/policy-push.ts'
import { recordedLog } from '../platform/recorded-log.ts'
import { recordedMetrics } from './recorded-metrics.ts'

const policy = (...rules: object[]): Policy => {
  const read = readRules({ rules }, 'hub')
  if (!read.ok) throw new Error(JSON.stringify(read.problems))
  return policyOf(read.rules)
}

function setup(takes = true) {
  let current: Policy | undefined
  const sent: (readonly [version: string, rules: string])[] = []
  const record: { policy: PushedPolicy | undefined } = { policy: undefined }
  const metrics = recordedMetrics()
  const refusing: boolean[] = []
  const push = createPolicyPush({
    session: { pushPolicy: (version, rules) => sent.push([version, rules]) },
    takes,
    policy: () => current,
    record,
    refusing: (is) => refusing.push(is),
    metrics,
    log: recordedLog(),
  })
  const set = (next: Policy | undefined): void => {
    current = next
    push.push()
  }
  return { push, set, sent, record, refusing, metrics }
}

t.test('says nothing without a policy, and nothing to an agent that takes none', async (t) => {
  const { push, sent, record } = setup()
  push.push()
  const stock = setup(false)
  stock.set(policy({ allow: {} }))
  t.strictSame([sent, record.policy, stock.sent, stock.record.policy], [[], undefined, [], undefined])
})

t.test('pushes what an agent can see to, under the version of just that', async (t) => {
  const { set, sent, record } = setup()
  set(policy({ allow: { cidr: '10.0.0.0/8' }, from: 'a' }, { deny: { cidr: '10.1.0.0/16' }, from: 'a' }))
  const [version, text] = sent[0]!
  t.equal(text, '{"rules":[{"allow":{"cidr":["10.0.0.0/8"]}}]}')
  const read = readPolicyText(text, 'p')
  t.equal(read.ok && read.policy.version, version)
  t.strictSame(record.policy, { version, state: 'pushed' })
})

t.test('knows how the agent took it, once, and of the last one only', async (t) => {
  const { push, set, sent, record, metrics } = setup()
  push.answered({ version: '', accepted: true, reason: '' })
  set(policy({ allow: { cidr: '10.0.0.0/8' } }))
  set(policy({ allow: { cidr: '10.1.0.0/16' } }))
  const [first = '', second = ''] = sent.map(([version]) => version)
  push.answered({ version: first, accepted: false, reason: 'late' })
  t.strictSame(record.policy, { version: second, state: 'pushed' })
  push.answered({ version: second, accepted: false, reason: 'r'.repeat(1_000) })
  t.strictSame(record.policy, { version: second, state: 'refused', reason: 'r'.repeat(256) })
  push.answered({ version: second, accepted: true, reason: '' })
  t.strictSame(metrics.counted, [['policyAnswered', 'refused']])
  set(policy({ allow: {} }))
  push.answered({ version: sent[2]![0], accepted: true, reason: '' })
  t.strictSame(record.policy, { version: sent[2]![0], state: 'accepted' })
  t.strictSame(metrics.counted.slice(1), [['policyAnswered', 'accepted']])
})

t.test('says nothing twice, and takes a policy that is gone back by one that allows all', async (t) => {
  const { set, sent, push } = setup()
  set(undefined)
  t.strictSame(sent, [])
  set(policy({ allow: { cidr: '10.0.0.0/8' } }))
  push.push()
  t.equal(sent.length, 1)
  set(undefined)
  push.push()
  t.strictSame(
    sent.slice(1).map(([, text]) => text),
    ['{"rules":[{"allow":{}}]}'],
  )
})

t.test('an agent refuses every dial from the policy that it cannot read to the next one', async (t) => {
  const { push, set, sent, refusing } = setup()
  const answer = (accepted: boolean): void => push.answered({ version: sent.at(-1)?.[0] ?? '', accepted, reason: '' })
  set(policy({ allow: { cidr: '10.0.0.0/8' } }))
  answer(false)
  answer(false)
  t.strictSame(refusing, [true])
  set(policy({ allow: { cidr: '10.1.0.0/16' } }))
  t.strictSame(refusing, [true, false])
  answer(true)
  set(policy({ allow: { cidr: '10.2.0.0/16' } }))
  answer(true)
  t.strictSame(refusing, [true, false])
})
