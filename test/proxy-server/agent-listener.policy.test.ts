/** An agent whose policy finds no room: it goes as one that was there, and nobody else with it. */
import t from 'tap'
import { readPolicyText } from '../../src/policy/policy.ts'
import { agentPort, joinAgent } from './agent-port.ts'

const rule = { allow: { cidr: Array.from({ length: 900 }, (_, index) => `10.${index >> 8}.${index & 255}.1/32`) } }
const read = readPolicyText(JSON.stringify({ rules: Array(5).fill(rule) }), 'p.yaml')

t.test('an agent that there is no room for the policy of is ended, and known to have gone', async (t) => {
  if (!read.ok) throw new Error(read.problems.join())
  const { port, connected, gone } = await agentPort(t, { processBytes: 1_000, policy: () => read.policy })
  const agent = await joinAgent(t, port)
  t.match(await agent.status, ['8', /./])
  t.equal(connected.length, 1)
  t.strictSame(gone, connected)
})
