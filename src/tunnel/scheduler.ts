/**
 * Who may send next on one carrier, or on all lanes together: senders that wait for room stand in a ring and are served in
 * turn. A sender in the ring either holds bytes of a read that found no room, or has stopped reading its socket and waits for a
 * permit: room for its next read. So bytes wait in the kernel of the sender, not in front of somebody's round trip.
 * Pure. Source: docs/protocol.md section 4.
 */
import type { Carrier } from './carrier.ts'

/** What a sender waits for after it was served: room for what it holds, a permit to read on, or nothing here. */
export type Need = 'room' | 'permit' | 'nothing'

/** What gives room: a carrier, or several together. */
export type Room = Pick<Carrier, 'room' | 'wake'>

export type Scheduler<S> = {
  /** Puts a sender at the end of the ring, once. */
  readonly wait: (sender: S) => void
  /** Serves the ring as far as the carrier's room goes; called whenever there may be room. */
  readonly deal: () => void
  /** Nobody waits here any more: all stand elsewhere, or are over. */
  readonly clear: () => void
}

/**
 * A sender that moves to another carrier stands in that one's ring from then on; its place here no longer counts.
 *
 * @param carrier whose room is dealt
 * @param pump sends what the sender holds, as far as room and credit go
 * @param permit lets the sender's owner read its socket again
 * @param nextReadBytes what that is likely to bring
 */
export function createScheduler<S extends { queuedOn: Room | undefined }>(
  carrier: Room,
  pump: (sender: S) => Need,
  permit: (sender: S) => void,
  givesWay: (sender: S) => boolean,
  nextReadBytes: (sender: S) => number,
): Scheduler<S> {
  let ring: S[] = []
  let dealing = false

  function wait(sender: S): void {
    if (sender.queuedOn === carrier) return
    sender.queuedOn = carrier
    ring.push(sender)
    if (!dealing) carrier.wake()
  }

  function deal(): void {
    if (dealing || ring.length === 0) return // a permit may make its owner send at once, and that may ask again
    dealing = true
    const turn = ring
    ring = []
    let promised = 0 // bytes of the reads permitted in this round
    let served = 0
    const later: S[] = []
    while (served < turn.length && carrier.room() > promised) {
      const sender = turn[served]!
      if (sender.queuedOn !== carrier) {
        served++
        continue
      }
      if (givesWay(sender)) {
        served++
        later.push(sender)
        continue
      }
      const need = pump(sender)
      const reads = need === 'permit' ? nextReadBytes(sender) : 0
      if (reads > 0 && carrier.room() - promised < reads) break
      served++
      sender.queuedOn = undefined
      if (need === 'room') wait(sender)
      if (need === 'permit') {
        promised += reads
        permit(sender)
      }
    }
    const able = turn.length - served + ring.length
    ring = later.concat(turn.slice(served), ring) // those not reached go first next time
    dealing = false
    if (able > 0) carrier.wake()
  }

  function clear(): void {
    for (const sender of ring) if (sender.queuedOn === carrier) sender.queuedOn = undefined
    ring = []
  }

  return { wait, deal, clear }
}
