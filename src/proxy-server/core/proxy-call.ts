/**
 * One call of `ProxyService/Proxy`, the frontend of gRPC mode: what its client's packets mean and what the client is told.
 * A client opens one connection with it, and may open several. Numbers mean something inside the call only: a client cannot
 * name what is not its own. Pure: packets, connections and time come in, actions go out (proxy-call-owner.ts).
 * Source: docs/protocol.md section 12; the texts are konnectivity's, its clients look for them.
 */
import { READ_BYTES } from '../../tunnel/carrier.ts'
import type { Connection, ConnectionEvents, Ending } from '../../tunnel/connection.ts'
import { close } from '../../tunnel/ending.ts'
import type { Int64, Packet } from '../../tunnel/packet.ts'
import { taken } from '../../tunnel/receiving.ts'
import { leave, send } from '../../tunnel/sending.ts'
import { createCallNumbers } from './call-numbers.ts'
import { MAX_TEXT_CHARS } from './dial-response.ts'
import type { CallActions, ProxyCall } from './proxy-call-owner.ts'

/** Longest target that is asked for: characters. No name is longer than 253. */
const MAX_ADDRESS_CHARS = 1_024
/** What a client may ask an agent to dial by. */
const PROTOCOLS: ReadonlySet<string> = new Set(['tcp', 'tcp4', 'tcp6'])

type Joined = {
  /** By which the client knows it. */
  readonly id: Int64
  readonly random: Int64
  readonly connection: Connection
  readonly closed: (ending: Ending) => void
  /** Bytes of the target that wait until the client has noted the connection. */
  early: Uint8Array[] | undefined
  /** What CLOSE_RSP will say behind these bytes. */
  lateError: string | undefined
  /** Bytes handed on that have not left. */
  unsent: number
  /** `send` wants no more for now. */
  blocked: boolean
  /** The client has closed it: it wants no more bytes, and what it sent arrives even if its call breaks. */
  left: boolean
  /** The client knows that it is over. */
  told: boolean
  /** Of the connection; of that the client has yet to hear, if it is not `told`. */
  ending: Ending | undefined
}

