/** A carrier that keeps what it is given, for stories about one end of a tunnel. */
import { Buffer } from 'node:buffer'
import type { Carrier } from '../../src/tunnel/carrier.ts'
import type { Packet } from '../../src/tunnel/packet.ts'

export type RecordedCarrier = Carrier & {
  /** What has been given since the last look. */
  readonly frames: () => Packet[]
  roomBytes: number
  /** The session asked to be called. */
  woken: boolean
  reading: boolean
  /** How many milliseconds the session asked to be left alone for; undefined when it did not. */
  alarmMs: number | undefined
  /** The next frame for which this holds, of those since the last look too. Rejects after ten seconds. */
  readonly next: (wanted: (packet: Packet) => boolean) => Promise<Packet>
}

const DEADLINE_MS = 10_000

export function recordedCarrier(index = 0): RecordedCarrier {
  let given: Packet[] = []
  const watchers = new Set<(packet: Packet) => void>()

  function give(packet: Packet): void {
    given.push(packet)
    for (const watcher of watchers) watcher(packet)
  }

  const carrier: RecordedCarrier = {
    index,
    roomBytes: 512 * 1024,
    woken: false,
    reading: true,
    alarmMs: undefined,
    control: give,
    ordered: give,
    data(connectId, payload) {
      carrier.roomBytes -= payload.length
      give({ type: 'DATA', connectId, error: '', data: Buffer.from(payload) })
    },
    room: () => carrier.roomBytes,
    wake() {
      carrier.woken = true
    },
    alarm(ms) {
      carrier.alarmMs = ms
    },
    read(on) {
      carrier.reading = on
    },
    next(wanted) {
      const found = given.find(wanted)
      if (found) return Promise.resolve(found)
      const { promise, resolve, reject } = Promise.withResolvers<Packet>()
      const deadline = setTimeout(() => reject(new Error('no such frame came')), DEADLINE_MS)
      const watcher = (packet: Packet): void => {
        if (wanted(packet)) resolve(packet)
      }
      watchers.add(watcher)
      return promise.finally(() => {
        clearTimeout(deadline)
        watchers.delete(watcher)
      })
    },
    frames() {
      const frames = given
      given = []
      return frames
    },
  }
  return carrier
}
