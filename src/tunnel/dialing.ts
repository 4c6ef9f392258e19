/**
 * How a connection comes to be, on both ends: the server asks and hears the answer, the agent is asked and answers. Pure: who
 * dials the target, and for how long, is the owner's. Source: docs/protocol.md section 1.
 */
import { type Connection, type ConnectionEvents, createConnection, type Link, type Outlet } from './connection.ts'
import { addConnection, type ConnectionTable, noteNumber } from './connection-table.ts'
import { createDials, type DialEvents, type DialRequest } from './dials.ts'
import type { Int64, Packet } from './packet.ts'
import type { Violations } from './violations.ts'

export type DialingDeps = {
  readonly limits: { readonly pendingDials: number; readonly connections: number }
  readonly link: Link
  readonly connections: ConnectionTable
  /** To the peer, behind the data before it. */
  readonly ordered: (packet: Packet) => void
  readonly violate: Violations['violate']
  /** Agent: dial this, or do no longer. */
  readonly wanted: (request: DialRequest) => void
  readonly unwanted: (random: Int64) => void
  /** Agent: a dial was refused before anybody was asked to dial. */
  readonly overLimit: (request: DialRequest, text: string) => void
  /** A dial has ended without a connection. */
  readonly settled: () => void
}

export type Dialing = {
  /** Server: asks for a connection. */
  readonly ask: (outlet: Outlet, request: DialRequest, events: DialEvents) => void
  /** Server: nobody waits for it any more. */
  readonly cancel: (random: Int64) => void
  /** Server: the agent's answer came. */
  readonly answered: (answer: Extract<Packet, { type: 'DIAL_RSP' }>) => void
  /** Agent: the server asks. */
  readonly asked: (outlet: Outlet, request: DialRequest) => void
  /** Agent: `undefined` when it is no longer wanted. */
  readonly accept: (random: Int64, events: ConnectionEvents) => Connection | undefined
  readonly refuse: (random: Int64, text: string) => void
  /** The peer gave the dial up. */
  readonly givenUp: (random: Int64) => void
  /** The stream is gone. */
  readonly end: (reason: string) => void
  readonly count: () => number
  /** Whether a dial has this number that is pending, or was cancelled and may still be answered. */
  readonly has: (random: Int64) => boolean
}

export function createDialing(deps: DialingDeps): Dialing {
  const { limits, link, connections, ordered, violate } = deps
  const dials = createDials(limits.pendingDials)
  let over = false

  function open(id: Int64, outlet: Outlet, events: ConnectionEvents): Connection {
    const connection = createConnection(id, link, outlet, events)
    addConnection(connections, connection)
    return connection
  }

  function refuse(random: Int64, text: string): void {
    const dial = dials.take(random)
    if (!dial) return
    dial.outlet.carrier.control({ type: 'DIAL_RSP', error: text, connectId: 0, random })
    deps.settled()
  }

  return {
    ask(outlet, request, events) {
      for (const [count, limit] of [
        [dials.size(), limits.pendingDials],
        [connections.live.size, limits.connections],
      ] as const) {
        if (count >= limit) return events.failed({ kind: 'too-many', limit })
      }
      dials.add(request.random, { outlet, events, lost: (reason) => events.failed({ kind: 'lost', reason }) })
      outlet.carrier.control({ type: 'DIAL_REQ', ...request })
    },
    cancel(random) {
      dials.cancel(random)?.outlet.carrier.control({ type: 'DIAL_CLS', random })
    },
    answered({ error, connectId, random }) {
      const dial = dials.take(random)
      const taken = connections.live.has(connectId)
      if (!dial?.events) {
        violate('unknown-dial', dials.answeredLate(random))
        if (connectId === 0 || error !== '' || taken) return
        noteNumber(connections, connectId)
        return ordered({ type: 'CLOSE_REQ', connectId, reason: link.closeReason ? 'dial-cancelled' : '' })
      }
      if (error !== '') return dial.events.failed({ kind: 'refused', text: error })
      if (connectId <= 0 || taken) {
        violate('unexpected')
        const text = 'the agent answered with a connection id that it cannot use'
        return dial.events.failed({ kind: 'refused', text })
      }
      const connection = open(connectId, dial.outlet, nobody)
      connection.events = dial.events.connected(connection)
    },
    asked(outlet, request) {
      const { random } = request
      if (dials.has(random)) return violate('duplicate-dial')
      dials.add(random, { outlet, lost: () => deps.unwanted(random) })
      const text =
        dials.size() > limits.pendingDials
          ? tooMany('pending dials', limits.pendingDials)
          : connections.live.size >= limits.connections
            ? tooMany('connections', limits.connections)
            : undefined
      if (text === undefined) return deps.wanted(request)
      deps.overLimit(request, text)
      refuse(random, text)
    },
    accept(random, events) {
      const dial = dials.take(random)
      if (!dial || over) return undefined
      const connection = open(Number(connections.highest) + 1, dial.outlet, events)
      dial.outlet.carrier.control({ type: 'DIAL_RSP', error: '', connectId: connection.id, random })
      return connection
    },
    refuse,
    givenUp(random) {
      dials.take(random)?.lost('the agent gave up the dial')
      deps.settled()
    },
    end(reason) {
      over = true
      dials.lose(reason)
    },
    count: dials.size,
    has: dials.has,
  }
}

const tooMany = (what: string, limit: number): string =>
  `the agent is at its limit of ${limit} ${what} (too many open files)`

/** Stands in while the owner of a new connection is being asked what it wants to hear. */
const nobody: ConnectionEvents = { data: () => {}, end: () => {}, resume: () => {}, over: () => {}, giveUp: () => {} }
