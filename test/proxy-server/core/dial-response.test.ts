import t from 'tap'
import { type DialFailure, dialErrorText } from '../../../src/proxy-server/core/dial-response.ts'

t.test('tells a failed dial in the words that konnectivity’s clients look for', async (t) => {
  const texts: readonly [DialFailure, string][] = [
    [{ kind: 'no-agent' }, 'No agent available'],
    [{ kind: 'too-many-dials' }, 'too many dials are pending'],
    [{ kind: 'cluster-limit', status: 503, text: 'cluster a is at its limit' }, 'cluster a is at its limit'],
    [{ kind: 'denied', text: 'not allowed by the policy of the cluster' }, 'not allowed by the policy of the cluster'],
    [{ kind: 'dial-error', text: 'connection refused' }, 'connection refused'],
    [{ kind: 'dial-timeout' }, 'timed out waiting for backend dial'],
    [{ kind: 'agent-lost', cause: 'it stopped' }, 'the agent was lost during the dial: it stopped'],
  ]
  for (const [failure, text] of texts) t.equal(dialErrorText(failure), text)
})

t.test('hands on 4,096 characters of what an agent says, and no more', async (t) => {
  const text = `${'a'.repeat(4_096)}b`
  t.equal(dialErrorText({ kind: 'dial-error', text }), 'a'.repeat(4_096))
})
