/**
 * A carrier over a stream of bytes, an HTTP/2 stream or a TLS connection. One write is under way at a time, and the next one
 * is filled meanwhile: what is chosen late waits little. Source: docs/protocol.md section 4.
 */
import type { Buffer } from 'node:buffer'
import type { Duplex } from 'node:stream'
import { spend, spendWithin } from './budget.ts'
import type { Carrier } from './carrier.ts'
import type { FrameSink, Framing } from './framing.ts'
import { createOutbox, FULL_BYTES } from './outbox.ts'
import type { Packet, PacketCount } from './packet.ts'
import type { Session } from './session-owner.ts'

/** Frames besides data that wait, up to so many bytes, are nobody's concern: every busy carrier has some. */
const FREE_BYTES = 16 * 1024
/** Read in one turn at most, so that a carrier that brings bulk leaves the turn to others: bytes. */
const TURN_READ_BYTES = 512 * 1024
/** A tunnel that wrote nothing for this long holds no buffer: milliseconds. */
const IDLE_BUFFER_MS = 1_000

export type ByteCarrierOptions = {
  readonly index: number
  readonly stream: Duplex
  readonly session: Session
  readonly framing: Framing
  readonly decoder: (sink: FrameSink) => (chunk: Uint8Array) => unknown
  readonly count: PacketCount
  /** Monotonic milliseconds. */
  readonly now: () => number
  /** The session wants the peer's frames to wait (false), or takes them again. */
  readonly reads?: (on: boolean) => void
  /** What is behind the last data goes when this calls back; it is asked when the data has left. Without it, at once. */
  readonly mayClose?: (then: () => void) => void
  /** The peer's bytes make no sense: end the stream with this error. Called once. */
  readonly failed: (error: unknown) => void
}

export type ByteCarrier = Carrier & {
  /** Ends our side of the stream when all that waits has been written. */
  readonly end: () => void
  /** Calls back when what waits now has left: HTTP/2 sends its own frames, such as PING, ahead of what waits. */
  readonly whenSent: (then: () => void) => void
}

/** Makes the stream a carrier of the session and reads it from now on. Its owner ends it, and tells the session `lost`. */
export function carryOver({
  index,
  stream,
  session,
  framing,
  decoder,
  count,
  now,
  reads,
  mayClose,
  failed,
}: ByteCarrierOptions): ByteCarrier {
  const outbox = createOutbox(framing)
  let underWay: Buffer | undefined
  let woken = false // the session asked to be called when there is room
  let turnAhead = false // a turn's end is already asked for
  let flushAhead = false // so is a flush at its end
  let reading = true
  let turnBytes = 0
  let excess = 0 // as it was counted last
  let closed = false
  let broken = false
  let ending = false
  let idleTimer: NodeJS.Timeout | undefined
  let alarmTimer: NodeJS.Timeout | undefined
  const afterWrites = new Map<() => void, number>() // how many more writes each of them waits for, at most

  const carrier: ByteCarrier = {
    index,
    control(packet) {
      count.sent[packet.type]++
      outbox.control(packet)
      flushLater()
      countExcess()
    },
    ordered(packet, behind) {
      if (behind === 'last-data' && mayClose) carrier.whenSent(() => mayClose(() => sendOrdered(packet)))
      else sendOrdered(packet)
    },
    data(connectId, payload) {
      count.sent.DATA++
      outbox.data(connectId, payload)
      flushLater()
    },
    room: () => (broken ? 0 : outbox.room()),
    wake() {
      woken = true
      if (underWay || flushAhead || turnAhead) return
      turnAhead = true
      setImmediate(() => {
        turnAhead = false
        wakeSession()
      })
    },
    alarm(ms) {
      alarmTimer = setTimeout(alarmed, ms).unref()
    },
    read(on) {
      reading = on
      reads?.(on)
      if (on) stream.resume()
      else stream.pause()
    },
    end() {
      ending = true
      flush()
    },
    whenSent(then) {
      afterWrites.set(then, underWay ? 2 : 1) // the one under way, and the one that is being filled
      flushLater()
    },
  }

  function sendOrdered(packet: Packet): void {
    count.sent[packet.type]++
    outbox.ordered(packet)
    flushLater()
    countExcess()
  }

  const decode = decoder({
    packet(packet) {
      count.received[packet.type]++
      session.receive(carrier, packet)
    },
    data(connectId, payload, first) {
      if (first) count.received.DATA++
      session.receiveData(carrier, connectId, payload, first)
    },
  })

  function fail(error: unknown): void {
    if (broken) return
    broken = true
    failed(error)
  }

  /** What a peer that does not read makes us keep besides data, whose sender waits. */
  function countExcess(): void {
    const waiting = outbox.excessBytes() + (underWay ? Math.max(0, underWay.length - FULL_BYTES) : 0)
    const now = closed || waiting <= FREE_BYTES ? 0 : waiting
    const more = now - excess
    excess = now
    if (more > 0) spendWithin(session.excess, more)
    else if (more < 0) spend(session.excess, more)
  }

  function flush(): void {
    if (underWay || stream.destroyed || stream.writableEnded) return
    underWay = outbox.take()
    if (underWay) stream.write(underWay, written)
    else if (ending) stream.end()
    else if (!idleTimer) idleTimer = setTimeout(releaseIdle, IDLE_BUFFER_MS).unref()
  }

  /**
   * With whatever else this turn brings: each write wakes the peer, and a stock agent's threads wake each other. Behind a server
   * that is busy with handshakes it was woken 16 times for a CONNECT, and 11 times since nothing leaves before the turn's end.
   */
  function flushLater(): void {
    if (underWay || flushAhead) return
    flushAhead = true
    setImmediate(() => {
      flushAhead = false
      flush()
      if (underWay) return
      callAfterWrites() // nothing waited
      wakeSession()
    })
  }

  function written(): void {
    if (underWay) outbox.giveBack(underWay)
    underWay = undefined
    flush()
    countExcess()
    callAfterWrites()
    wakeSession()
  }

  function callAfterWrites(): void {
    for (const [then, writes] of afterWrites) {
      afterWrites.set(then, writes - 1)
      if (underWay && writes > 1) continue
      afterWrites.delete(then)
      then()
    }
  }

  function wakeSession(): void {
    if (!woken || broken) return
    woken = false
    session.writable(carrier)
  }

  function alarmed(): void {
    if (!broken) session.alarm(now())
  }

  function releaseIdle(): void {
    idleTimer = undefined
    if (!underWay) outbox.shrink()
  }

  function read(chunk: Buffer): void {
    if (broken) return
    session.heard(now(), lane)
    try {
      decode(chunk)
    } catch (error) {
      fail(error)
    }
    if (turnBytes === 0) setImmediate(endTurn)
    turnBytes += chunk.length
    if (turnBytes >= TURN_READ_BYTES) stream.pause()
  }

  function endTurn(): void {
    const paused = turnBytes >= TURN_READ_BYTES
    turnBytes = 0
    if (paused && reading && !stream.destroyed) stream.resume()
  }

  const lane = index === 0 ? undefined : carrier
  session.addCarrier(carrier)
  stream.on('data', read)
  stream.once('close', () => {
    clearTimeout(idleTimer)
    clearTimeout(alarmTimer)
    closed = true
    countExcess()
  })
  return carrier
}
