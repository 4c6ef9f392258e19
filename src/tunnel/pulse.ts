/**
 * Heartbeats and pings of one stream, and what they measure: the round trip, and that the peer has read what was sent
 * before. Pure; the session brings packets and the time. Source: docs/protocol.md section 6.
 */
import type { Extensions } from './extensions.ts'
import type { Health, Packet } from './packet.ts'

export type Beat = { readonly seq: number; readonly sentUnixMs: number; readonly health: Health }

export type PulseDeps = {
  readonly role: 'server' | 'agent'
  readonly extensions: Extensions
  readonly health: () => Health
  readonly send: (packet: Packet) => void
  readonly roundTrip: (ms: number) => void
  /** A stock peer knows no heartbeat: it is pinged in another way, with a number that only we see. */
  readonly pingStock: (number: number) => void
}

export type Pulse = {
  /** A heartbeat is due. */
  readonly beat: (nowMs: number, unixMs: number) => void
  /** Server: the agent's heartbeat came. */
  readonly answer: (beat: Beat, nowMs: number, unixMs: number) => void
  /** The peer answered the heartbeat or ping of this number. */
  readonly answered: (seq: number, nowMs: number) => void
  /** Sends something that the peer will answer, and calls back when that answer has come. */
  readonly probe: (seen: () => void, nowMs: number, unixMs: number) => void
  /** A stock peer answered the ping of this number, which only the owner sees. */
  readonly pingAnswered: (number: number) => void
}

export function createPulse({ role, extensions, health, send, roundTrip, pingStock }: PulseDeps): Pulse {
  let sent = { seq: 0, ms: 0 }
  let probing: { readonly seq: number; readonly seen: () => void } | undefined

  function beat(nowMs: number, unixMs: number): void {
    const stock = !extensions.has('heartbeat')
    if (role === 'server' && !stock) return
    sent = { seq: sent.seq + 1, ms: nowMs }
    if (stock) pingStock(sent.seq)
    else send({ type: 'HEARTBEAT', seq: sent.seq, sentUnixMs: Math.round(unixMs), health: health() })
  }

  function probeAnswered(seq: number): void {
    if (!probing || seq < probing.seq) return
    const { seen } = probing
    probing = undefined
    seen()
  }

  return {
    beat,
    answer({ seq }, nowMs, unixMs) {
      send({ type: 'HEARTBEAT_ACK', seq, serverUnixMs: Math.round(unixMs) })
      if (!extensions.has('ping')) return
      sent = { seq: sent.seq + 1, ms: nowMs }
      send({ type: 'PING', nonce: sent.seq })
    },
    answered(seq, nowMs) {
      if (seq === sent.seq) roundTrip(nowMs - sent.ms)
      probeAnswered(seq)
    },
    probe(seen, nowMs, unixMs) {
      probing = { seq: sent.seq + 1, seen }
      beat(nowMs, unixMs)
    },
    pingAnswered: probeAnswered,
  }
}
