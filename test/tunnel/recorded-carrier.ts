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
}

export function recordedCarrier(index = 0): RecordedCarrier {
  let given: Packet[] = []
  const carrier: RecordedCarrier = {
    index,
    roomBytes: 512 * 1024,
    woken: false,
    reading: true,
    control: (packet) => void given.push(packet),
    ordered: (packet) => void given.push(packet),
    data(connectId, payload) {
      carrier.roomBytes -= payload.length
      given.push({ type: 'DATA', connectId, error: '', data: Buffer.from(payload) })
    },
    room: () => carrier.roomBytes,
    wake() {
      carrier.woken = true
    },
    read(on) {
      carrier.reading = on
    },
    frames() {
      const frames = given
      given = []
      return frames
    },
  }
  return carrier
}
