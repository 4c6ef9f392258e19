/**
 * One client of the model and the call that serves it: what it sends, what it is told, and what must hold of both. It keeps
 * its own account of what the call has to take, drop and answer, packet by packet.
 */
import { Buffer } from 'node:buffer'
import { dialErrorText } from '../../../../src/proxy-server/core/dial-response.ts'
import { createProxyCall } from '../../../../src/proxy-server/core/proxy-call.ts'
import type { Dialing } from '../../../../src/proxy-server/dialing.ts'
import type { Int64, Packet } from '../../../../src/tunnel/packet.ts'
import { patternAt } from '../../../tunnel/model/pattern.ts'
import type { Step } from '../../../tunnel/model/step.ts'
import type { Tunnel } from '../../../tunnel/model/tunnel.ts'
import { type Hub, numberOf } from './hub.ts'

export type ModelDial = {
  readonly random: Int64
  /** Of its target in the model; not a number for one that must be refused. */
  readonly target: number
  state: 'sent' | 'asked' | 'connected' | 'failed' | 'cancelled' | 'dropped'
}

export type ModelConnection = {
  readonly id: Int64
  readonly dial: ModelDial
  readonly tunnel: Tunnel
  /** Bytes that the client has got. */
  got: number
  /** The client knows it: it has had the time, or has spoken of it. */
  noted: boolean
  /** The client has asked for its end. */
  unwanted: boolean
  /** CLOSE_RSP was sent, and has come. */
  told: boolean
  closed: boolean
  /** DIAL_CLS came too late: it ends without a word. */
  cancelled: boolean
}

type Inbound = { readonly packet: Packet } | { readonly id: Int64; readonly bytes: Buffer; first: boolean }
type Outbound =
  | { readonly packet: Packet; readonly ends: ModelConnection | undefined }
  | { readonly connection: ModelConnection; bytes: Buffer; readonly written: (bytes: number) => void }

export type Client = {
  readonly name: string
  readonly dials: ModelDial[]
  readonly connections: ModelConnection[]
  /** How the call has ended. */
  ended: 'no' | 'in order' | 'broken'
  /** It takes nothing of what it is sent. */
  stalled: boolean
  /** It will send nothing more, in its own mind. */
  done: boolean
  readonly send: (packet: Packet) => void
  /** So many bytes: those that the connection's stream is at, if a connection takes them. */
  readonly sendData: (id: Int64, length: number) => void
  readonly end: (how: 'in order' | 'broken') => void
  readonly drain: () => void
  readonly steps: () => Step[]
  /** What the call has put off until its frame is done with. */
  readonly settleTurn: () => void
  readonly check: () => void
  readonly checkRest: () => void
  readonly checkEnd: () => void
}

const REPLIES = new Set(['Unknown connectID', 'backend uninitialized', 'backend not initialized'])
const MISMATCH = 'mismatched connection IDs'

