import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { watchWorkerPolicy } from '../../src/proxy-server/worker-policy.ts'
import { manualClock } from '../platform/manual-clock.ts'

const LOOK_MS = 5_000
const [first, second] = ['rules: [{ allow: {} }]', 'rules: []']

t.test('knows the texts that are in use, which are not those of a broken file', async (t) => {
  const agentPolicyFile = join(t.testdir({ 'policy.yaml': first }), 'policy.yaml')
  const clock = manualClock()
  const policy = watchWorkerPolicy({ agentPolicyFile }, clock)!
  const look = (text: string): string | undefined => {
    writeFileSync(agentPolicyFile, text)
    for (let looks = 0; looks < 2; looks++) clock.advance(LOOK_MS)
    return policy.inUse()[0]?.text
  }
  t.equal(policy.inUse()[0]?.text, first)
  t.equal(look('rules: [{ permit: {} }]'), first)
  t.equal(look(second!), second)
  t.equal(look(''), second)
  policy[Symbol.dispose]()
  t.equal(clock.waiting(), 0)
})

t.test('is nothing without a policy, and no start with a broken one', async (t) => {
  t.equal(watchWorkerPolicy({ agentPolicyFile: '' }, manualClock()), undefined)
  const agentPolicyFile = join(t.testdir({ 'policy.yaml': 'rules: [{ permit: {} }]' }), 'policy.yaml')
  t.throws(() => watchWorkerPolicy({ agentPolicyFile }, manualClock()), {
    code: 'bad-option',
    message: /rules\.0\.permit/,
  })
})
