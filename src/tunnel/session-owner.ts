/** What the owner of a session brings to it, hears of it, and can ask of it. */
import type { Budget } from './budget.ts'
import type { Carrier } from './carrier.ts'
import type { Connection, ConnectionEvents } from './connection.ts'
import type { DialEvents, DialRequest } from './dials.ts'
import type { Extensions } from './extensions.ts'
import type { LivenessTimes } from './liveness.ts'
import type { Health, Int64, ListedServer, Packet } from './packet.ts'
import type { PathLength } from './path-length.ts'
import type { Beat } from './pulse.ts'
import type { StockLimits } from './stock-backlog.ts'
import type { Violation } from './violations.ts'

export type SessionLimits = {
  readonly pendingDials: number
  readonly connections: number
  /** Frames that mean nothing here, per minute; more end the stream. */
  readonly unknownFramesPerMinute: number
  readonly stock: StockLimits
}

export type SessionOptions = {
  readonly role: 'server' | 'agent'
  readonly extensions: Extensions
  readonly limits: SessionLimits
  readonly liveness: LivenessTimes
  /** This stream's own budget; the session removes it when it ends. */
  readonly budget: Budget
  readonly nowMs: number
  /** What the agent says of itself in each heartbeat. */
  readonly health?: () => Health
}

/** `reason` says why a policy was not accepted: the agent wrote it. */
export type PolicyAnswer = { readonly version: string; readonly accepted: boolean; readonly reason: string }

export type SessionEvents = {
  /** The stream cannot go on; its owner ends it and then calls `lost`. */
  readonly broken: (reason: 'heartbeat-timeout' | 'too-many-unknown-frames' | 'peer-does-not-read') => void
  readonly violation: (violation: Violation) => void
  /** A stock peer knows no heartbeat: the owner pings it in its own way, after what was sent before, and says `heard`. */
  readonly ping: (number: number) => void
  readonly roundTrip: (ms: number) => void
  /** Server: what the agent says of itself. */
  readonly beat?: (beat: Beat) => void
  /** Server: the agent wants no new connections while another one has room. */
  readonly draining?: () => void
  /** Agent: dial; answer with `accept` or `refuse`. */
  readonly dial?: (request: DialRequest) => void
  /** Agent: this dial was refused for a limit of the session. */
  readonly dialOverLimit?: (request: DialRequest, text: string) => void
  /** Agent: the answer to this dial is no longer wanted. */
  readonly dialCancelled?: (random: Int64) => void
  /** Agent: the server will end this stream; connect elsewhere first. */
  readonly goingAway?: (notice: { reason: string; deadlineMs: number; reconnectAfterMs: number }) => void
  /** Agent: a connection carries so much that a lane would help. Told again and again. */
  readonly carriesMuch?: () => void
  /** Agent: with this token a lane of that number can be joined to this session. @returns whether it had asked for one */
  readonly laneOffered?: (lane: number, token: Uint8Array) => boolean
  /** Server: the agent asks for tokens for so many lanes. */
  readonly lanesWanted?: (count: number) => void
  /** Nothing is heard on this lane: its owner destroys it, and says `lost`. */
  readonly laneDead?: (lane: Carrier) => void
  /** Agent: nothing has used this lane for long, and nothing more goes over it: its owner ends it. */
  readonly laneIdle?: (lane: Carrier) => void
  /** Agent: what the server lets it dial, from now on. Answer with `acknowledgePolicy`. */
  readonly policy?: (policy: { readonly version: string; readonly rules: string }) => void
  /** Agent: all replicas that there are, the server included. */
  readonly servers?: (servers: readonly ListedServer[]) => void
  /** Server: how the agent took a policy. */
  readonly policyAcknowledged?: (answer: PolicyAnswer) => void
  /** Agent: after `drain`, nothing is left and nothing can still come. */
  readonly drained?: () => void
}

export type Session = {
  /** For its carriers to count what waits for the peer besides data: too much of it, of all of them together, ends the session. */
  readonly excess: Budget
  /** What its round trips have told so far. */
  readonly path: Readonly<PathLength>
  readonly addCarrier: (carrier: Carrier) => void
  /** Agent: asks for tokens for so many lanes. */
  readonly askForLanes: (count: number) => void
  /** Server: lets the agent open a lane. */
  readonly offerLane: (lane: number, token: Uint8Array) => void
  /** Nothing more is to go over this lane: its owner ends our side of it. */
  readonly retire: (lane: Carrier) => void
  /** The peer has ended its side of the lane, in order, and all that came over it was brought. */
  readonly ended: (lane: Carrier) => void
  /** The carrier is gone. Without the first one, the session is over. */
  readonly lost: (carrier: Carrier, reason: string) => void
  /** Bytes came; called before the packets in them. What comes over a lane says nothing of the stream. */
  readonly heard: (nowMs: number, lane?: Carrier) => void
  readonly receive: (carrier: Carrier, packet: Packet) => void
  /** @param first whether these are the first bytes of their packet, which may come in pieces; else a later piece */
  readonly receiveData: (carrier: Carrier, connectId: Int64, bytes: Uint8Array, first?: boolean) => void
  /** The carrier has room again, as `wake` asked. */
  readonly writable: (carrier: Carrier) => void
  /** Server: asks the agent for a connection. `random` must be new. */
  readonly dial: (request: DialRequest, events: DialEvents) => void
  /** Server: nobody waits for this dial any more. */
  readonly cancel: (random: Int64) => void
  /** Agent: the dial succeeded. `undefined` when it is no longer wanted: close the socket. */
  readonly accept: (random: Int64, events: ConnectionEvents) => Connection | undefined
  readonly refuse: (random: Int64, text: string) => void
  /** Agent: asks for no new connections; `drained` follows. */
  readonly drain: () => void
  /** A stock peer has answered the ping of this number: it has read what was sent before. */
  readonly pingAnswered: (number: number) => void
  /** Server: tells the agent to connect elsewhere. */
  readonly goAway: (reason: string, deadlineMs: number, reconnectAfterMs: number) => void
  /** Server: what the agent may dial at most, ahead of all dials that follow; nothing is sent to an agent without `policy`. */
  readonly pushPolicy: (version: string, rules: string) => void
  /** Server: tells an agent with `servers` of all replicas. */
  readonly pushServers: (servers: readonly ListedServer[]) => void
  /** Agent. */
  readonly acknowledgePolicy: (answer: PolicyAnswer) => void
  /** Called every half second or so. */
  readonly tick: (nowMs: number, unixMs: number) => void
  /** The time that a carrier was asked to wait for has passed. */
  readonly alarm: (nowMs: number) => void
  readonly connectionCount: () => number
  readonly dialCount: () => number
  /** Whether a dial has this number that is pending, or was cancelled and may still be answered. */
  readonly hasDial: (random: Int64) => boolean
}
