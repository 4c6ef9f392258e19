/** Which packets mean anything, by the end that receives them and what both ends agreed on. Pure. */
import type { Extension, Extensions } from './extensions.ts'
import type { Packet } from './packet.ts'

type Role = 'server' | 'agent'
type Rule = { readonly at: Role | 'both'; readonly needs?: Extension }

const rules: Readonly<Record<Exclude<Packet['type'], 'UNKNOWN'>, Rule>> = {
  DIAL_REQ: { at: 'agent' },
  DIAL_RSP: { at: 'server' },
  DIAL_CLS: { at: 'both' },
  CLOSE_REQ: { at: 'agent' },
  CLOSE_RSP: { at: 'server' },
  DATA: { at: 'both' },
  DRAIN: { at: 'server' },
  WINDOW_UPDATE: { at: 'both', needs: 'flow-control' },
  BLOCKED: { at: 'both', needs: 'flow-control' },
  END_OF_DATA: { at: 'both', needs: 'half-close' },
  HEARTBEAT: { at: 'server', needs: 'heartbeat' },
  HEARTBEAT_ACK: { at: 'agent', needs: 'heartbeat' },
  GOING_AWAY: { at: 'agent', needs: 'going-away' },
  SERVERS: { at: 'agent', needs: 'servers' },
  LANE_OFFER: { at: 'agent', needs: 'lanes' },
  LANES_WANTED: { at: 'server', needs: 'lanes' },
  POLICY: { at: 'agent', needs: 'policy' },
  POLICY_ACK: { at: 'server', needs: 'policy' },
  MOVE: { at: 'both', needs: 'lanes' },
  PING: { at: 'both', needs: 'ping' },
  PONG: { at: 'both', needs: 'ping' },
}

export function expectedPackets(role: Role, extensions: Extensions): ReadonlySet<Packet['type']> {
  const types = Object.entries(rules)
    .filter(([, { at, needs }]) => (at === 'both' || at === role) && (needs === undefined || extensions.has(needs)))
    .map(([type]) => type as Packet['type'])
  return new Set(types)
}
