/**
 * The packets of the tunnel: for each its code, the field of `Packet` that holds its payload, and the payload's own fields.
 * The types are derived from the tables. Source: culvert.proto beside this file, docs/protocol.md section 2.
 */
/** An int64 of any value: a number where a double holds it exactly, a bigint beyond. */
export type Int64 = number | bigint

/** `int64`: exact; `count`: an int64 that must fit a double exactly; `text`: UTF-8. The number is the field's. */
export type Field = readonly [number: number, kind: 'int64' | 'count' | 'text' | 'bytes' | 'health' | 'servers']
export type Fields = Readonly<Record<string, Field>>

export const healthFields = {
  agentVersion: [1, 'text'],
  uptimeMs: [2, 'count'],
  eventLoopDelayP99Us: [3, 'count'],
  openConnections: [4, 'count'],
  bytesToTargets: [5, 'count'],
  bytesFromTargets: [6, 'count'],
  apiServerReady: [7, 'count'],
  apiServerLatencyMs: [8, 'count'],
  apiServerVersion: [9, 'text'],
  nodes: [10, 'count'],
  readyNodes: [11, 'count'],
  certificateDaysLeft: [12, 'count'],
  pivotPhase: [13, 'text'],
  policyVersion: [14, 'count'],
  roundTripUs: [15, 'count'],
} as const satisfies Fields

export const serverFields = {
  id: [1, 'text'],
  address: [2, 'text'],
  serverName: [3, 'text'],
  workers: [4, 'count'],
} as const satisfies Fields

/** Per packet: its code in `type`, the field of `Packet` that holds its payload, and the payload's own fields. */
export const shapes = {
  DIAL_REQ: { code: 0, payload: 2, fields: { protocol: [1, 'text'], address: [2, 'text'], random: [3, 'int64'] } },
  DIAL_RSP: { code: 1, payload: 3, fields: { error: [1, 'text'], connectId: [2, 'int64'], random: [3, 'int64'] } },
  CLOSE_REQ: { code: 2, payload: 5, fields: { connectId: [1, 'int64'], reason: [64, 'text'] } },
  CLOSE_RSP: { code: 3, payload: 6, fields: { error: [1, 'text'], connectId: [2, 'int64'] } },
  DATA: { code: 4, payload: 4, fields: { connectId: [1, 'int64'], error: [2, 'text'], data: [3, 'bytes'] } },
  DIAL_CLS: { code: 5, payload: 7, fields: { random: [1, 'int64'] } },
  DRAIN: { code: 6, payload: 8, fields: {} },
  WINDOW_UPDATE: { code: 64, payload: 64, fields: { connectId: [1, 'int64'], credit: [2, 'count'] } },
  END_OF_DATA: {
    code: 65,
    payload: 65,
    fields: { connectId: [1, 'int64'], close: [2, 'count'], reason: [3, 'text'] },
  },
  HEARTBEAT: { code: 66, payload: 66, fields: { seq: [1, 'count'], sentUnixMs: [2, 'count'], health: [3, 'health'] } },
  HEARTBEAT_ACK: { code: 67, payload: 67, fields: { seq: [1, 'count'], serverUnixMs: [2, 'count'] } },
  GOING_AWAY: {
    code: 68,
    payload: 68,
    fields: { reason: [1, 'text'], deadlineMs: [2, 'count'], reconnectAfterMs: [3, 'count'] },
  },
  SERVERS: { code: 69, payload: 69, fields: { servers: [1, 'servers'] } },
  POLICY: { code: 71, payload: 71, fields: { version: [1, 'text'], rules: [2, 'text'] } },
  POLICY_ACK: {
    code: 72,
    payload: 72,
    fields: { version: [1, 'text'], accepted: [2, 'count'], reason: [3, 'text'] },
  },
  BLOCKED: { code: 73, payload: 73, fields: { connectId: [1, 'int64'] } },
  LANE_OFFER: { code: 74, payload: 74, fields: { lane: [1, 'count'], token: [2, 'bytes'] } },
  MOVE: { code: 75, payload: 75, fields: { connectId: [1, 'int64'], carrier: [2, 'count'] } },
  PING: { code: 76, payload: 76, fields: { nonce: [1, 'int64'] } },
  PONG: { code: 77, payload: 77, fields: { nonce: [1, 'int64'] } },
  LANES_WANTED: { code: 78, payload: 78, fields: { count: [1, 'count'] } },
} as const satisfies Record<string, { readonly code: number; readonly payload: number; readonly fields: Fields }>

type ValueOf<F extends Field> = F[1] extends 'int64'
  ? Int64
  : F[1] extends 'count'
    ? number
    : F[1] extends 'text'
      ? string
      : F[1] extends 'bytes'
        ? Uint8Array
        : F[1] extends 'servers'
          ? readonly ListedServer[]
          : Health
type Payload<S extends Fields> = { readonly [K in keyof S]: ValueOf<S[K]> }

/** The health summary of a HEARTBEAT: a figure that is not known is absent, never zero. */
export type Health = Partial<Payload<typeof healthFields>>
/** A replica, as SERVERS tells of it. */
export type ListedServer = Payload<typeof serverFields>
export type PacketType = keyof typeof shapes
export type Packet =
  | { [T in PacketType]: { readonly type: T } & Payload<(typeof shapes)[T]['fields']> }[PacketType]
  | { readonly type: 'UNKNOWN'; readonly code: number }

/** Packets that went each way, by type: plain numbers, because a metric's label is not looked up for each packet. */
export type PacketCount = {
  readonly sent: Record<Packet['type'], number>
  readonly received: Record<Packet['type'], number>
}

export function createPacketCount(): PacketCount {
  const zeros = Object.fromEntries([...Object.keys(shapes), 'UNKNOWN'].map((type) => [type, 0]))
  return { sent: { ...zeros } as PacketCount['sent'], received: { ...zeros } as PacketCount['received'] }
}
