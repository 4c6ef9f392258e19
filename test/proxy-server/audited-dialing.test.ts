import t from 'tap'
import type { AuditRecord } from '../../src/audit/record.ts'
import type { AgentStream } from '../../src/proxy-server/agent-stream-owner.ts'
import { auditDials } from '../../src/proxy-server/audited-dialing.ts'
import type { DialFailure } from '../../src/proxy-server/core/dial-response.ts'
import type { Dialing } from '../../src/proxy-server/dialing.ts'
import { manualClock } from '../platform/manual-clock.ts'

/** What is told of a dial that comes to this end. */
function toldOf(failure: DialFailure): AuditRecord | undefined {
  const told: AuditRecord[] = []
  const dialing: Dialing = {
    dial(_cluster, _principal, _address, waiter) {
      waiter.failed(failure)
      return () => {}
    },
  }
  const audited = auditDials(dialing, { audit: (record) => told.push(record), serverId: 's', clock: manualClock() })
  const waiter = { connected: () => ({}) as never, failed: () => {} }
  audited.dial('eu-1', 'user/alice', '10.0.0.1:443', waiter)
  t.equal(told.length, 1)
  return told[0]
}

t.test('what was not allowed is told as refused, with the kind of rule', async (t) => {
  const about = { event: 'dial', cluster: 'eu-1', principal: 'user/alice', verdict: 'refused', outcome: undefined }
  t.match(toldOf({ kind: 'denied', text: 'not allowed' }), { ...about, rule: 'policy', reason: 'not allowed' })
  t.match(toldOf({ kind: 'too-many-dials' }), { ...about, rule: 'limit', reason: 'too-many-dials' })
  t.match(toldOf({ kind: 'cluster-limit', status: 503, text: 'at its limit' }), {
    ...about,
    rule: 'limit',
    reason: 'at its limit',
  })
})

t.test('what was allowed and came to nothing is told as that', async (t) => {
  const failed = (failure: DialFailure, reason: string): unknown =>
    t.match(toldOf(failure), { verdict: 'allowed', rule: undefined, outcome: 'failed', reason })
  failed({ kind: 'no-agent' }, 'no-agent')
  failed({ kind: 'dial-timeout' }, 'dial-timeout')
  failed({ kind: 'dial-error', text: 'connection refused' }, 'connection refused')
  failed({ kind: 'agent-lost', cause: 'lost' }, 'lost')
})

t.test('a client that goes away is told of under the id that its agent was given last', async (t) => {
  const told: AuditRecord[] = []
  const attempts = [1, 2].map((number) => ({
    agent: { agentId: `a-${number}` } as AgentStream,
    random: BigInt(number),
  }))
  const dialing: Dialing = {
    dial(_cluster, _principal, address, waiter) {
      if (address === '10.0.0.1:443') for (const attempt of attempts) waiter.asking?.(attempt)
      return () => {}
    },
  }
  const audited = auditDials(dialing, { audit: (record) => told.push(record), serverId: 's', clock: manualClock() })
  const waiter = { connected: () => ({}) as never, failed: () => {} }
  for (const address of ['10.0.0.1:443', '10.0.0.2:443']) audited.dial('eu-1', 'user/alice', address, waiter)()
  t.match(told, [
    { id: 's/2', agent: 'a-2', outcome: 'failed', reason: 'the client went away' },
    { id: undefined, agent: undefined, reason: 'the client went away' },
  ])
})
