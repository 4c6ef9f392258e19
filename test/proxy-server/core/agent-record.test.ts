import t from 'tap'
import { type AgentRecord, newRecord, recordBeat } from '../../../src/proxy-server/core/agent-record.ts'
import type { Extension } from '../../../src/tunnel/extensions.ts'

const who = { agentId: 'a', principal: 'cluster/eu-1/agent/a1', remoteAddress: '10.0.0.1' }
const fresh = (): AgentRecord => newRecord(who, new Set<Extension>(['heartbeat', 'ping']), 1_000, 10)

t.test('begins with who the agent is, heard of when it connected, and with nothing that it has not said', async (t) => {
  t.strictSame(newRecord({ ...who, secret: 'x' } as typeof who, new Set<Extension>(['heartbeat', 'ping']), 1_000, 10), {
    ...who,
    connectedUnixMs: 1_000,
    extensions: ['heartbeat', 'ping'],
    heardUnixMs: 1_000,
    heardMs: 10,
    heartbeatSeq: undefined,
    roundTripMs: undefined,
    clockSkewMs: undefined,
    health: undefined,
    policy: undefined,
  })
})

t.test('keeps the last heartbeat, all of it, and when it came', async (t) => {
  const record = fresh()
  recordBeat(record, { seq: 1, sentUnixMs: 2_000, health: { uptimeMs: 60_000, agentVersion: '1.2.3' } }, 2_010, 20)
  t.match(record, {
    heartbeatSeq: 1,
    heardMs: 20,
    heardUnixMs: 2_010,
    health: { uptimeMs: 60_000, agentVersion: '1.2.3' },
  })
  recordBeat(record, { seq: 2, sentUnixMs: 3_000, health: { uptimeMs: 61_000 } }, 3_010, 20)
  t.match(record, { heartbeatSeq: 2, heardUnixMs: 3_010, connectedUnixMs: 1_000 })
  t.strictSame(record.health, { uptimeMs: 61_000 })
})

t.test('knows how far the clock of the agent is off once it knows how long its words take', async (t) => {
  const record = fresh()
  recordBeat(record, { seq: 1, sentUnixMs: 5_000, health: {} }, 2_000, 20)
  t.equal(record.clockSkewMs, undefined)
  record.roundTripMs = 20
  recordBeat(record, { seq: 2, sentUnixMs: 6_990, health: {} }, 2_000, 20)
  t.equal(record.clockSkewMs, 5_000)
})

t.test('leaves a text out that is one character over the limit, and keeps the rest', async (t) => {
  const record = fresh()
  const beat = (agentVersion: string): void =>
    recordBeat(record, { seq: 1, sentUnixMs: 0, health: { uptimeMs: 1, agentVersion } }, 0, 20)
  beat('v'.repeat(256))
  t.strictSame(record.health, { uptimeMs: 1, agentVersion: 'v'.repeat(256) })
  beat('v'.repeat(257))
  t.strictSame(record.health, { uptimeMs: 1 })
})
