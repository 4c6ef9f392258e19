/**
 * One direction of a carrier: its sender's `Carrier`, and the events that the world may choose to let happen: a write is
 * done, the turn ends, something arrives.
 */
import type { Carrier } from '../../../src/tunnel/carrier.ts'
import type { FrameSink } from '../../../src/tunnel/framing.ts'
import type { Int64 } from '../../../src/tunnel/packet.ts'
import type { Step } from './step.ts'
import type { Transport } from './transport.ts'

export type Way = {
  readonly carrier: Carrier
  readonly steps: (into: Step[]) => void
  readonly deliverable: () => boolean
  /** Back-pressure of the receiver. */
  flowing: boolean
  /** The connection broke; the sender and the receiver have yet to notice. */
  readonly cut: () => void
  /** The sender ends its side when all that waits has been written. */
  readonly finish: () => void
  /** Whether its end is out, and whether it has arrived. */
  readonly end: () => 'no' | 'out' | 'arrived'
  /** The receiver has noticed: nothing arrives any more. */
  readonly deaf: () => void
}

export type WayOptions = {
  readonly name: string
  readonly index: number
  readonly transport: (sink: FrameSink) => Transport
  /** What the receiver does with what arrives. */
  readonly sink: FrameSink
  readonly heard: () => void
  /** The sender's end has arrived. */
  readonly ended: () => void
  /** The sender's session may write on. */
  readonly writable: (carrier: Carrier) => void
  /** The time has passed that the sender's session asked for. */
  readonly alarm: (ms: number) => void
  /** The sender hands over data. */
  readonly sent: (connectId: Int64, bytes: number) => void
  /** The sender stops or resumes reading the other direction. */
  readonly read: (on: boolean) => void
  /** Writes end at once: fewer interleavings. */
  readonly atOnce: boolean
  /** How likely the network is to go on: 1 keeps up with the sockets. */
  readonly speed: number
}

export function createWay(options: WayOptions): Way {
  const { name, index, atOnce, speed } = options
  const transport = options.transport(options.sink)
  let underWay = false
  let woken = false
  let turnAhead = false
  let alarmMs: number | undefined
  let state: 'open' | 'cut' | 'deaf' = 'open'
  let end: 'no' | 'asked' | 'out' | 'arrived' = 'no'

  function flush(): void {
    if (underWay || state !== 'open') return
    underWay = transport.take()
    if (underWay && atOnce) {
      transport.written()
      underWay = false
    }
    if (end === 'asked' && !underWay) end = 'out'
  }

  function written(): void {
    transport.written()
    underWay = false
    flush()
    wakeSession()
  }

  function turn(): void {
    turnAhead = false
    wakeSession()
  }

  function wakeSession(): void {
    if (!woken) return
    woken = false
    options.writable(carrier)
  }

  const carrier: Carrier = {
    index,
    control(packet) {
      transport.control(packet)
      flush()
    },
    ordered(packet) {
      transport.ordered(packet)
      flush()
    },
    data(connectId, payload) {
      options.sent(connectId, payload.length)
      transport.data(connectId, payload)
      flush()
    },
    room: () => transport.room(),
    wake() {
      woken = true
      if (!underWay) turnAhead = true
    },
    alarm(ms) {
      if (alarmMs !== undefined) throw new Error(`${name} is to wait for two alarms`)
      alarmMs = ms
    },
    read: options.read,
  }

  const writtenStep: Step = { name: `${name} written`, weight: 6 * speed, run: written }
  const turnStep: Step = { name: `${name} turn ends`, weight: 6 * speed, run: turn }
  const arriveStep: Step = {
    name: `${name} arrives`,
    weight: 10 * speed,
    run() {
      options.heard()
      transport.deliver()
    },
  }

  const alarmStep: Step = {
    name: `${name} alarm`,
    weight: 3,
    run() {
      const ms = alarmMs!
      alarmMs = undefined
      options.alarm(ms)
    },
  }

  const endStep: Step = {
    name: `${name} ends`,
    weight: 10 * speed,
    run() {
      end = 'arrived'
      options.ended()
    },
  }

  const way: Way = {
    carrier,
    flowing: true,
    deliverable: () => state !== 'deaf' && transport.underWay(),
    steps(into) {
      if (underWay && state === 'open') into.push(writtenStep)
      if (turnAhead && state === 'open') into.push(turnStep)
      if (alarmMs !== undefined && state === 'open') into.push(alarmStep)
      if (way.flowing && way.deliverable()) into.push(arriveStep)
      if (end === 'out' && state === 'open' && !transport.underWay()) into.push(endStep)
    },
    cut() {
      transport.cut()
      state = 'cut'
    },
    finish() {
      if (end === 'no') end = 'asked'
      flush()
    },
    end: () => (end === 'asked' ? 'no' : end),
    deaf() {
      state = 'deaf'
    },
  }
  return way
}
