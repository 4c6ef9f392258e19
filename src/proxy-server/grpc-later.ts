/**
 * Refusals of gRPC mode that wait, as those of CONNECT do: of calls over a limit of their cluster, and of clients of no cluster. Who asks
 * again at once asks no more often than refusals leave. Source: docs/tenancy.md.
 */
import { constants, type ServerHttp2Stream } from 'node:http2'
import type { Clock } from '../platform/clock.ts'
import type { Admission } from './core/admission.ts'
import type { GrpcStatus } from './core/grpc-status.ts'
import { SHORTEST_REFUSAL_MS } from './core/refusal-pace.ts'
import type { Full, NoSeat } from './frontend-seats.ts'
import { refuseStream } from './grpc-refusal.ts'

/** Calls on the connection of a client that gets none, which wait to be told so; others are reset. */
const MAX_WAITING_CALLS = 100

/** A client that gets no call. */
export type Uncalled = {
  /** When it is told so: `Clock.now`. Then it is to go. None: at once, and it may ask again. */
  readonly toldMs: number | undefined
  /** Calls that wait to be told. */
  waiting: number
  /** A dial was made on its connection, or it waited to be told why not. */
  wasOfUse: boolean
}

/** How long a client that gets no call waits for that answer, milliseconds; undefined: it does not. As with CONNECT. */
export function waitOf(admission: Admission | Full): number | undefined {
  if (admission.kind === 'full') return admission.afterMs
  return admission.kind === 'refused' && admission.unmapped ? SHORTEST_REFUSAL_MS : undefined
}

/** Refuses one of its calls. */
export function turnAway(
  stream: ServerHttp2Stream,
  client: Uncalled,
  status: GrpcStatus,
  message: string,
  clock: Clock,
): void {
  const { toldMs } = client
  if (toldMs === undefined) return refuseStream(stream, status, message)
  if (client.waiting >= MAX_WAITING_CALLS) return resetCall(stream)
  client.waiting++
  refuseLater(stream, Math.max(0, toldMs - clock.now()), clock, {
    isOver: () => void client.waiting--,
    tell() {
      client.wasOfUse = true
      refuseStream(stream, status, message)
      stream.session?.close() // one that stays could ask again at once
    },
  })
}

/** Refuses a call beside others, which go on. */
export function refuseCall(
  stream: ServerHttp2Stream,
  { text, later }: NoSeat,
  client: Pick<Uncalled, 'wasOfUse'>,
  clock: Clock,
): void {
  const tell = (): void => refuseStream(stream, 'RESOURCE_EXHAUSTED', text)
  if (later === undefined) tell()
  else if (later === 'reset') resetCall(stream)
  else {
    refuseLater(stream, later.afterMs, clock, {
      isOver: later.isOver,
      tell() {
        client.wasOfUse = true
        tell()
      },
    })
  }
}

/**
 * What the client sends meanwhile is dropped.
 *
 * @param isOver it is about to be told, or is gone; once
 */
function refuseLater(
  stream: ServerHttp2Stream,
  afterMs: number,
  clock: Clock,
  { isOver, tell }: { readonly isOver: () => void; readonly tell: () => void },
): void {
  const gone = (): void => {
    wait[Symbol.dispose]()
    isOver()
  }
  const wait = clock.after(afterMs, () => {
    stream.off('close', gone)
    isOver()
    tell()
  })
  stream.once('close', gone)
  stream.resume() // unread, a client could have us hold a window of it
}

/** To a client this is RESOURCE_EXHAUSTED as well, without a word. */
function resetCall(stream: ServerHttp2Stream): void {
  stream.close(constants.NGHTTP2_ENHANCE_YOUR_CALM)
}
