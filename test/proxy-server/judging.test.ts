import t from 'tap'
import { readRules } from '../../src/policy/core/read-rules.ts'
import { type Policy, policyOf } from '../../src/policy/policy.ts'
import { createJudging } from '../../src/proxy-server/judging.ts'
import { recordedMetrics } from './recorded-metrics.ts'

const policy = (...rules: object[]): Policy => {
  const read = readRules({ rules }, 'hub')
  if (!read.ok) throw new Error(JSON.stringify(read.problems))
  return policyOf(read.rules)
}

function setup(policies: Readonly<Record<string, Policy>>) {
  const metrics = recordedMetrics()
  let ms = 0
  const clock = { now: () => (ms += 2) } // each look takes so long
  return { metrics, judge: createJudging({ policyOf: (cluster) => policies[cluster], clock, metrics }) }
}

t.test('each dial is judged by the policy of its cluster, and each decision is timed by its outcome', async (t) => {
  const some = policy({ allow: { cidr: '10.0.0.0/8' } }, { allow: { name: 'web' }, from: 'user/a' })
  const { judge, metrics } = setup({ 'eu-1': some, 'eu-2': policy() })
  t.match(judge('eu-1', 'x', '10.0.0.1:80'), { kind: 'allowed' })
  t.match(judge('eu-1', 'x', '11.0.0.1:80'), { kind: 'denied' })
  t.match(judge('eu-1', 'x', 'db:80'), { kind: 'by-address' })
  t.match(judge('eu-1', 'user/a', 'web:80'), { kind: 'allowed' })
  t.match(judge('eu-2', 'x', '10.0.0.1:80'), { kind: 'denied' })
  const judged = ['allowed', 'denied', 'by-address', 'allowed', 'denied'].map((verdict) => ['dialJudged', verdict, 2])
  t.strictSame(metrics.counted, judged)
})

t.test('without a policy everything is allowed, and nothing was decided', async (t) => {
  const { judge, metrics } = setup({})
  t.strictSame(judge('eu-1', 'x', 'anything'), { kind: 'allowed' })
  t.strictSame(metrics.counted, [])
})