export function createClient(hub: Hub, name: string, dialing: Dialing): Client {
  const { random } = hub.setup
  const inbound: Inbound[] = []
  const outbound: Outbound[] = []
  const noting: { readonly connection: ModelConnection; readonly callback: () => void }[] = []
  let later: (() => void)[] = []
  let reading = true
  let handling: Inbound | undefined // the packet that the call is being given
  let serving = true
  let dialled = false
  let pinned: Int64 = 0
  let violations = 0
  let opened = 0
  let settled = 0
  let wasBusy = false
  let settledBefore = 0

  const fail = (why: string): never => hub.fail(`${name}: ${why}`)
  const live = (id: Int64): ModelConnection | undefined =>
    client.connections.find((it) => it.id === id && !isForgotten(it))
  /** The call has nothing to do with it any more. */
  const isForgotten = ({ tunnel, told, cancelled }: ModelConnection): boolean =>
    tunnel.client?.ending !== undefined && (told || cancelled)

  const call = createProxyCall({
    dial: ({ random, protocol, address }, outcome) =>
      dialing.dial(
        'default',
        'client',
        address,
        {
          connected: outcome.connected,
          failed: (failure) => outcome.failed(dialErrorText(failure), failure.kind === 'no-agent'),
        },
        { random, protocol },
      ),
    send(packet) {
      if (client.ended !== 'no') fail(`${packet.type} was sent after the end`)
      if (packet.type === 'DIAL_RSP') dialAnswered(packet)
      else if (packet.type !== 'CLOSE_RSP') fail(`${packet.type} was sent to a client`)
      outbound.push({ packet, ends: packet.type === 'CLOSE_RSP' ? closedTold(packet) : undefined })
    },
    data(id, bytes, written) {
      const connection = live(id)
      if (!connection || connection.told) return fail(`bytes are sent for ${id}, which is not open`)
      if (!connection.noted) fail(`bytes are sent for ${id}, which the client has not noted`)
      outbound.push({ connection, bytes: Buffer.from(bytes), written })
    },
    read(on) {
      reading = on
    },
    noted: (callback) => void noting.push({ connection: client.connections.at(-1)!, callback }),
    later: (callback) => void later.push(callback),
    violation() {
      violations++
      if (violations === hub.setup.maxViolations + 1) client.end('broken')
    },
    opened() {
      opened++
      let over = false
      return () => {
        if (over) fail('the end of a connection was told twice')
        over = true
        opened--
      }
    },
    settled: () => void settled++,
    hurry: (lie) => void (lie() || fail('hurried without bytes that lie')),
    cut: () => client.end('broken'),
  })

  function dialAnswered({ error, connectId, random: number }: Extract<Packet, { type: 'DIAL_RSP' }>): void {
    const dial = client.dials.find((it) => it.random === number && it.state === 'asked')
    if (!dial) return fail(`dial ${number} is answered, and nobody waits for that`)
    dial.state = error === '' ? 'connected' : 'failed'
    if (error === 'No agent available') serving = false
    if (error !== '') return
    if (connectId === 0 || live(connectId)) fail(`the number ${connectId} is given twice`)
    const tunnel = hub.tunnelTo(dial.target) ?? fail(`dial ${number} reached no target`)
    const rest = { got: 0, noted: false, unwanted: false, told: false, closed: false, cancelled: false }
    client.connections.push({ id: connectId, dial, tunnel, ...rest })
  }

  function closedTold({ error, connectId }: Extract<Packet, { type: 'CLOSE_RSP' }>): ModelConnection | undefined {
    const connection = live(connectId)
    if (connection && !connection.told && !connection.cancelled) {
      if (!connection.noted) fail(`the end of ${connectId} is told, which the client has not noted`)
      connection.told = true
      return connection
    }
    const about = handling && ('packet' in handling ? handling.packet : { type: 'DATA', connectId: handling.id })
    const asked = about !== undefined && 'connectId' in about && (about.connectId === connectId || error === MISMATCH)
    if (!asked || !(REPLIES.has(error) || error === MISMATCH)) fail(`the end of ${connectId} is told again: ${error}`)
    return undefined
  }

  /** What the call makes of the next packet, by its rules. */
  function receive(next: Inbound): void {
    handling = next
    if ('packet' in next) {
      account(next.packet)
      call.receive(next.packet)
    } else {
      const accepting = accept(next.id, next.bytes)
      const end = accepting?.tunnel.client
      if (end) {
        patternAt(accepting.tunnel.random * 2, end.sent, next.bytes.length).copy(next.bytes)
        end.sent += next.bytes.length
      }
      call.receiveData(next.id, next.bytes, next.first)
      next.bytes.fill(0xa5) // whatever was kept of it without a copy shows
    }
    handling = undefined
  }

  function account(packet: Packet): void {
    if (packet.type === 'DIAL_REQ') {
      const dial = client.dials.find((it) => it.random === packet.random && it.state === 'sent')
      if (!dial) return fail('a dial came that was not sent')
      const pending = client.dials.some((it) => it.random === packet.random && it.state === 'asked')
      dial.state = serving && !pending ? 'asked' : 'dropped'
      if (serving && !pending) dialled = true
    }
    if (!serving) return
    if (packet.type === 'CLOSE_REQ' && dialled) {
      serving = false
      const connection = live(packet.connectId)
      if (connection) {
        connection.noted = true
        connection.unwanted = true
      }
    }
    if (packet.type === 'DIAL_CLS') {
      const dial = client.dials.find((it) => it.random === packet.random && it.state === 'asked')
      const late = client.connections.find((it) => it.dial.random === packet.random && !isForgotten(it))
      if (dial) dial.state = 'cancelled'
      else if (late) late.cancelled = true
    }
  }

  /** The connection that takes these bytes. */
  function accept(id: Int64, bytes: Buffer): ModelConnection | undefined {
    if (!serving) return undefined
    if (!dialled) serving = false
    if (!dialled || id === 0) return undefined
    if (pinned === 0) pinned = id
    if (pinned !== id) {
      serving = false
      for (const each of [pinned, id]) {
        const one = live(each)
        if (one) one.noted = true
      }
      return undefined
    }
    const connection = live(id)
    const end = connection?.tunnel.client
    if (!connection || !end) return undefined
    connection.noted = true
    return end.ending || end.sinkEnded || end.left || bytes.length === 0 ? undefined : connection
  }

  /** All that comes of one chunk, whatever the call says of reading meanwhile. */
  function readChunk(): void {
    for (let count = 1 + random.below(4); count > 0 && inbound.length > 0; count--) {
      const next = inbound[0]!
      if ('packet' in next || random.chance(60) || next.bytes.length < 2) {
        inbound.shift()
        receive(next)
        continue
      }
      const cut = 1 + random.below(next.bytes.length - 1)
      inbound[0] = { id: next.id, bytes: next.bytes.subarray(cut), first: false }
      receive({ ...next, bytes: Buffer.from(next.bytes.subarray(0, cut)) })
    }
  }

  /** The oldest of what was sent leaves, or a part of it, and comes to the client. */
  function write(): void {
    const next = outbound[0]!
    if ('packet' in next) {
      outbound.shift()
      if (next.ends && client.ended === 'no') closedHeard(next.ends)
      return
    }
    const { connection, bytes, written } = next
    const count = random.chance(60) ? bytes.length : 1 + random.below(bytes.length)
    const comes = client.ended === 'no'
    if (count === bytes.length) outbound.shift()
    next.bytes = bytes.subarray(count)
    if (comes) {
      const expected = patternAt(connection.tunnel.random * 2 + 1, connection.got, count)
      if (Buffer.compare(expected, bytes.subarray(0, count)) !== 0) fail(`wrong bytes for ${connection.id}`)
      if (connection.closed) fail(`bytes for ${connection.id} after its end`)
      connection.got += count
    }
    written(count)
  }

  function closedHeard(connection: ModelConnection): void {
    connection.closed = true
    const { got, unwanted, cancelled, tunnel } = connection
    const end = tunnel.client
    if (!end?.sinkEnded || end.ending?.kind === 'reset' || unwanted || cancelled) return
    if (got !== end.received) {
      fail(`${connection.id} was closed in order with ${got} of ${end.received} bytes`)
    }
  }

  const client: Client = {
    name,
    dials: [],
    connections: [],
    ended: 'no',
    stalled: false,
    done: false,
    send(packet) {
      if (packet.type === 'DIAL_REQ') {
        client.dials.push({ random: packet.random, target: numberOf(packet.address), state: 'sent' })
      }
      inbound.push({ packet })
    },
    sendData: (id, length) => void inbound.push({ id, bytes: Buffer.alloc(length, 'junk'), first: true }),
    end(how) {
      if (client.ended !== 'no') return
      client.ended = how
      inbound.length = 0
      noting.length = 0
      call.ended(how === 'broken')
      wasBusy = call.busy() // whoever ends a call looks for itself
    },
    drain: call.drain,
    steps() {
      const steps: Step[] = []
      const add = (what: string, weight: number, run: () => void): void => {
        steps.push({ name: `${name} ${what}`, weight, run })
      }
      if (client.ended === 'no' && reading && inbound.length > 0) add('reads', 8, readChunk)
      if (outbound.length > 0 && (!client.stalled || client.ended !== 'no')) add('writes', 8, write)
      if (noting.length > 0) {
        add('has had time to note', 2, () => {
          const { connection, callback } = noting.shift()!
          connection.noted = true
          callback()
        })
      }
      return steps
    },
    settleTurn() {
      while (later.length > 0) {
        const callbacks = later
        later = []
        for (const callback of callbacks) callback()
      }
    },
    check() {
      const busy = call.busy()
      if (wasBusy && !busy && settled === settledBefore) fail('nobody heard that it settled')
      wasBusy = busy
      settledBefore = settled
      for (const { tunnel } of client.connections) {
        if (tunnel.client) tunnel.client.stalled = client.stalled && client.ended === 'no'
      }
      const joined = client.connections.filter((it) => !isForgotten(it))
      if (client.ended === 'no') {
        const blocked = joined.some(
          ({ tunnel, unwanted, cancelled }) =>
            !tunnel.client?.ending && tunnel.client?.connection?.paused && !unwanted && !cancelled,
        )
        if (reading === blocked) fail(reading ? 'it reads on although a connection is blocked' : 'it does not read on')
        for (const it of joined) {
          if (it.noted && it.tunnel.client?.ending) fail(`nobody told it of the end of ${it.id}`)
          if (it.unwanted && !it.told && !it.cancelled) fail(`it has closed ${it.id}, and nobody answered`)
        }
      }
      for (const { id, unwanted, cancelled, tunnel } of client.connections) {
        const ending = tunnel.client?.ending
        const cut = ending?.kind === 'reset' && ending.reason === 'client-lost'
        if (cut && (unwanted || cancelled)) fail(`${id} was closed in good order, and cut`)
      }
      const open = client.connections.filter(({ tunnel }) => !tunnel.client?.ending).length
      if (opened !== open) fail(`${opened} connections are counted of ${open}`)
    },
    checkRest() {
      if (client.ended !== 'no') return
      const stuck = client.connections.some(({ tunnel }) => tunnel.target?.stalled && !tunnel.client?.ending)
      if (inbound.length > 0 && !stuck) fail(`it does not read ${inbound.length} packets, and no target is stalled`)
      for (const { random: number, state } of client.dials) {
        if (state === 'asked' || (state === 'sent' && inbound.length === 0)) fail(`dial ${number} is ${state} for ever`)
      }
    },
    checkEnd() {
      if (call.busy()) fail('something is left of it')
      if (opened > 0) fail(`${opened} connections were not counted as ended`)
    },
  }
  return client
}
