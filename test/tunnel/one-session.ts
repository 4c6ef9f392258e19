/** One session with recorded carriers and an owner that writes down what it hears, for stories about one end of a tunnel. */
import { type Budget, createBudget } from '../../src/tunnel/budget.ts'
import type { Carrier } from '../../src/tunnel/carrier.ts'
import type { Connection, ConnectionEvents, Ending } from '../../src/tunnel/connection.ts'
import type { DialEvents } from '../../src/tunnel/dials.ts'
import { type Extensions, noExtensions, offered } from '../../src/tunnel/extensions.ts'
import { move } from '../../src/tunnel/moving.ts'
import { createSession } from '../../src/tunnel/session.ts'
import type { Session, SessionEvents, SessionLimits } from '../../src/tunnel/session-owner.ts'
import { type RecordedCarrier, recordedCarrier } from './recorded-carrier.ts'

export const roomyLimits: SessionLimits = {
  pendingDials: 10_000,
  connections: 100_000,
  unknownFramesPerMinute: 1_000,
  stock: { connectionBytes: 4 * 2 ** 20, streamBytes: 64 * 2 ** 20, slowBytes: 640 * 1024, slowMs: 10_000 },
}

/** What the owner of one connection heard. */
export type Heard = {
  readonly events: ConnectionEvents
  bytes: number
  ended: number
  resumed: number
  givenUp: number
  readonly endings: Ending[]
}

export function hearing(): Heard {
  const heard: Heard = {
    bytes: 0,
    ended: 0,
    resumed: 0,
    givenUp: 0,
    endings: [],
    events: {
      data: (bytes) => {
        heard.bytes += bytes.length
      },
      end: () => {
        heard.ended++
      },
      resume: () => {
        heard.resumed++
      },
      over: (ending) => heard.endings.push(ending),
      giveUp: () => {
        heard.givenUp++
      },
    },
  }
  return heard
}

export type OneSession = {
  readonly session: Session
  readonly carrier: RecordedCarrier
  readonly budget: Budget
  /** What the session told its owner, by the name of the event. */
  readonly told: [string, unknown?][]
  /** Opens connection `id`, without leaving frames behind. */
  readonly open: (id: number, owner?: ConnectionEvents) => { connection: Connection; heard: Heard }
}

export type OneSessionOptions = {
  readonly role: 'server' | 'agent'
  readonly extensions?: Extensions
  readonly limits?: Partial<SessionLimits>
  readonly budget?: Budget
  /** What its owner does besides writing down what it hears. */
  readonly owner?: Partial<SessionEvents>
}

export function oneSession({ role, extensions = offered, limits, budget, owner }: OneSessionOptions): OneSession {
  const told: [string, unknown?][] = []
  const events: SessionEvents = {
    broken: (reason) => told.push(['broken', reason]),
    violation: (violation) => told.push(['violation', violation]),
    ping: (number) => told.push(['ping', number]),
    roundTrip: (ms) => told.push(['roundTrip', ms]),
    beat: (beat) => told.push(['beat', beat]),
    servers: (servers) => told.push(['servers', servers]),
    draining: () => told.push(['draining']),
    dial: (request) => told.push(['dial', request.random]),
    dialCancelled: (random) => told.push(['dialCancelled', random]),
    goingAway: (notice) => told.push(['goingAway', notice]),
    drained: () => told.push(['drained']),
    ...owner,
  }
  const own = budget ?? createBudget(64 * 2 ** 20)
  const session = createSession(
    {
      role,
      extensions,
      limits: { ...roomyLimits, ...limits },
      liveness: { intervalMs: 5_000, timeoutMs: 12_000 },
      budget: own,
      nowMs: 0,
      health: () => ({ uptimeMs: 1 }),
    },
    events,
  )
  const carrier = recordedCarrier()
  session.addCarrier(carrier)

  const open: OneSession['open'] = (id, owner) => {
    const heard = hearing()
    const events = owner ?? heard.events
    let connection: Connection | undefined
    if (role === 'server') {
      const dial: DialEvents = {
        connected(opened) {
          connection = opened
          return events
        },
        failed: () => {},
      }
      session.dial({ random: id, protocol: 'tcp', address: 'a:1' }, dial)
      session.receive(carrier, { type: 'DIAL_RSP', error: '', connectId: id, random: id })
    } else {
      session.receive(carrier, { type: 'DIAL_REQ', protocol: 'tcp', address: 'a:1', random: id })
      connection = session.accept(id, events)
    }
    carrier.frames()
    if (!connection) throw new Error('the connection did not open')
    return { connection, heard }
  }

  return { session, carrier, budget: own, told, open }
}

/** One whose peer is a program of konnectivity. */
export const stockSession = (role: 'server' | 'agent', more: Partial<OneSessionOptions> = {}): OneSession =>
  oneSession({ role, extensions: noExtensions, ...more })

/** Bytes that wait for somebody to take them. */
export const usedBytes = ({ budget }: OneSession): number => budget.usedBytes

/** Moves a connection's data to that carrier, if it may go over it. */
export function moveTo(connection: Connection, carrier: Carrier): boolean {
  const outlet = [connection.home, ...connection.link.lanes].find((it) => it.carrier === carrier)
  return outlet !== undefined && move(connection, outlet)
}
