/** What is known of one client of the http-connect frontend (frontend.ts), and what it is served with. */
import { Buffer } from 'node:buffer'
import type { Audit } from '../audit/record.ts'
import type { Clock } from '../platform/clock.ts'
import type { Log } from '../platform/log.ts'
import type { Endpoint } from '../tunnel/endpoint.ts'
import type { Admission } from './core/admission.ts'
import type { UnreadBytes } from './core/unread.ts'
import type { Dialing } from './dialing.ts'
import type { Penalty } from './frontend-penalty.ts'
import type { Full } from './frontend-seats.ts'
import type { ServerMetrics } from './metrics.ts'
import type { UnreadClient } from './unread-client.ts'

export type FrontendOptions = {
  readonly headBytes: number
  readonly headTimeoutMs: number
  readonly earlyDataBytes: number
}

export type FrontendDeps = {
  readonly options: FrontendOptions
  readonly dialing: Dialing
  readonly clock: Clock
  readonly log: Log
  readonly metrics: ServerMetrics
  readonly unread: UnreadBytes
  readonly audit?: Audit | undefined
  /** For what anybody may do as often as he likes. */
  readonly auditOften?: Audit | undefined
  /** On a server of many clusters. */
  readonly penalty?: Penalty | undefined
}

/** Thousands may be open and idle: what is known of each is here, what it does are plain functions. */
export type Frontend = UnreadClient & {
  readonly deps: FrontendDeps
  readonly done: (frontend: Frontend) => void
  /** Until it has asked for a connection. */
  admission: Admission | Full | undefined
  state: 'head' | 'dialing' | 'open' | 'refused'
  /** The client sends no more. */
  ended: boolean
  isClosed: boolean
  /** It has asked for a connection. */
  served: boolean
  /** A dial was made for it, or it waited to be told why not. */
  wasOfUse: boolean
  /** For the head, or until it is told that its cluster is at a limit. */
  deadline: Disposable | undefined
  cancelDial: () => void
  endpoint: Endpoint | undefined
  openedMs: number
}

/** Of a client that has sent nothing that is not used up. */
export const NOTHING: Buffer = Buffer.alloc(0)

/** What it was to do by then has happened, or will not. */
export function endDeadline(frontend: Frontend): void {
  frontend.deadline?.[Symbol.dispose]()
  frontend.deadline = undefined
}
