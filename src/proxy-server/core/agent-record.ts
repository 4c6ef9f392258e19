/**
 * The record of one agent: who it is, and the last that was heard of it. Pure: the time comes in. `fleet.ts` shows it.
 * Source: docs/protocol.md section 6.
 */
import type { Extensions } from '../../tunnel/extensions.ts'
import type { Health } from '../../tunnel/packet.ts'
import type { Beat } from '../../tunnel/pulse.ts'

/** Longest text of a heartbeat that is kept: characters. The agent wrote it, and it stays in memory until the next one. */
const MAX_HEALTH_CHARS = 256

/** The last that was heard of an agent: the one truth about "connected". */
export type AgentRecord = {
  readonly agentId: string
  readonly principal: string
  readonly remoteAddress: string
  readonly connectedUnixMs: number
  readonly extensions: readonly string[]
  heardUnixMs: number
  /** By the clock that nobody sets, for how long it has been silent. */
  heardMs: number
  /** Of the last heartbeat; a stock agent has none. */
  heartbeatSeq: number | undefined
  roundTripMs: number | undefined
  clockSkewMs: number | undefined
  health: Health | undefined
  /** The policy that was pushed last, and how the agent took it; none without one, or to an agent that takes none. */
  policy: PushedPolicy | undefined
}

/** What was pushed last, and how the agent took it; `reason`: why it did not, as the agent wrote it. */
export type PushedPolicy = {
  readonly version: string
  readonly state: 'pushed' | 'accepted' | 'refused'
  readonly reason?: string
}

export function newRecord(
  agent: Pick<AgentRecord, 'agentId' | 'principal' | 'remoteAddress'>,
  extensions: Extensions,
  unixMs: number,
  nowMs: number,
): AgentRecord {
  return {
    agentId: agent.agentId,
    principal: agent.principal,
    remoteAddress: agent.remoteAddress,
    connectedUnixMs: unixMs,
    extensions: [...extensions],
    heardUnixMs: unixMs,
    heardMs: nowMs,
    heartbeatSeq: undefined,
    roundTripMs: undefined,
    clockSkewMs: undefined,
    health: undefined,
    policy: undefined,
  }
}

/** A heartbeat came. */
export function recordBeat(
  record: AgentRecord,
  { seq, sentUnixMs, health }: Beat,
  unixMs: number,
  nowMs: number,
): void {
  record.heartbeatSeq = seq
  record.heardMs = nowMs
  record.heardUnixMs = unixMs
  record.health = withoutLongTexts(health)
  if (record.roundTripMs !== undefined) record.clockSkewMs = sentUnixMs + record.roundTripMs / 2 - unixMs
}

/** A text that is too long is left out: a piece of it would keep the whole in memory. */
function withoutLongTexts(health: Health): Health {
  const short = Object.entries(health).filter(([, figure]) => String(figure).length <= MAX_HEALTH_CHARS)
  return Object.fromEntries(short)
}