export function createProxyCall(actions: CallActions): ProxyCall {
  const dials = new Map<Int64, () => void>() // by random, what cancels it
  const joined = new Map<Int64, Joined>() // by id
  const numbers = createCallNumbers((id) => joined.has(id))
  let dialled = false
  let pinned: Int64 = 0 // the one connection that the client sends to
  let serving = true // else what comes is counted and ignored until the client ends the call
  let draining = false
  let over = false
  let unsent = 0

  function dial({ random, protocol, address }: Extract<Packet, { type: 'DIAL_REQ' }>): void {
    if (dials.has(random)) return actions.violation('duplicate-dial')
    dialled = true
    if (draining) return refuse(random, 'the server is shutting down')
    if (!PROTOCOLS.has(protocol)) {
      return object(random, address, `dial ${printable(protocol)}: protocol not supported, only tcp, tcp4 and tcp6 are`)
    }
    if (address.length > MAX_ADDRESS_CHARS) return object(random, address, 'dial tcp: address too long')
    dials.set(random, () => {})
    const cancel = actions.dial(
      { random, protocol, address },
      {
        connected: (connection) => connected(random, connection),
        failed(text, final) {
          dials.delete(random)
          refuse(random, text)
          if (final) serving = false
          actions.settled()
        },
      },
    )
    if (dials.has(random)) dials.set(random, cancel)
  }

  function refuse(random: Int64, error: string): void {
    actions.send({ type: 'DIAL_RSP', error, connectId: 0, random })
  }

  /** No agent has to hear of such a dial. */
  function object(random: Int64, address: string, error: string): void {
    actions.refused?.(address, error)
    refuse(random, error)
    actions.violation('unexpected')
  }

  function connected(random: Int64, connection: Connection): ConnectionEvents {
    dials.delete(random)
    const one: Joined = {
      id: numbers.free(connection.id),
      random,
      connection,
      closed: actions.opened(),
      early: [],
      lateError: undefined,
      unsent: 0,
      blocked: false,
      left: false,
      told: false,
      ending: undefined,
    }
    joined.set(one.id, one)
    actions.send({ type: 'DIAL_RSP', error: '', connectId: one.id, random })
    actions.noted(() => release(one))
    return {
      data(bytes) {
        if (one.left) return taken(connection, bytes.length)
        if (one.early) one.early.push(bytes)
        else forward(one, bytes)
      },
      end() {
        tellClosed(one, '')
        actions.later(() => leave(connection)) // a client of this protocol cannot half close
      },
      resume: () => unblock(one),
      giveUp: actions.cut,
      over: (ending) => closed(one, ending),
    }
  }

  function forward(one: Joined, bytes: Uint8Array): void {
    one.unsent += bytes.length
    unsent += bytes.length
    actions.data(one.id, bytes, (count) => {
      one.unsent -= count
      unsent -= count
      taken(one.connection, count)
      actions.settled()
    })
  }

  function release(one: Joined): void {
    const early = one.early ?? []
    one.early = undefined
    for (const bytes of early) {
      if (one.left || over) taken(one.connection, bytes.length)
      else forward(one, bytes)
    }
    if (one.lateError !== undefined) tellClosed(one, one.lateError)
  }

  function unblock(one: Joined): void {
    if (!one.blocked) return
    one.blocked = false // nor is another one: a client sends to one connection only
    actions.read(true)
  }

  /** CLOSE_RSP: the client hears of the end once, after all data, of a connection that it has noted. */
  function tellClosed(one: Joined, error: string): void {
    if (one.told || over) return
    if (one.early) {
      one.lateError ??= error
      return
    }
    one.told = true
    actions.send({ type: 'CLOSE_RSP', error, connectId: one.id })
    forgetEnded(one)
  }

  function closed(one: Joined, ending: Ending): void {
    one.ending = ending
    one.closed(ending)
    tellClosed(one, errorOf(ending))
    if (one.told || over) forgetEnded(one)
    if (!over) unblock(one)
  }

  /** Nobody has to be told of it any more. */
  function forgetEnded(one: Joined): void {
    if (!one.ending || !joined.delete(one.id)) return
    numbers.ended(one.id)
    if (!over && isCut(one.ending) && one.unsent > 0) actions.hurry(() => one.unsent > 0)
    actions.settled()
  }

  function leaveInOrder(one: Joined): void {
    one.left = true
    release(one)
    leave(one.connection)
    if (!over) unblock(one) // what is read for it now is dropped
    forgetEnded(one)
  }

  function closeRequested(id: Int64): void {
    if (!dialled) {
      actions.send({ type: 'CLOSE_RSP', error: 'backend uninitialized', connectId: id })
      return actions.violation('unknown-connection')
    }
    serving = false
    const one = joined.get(id)
    if (one) {
      leaveInOrder(one)
      return tellClosed(one, '') // at once, as close(2) of a socket: what the client sent is on its way
    }
    actions.send({ type: 'CLOSE_RSP', error: 'Unknown connectID', connectId: id })
    if (!numbers.hasEnded(id)) actions.violation('unknown-connection')
  }

  /** The client has given up a dial, which may just have succeeded. */
  function dialCancelled(random: Int64): void {
    const cancel = dials.get(random)
    if (cancel) {
      dials.delete(random)
      cancel()
      return actions.settled()
    }
    const late = [...joined.values()].find((one) => one.random === random)
    if (!late) return actions.violation('unknown-dial')
    late.told = true
    leaveInOrder(late)
  }

  function mismatch(id: Int64): void {
    const reason = 'mismatched connection IDs'
    serving = false
    for (const each of [id, pinned]) {
      const one = joined.get(each)
      if (!one) {
        actions.send({ type: 'CLOSE_RSP', error: reason, connectId: each })
        continue
      }
      release(one)
      tellClosed(one, reason)
      close(one.connection, 'mismatched-connection-ids')
    }
    actions.violation('unexpected')
  }

  function receiveData(id: Int64, bytes: Uint8Array, first: boolean): void {
    if (!serving) return
    if (!dialled) {
      serving = false
      actions.send({ type: 'CLOSE_RSP', error: 'backend not initialized', connectId: id })
      return actions.violation('unknown-connection')
    }
    if (id === 0) return
    if (pinned === 0) pinned = id
    else if (pinned !== id) return mismatch(id)
    const one = joined.get(id)
    if (!one) return first && !numbers.hasEnded(id) ? actions.violation('unknown-connection') : undefined
    release(one)
    if (one.told) return
    let readOn = true
    for (let sent = 0; sent < bytes.length; sent += READ_BYTES) {
      readOn = send(one.connection, bytes.subarray(sent, sent + READ_BYTES))
    }
    if (readOn || one.connection.over) return
    one.blocked = true
    actions.read(false)
  }

  return {
    receive(packet) {
      if (over) return
      if (!serving) return actions.violation('unexpected')
      switch (packet.type) {
        case 'DIAL_REQ':
          return dial(packet)
        case 'CLOSE_REQ':
          return closeRequested(packet.connectId)
        case 'DIAL_CLS':
          return dialCancelled(packet.random)
        default:
          return actions.violation(packet.type === 'UNKNOWN' ? 'unknown-type' : 'unexpected')
      }
    },
    receiveData,
    ended(broken) {
      if (over) return
      over = true
      serving = false
      for (const cancel of dials.values()) cancel()
      dials.clear()
      for (const one of [...joined.values()]) {
        if (!broken) leaveInOrder(one)
        else if (!one.left) close(one.connection, 'client-lost')
        forgetEnded(one)
      }
    },
    busy: () => dials.size > 0 || joined.size > 0 || unsent > 0,
    drain() {
      draining = true
    },
  }
}

/** What still lies here of it counts for nobody any more. */
const isCut = (ending: Ending): boolean => ending.kind === 'reset' && !ending.inOrder

/** The reference never says why; we do where we know, and nothing of an agent that is gone: its clients see the end alone. */
function errorOf(ending: Ending): string {
  return ending.kind === 'reset' && ending.by !== 'tunnel' ? ending.reason.slice(0, MAX_TEXT_CHARS) : ''
}

const printable = (text: string): string => JSON.stringify(text.slice(0, 20))
