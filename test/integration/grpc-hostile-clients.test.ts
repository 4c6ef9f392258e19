/**
 * gRPC mode: clients that break the rules of the protocol. Each pays alone: the calls beside it, on its own HTTP/2 connection
 * and on others, go on; it learns nothing of them; nothing of it stays; and what it did is counted.
 */
import type { ClientHttp2Session } from 'node:http2'
import t, { type Test } from 'tap'
import type { Packet } from '../../src/tunnel/packet.ts'
import { encodePacket } from '../../src/tunnel/packet-codec.ts'
import { makePki } from './certificates.ts'
import { event, eventually, within } from './deadline.ts'
import { counts, figureBecomes, readFigures, SERVER } from './figures.ts'
import { dialsUnderWay, echo, listenTarget, PATIENT, silent, stuckTarget } from './target.ts'
import { sendAll } from './transfer.ts'
import { startTunnels } from './tunnel.ts'
import { grpcMessage } from './wire.ts'
import { closeRequest, dialRequest, echoOver, joinFrontend, openCall, type WireCall } from './wire-call.ts'
import { joinWitness, onlyLeft } from './witness.ts'

const MEBIBYTE = 1024 * 1024
const MAX_MESSAGE_BYTES = 4 * MEBIBYTE
const VIOLATIONS = 1_000
const WITNESSES = 2
const BAD_CLIENTS = 200
const PENDING_DIALS = 1_000

const pki = await makePki(t)
const target = await listenTarget(t, echo)
const deaf = await listenTarget(t, silent)
const source = await listenTarget(t, (socket) => void sendAll(socket, MEBIBYTE))
const flags = ['--mode=grpc', `--max-pending-dials-per-frontend=${PENDING_DIALS}`]
const tunnels = await Promise.all(
  (await startTunnels(t, { pki, flags }, { flags: [PATIENT] })).map(async (tunnel) => {
    const [shared, apart] = [await joinFrontend(t, tunnel.server), await joinFrontend(t, tunnel.server)]
    const targets = { echo: target, source, sourceBytes: MEBIBYTE }
    return { ...tunnel, shared, witnesses: [await joinWitness(shared, targets), await joinWitness(apart, targets)] }
  }),
)

const violation = (kind: string): string => `culvert_server_client_violations_total{kind="${kind}"}`
const broken = (code: string): string =>
  `${SERVER}stream_errors_total{segment="from_client",code="${code}",packet_type="Unknown"}`
const dataFor = (connectId: number, text = 'from a stranger'): Packet => ({
  type: 'DATA',
  connectId,
  error: '',
  data: Buffer.from(text),
})
/** All that comes for the call has come: it is answered in order. */
async function caughtUp(call: WireCall): Promise<void> {
  call.send(dialRequest('x:1', 4_711, 'udp'))
  await eventually(
    'an answer to the last dial',
    () => call.received.some((packet) => packet.type === 'DIAL_RSP' && packet.random === 4_711),
    Boolean,
  )
}

type Case = {
  readonly what: string
  readonly act: (call: WireCall, t: Test) => unknown
  /** What it counts as, and how often. */
  readonly counted: readonly [series: string, by: number]
}

/** Packets that make no sense where they come. The witnesses have the connections 1 and 2 of the agent, both called 7. */
const packets: readonly Case[] = [
  {
    what: 'DATA before any dial, for the connection of another client',
    async act(call, t) {
      call.send(dataFor(1))
      t.match(await call.next('CLOSE_RSP'), { connectId: 1, error: 'backend not initialized' })
    },
    counted: [violation('unknown_connection'), 1],
  },
  {
    what: 'CLOSE_REQ before any dial, for the connection of another client',
    async act(call, t) {
      call.send(closeRequest(2))
      t.match(await call.next('CLOSE_RSP'), { connectId: 2, error: 'backend uninitialized' })
    },
    counted: [violation('unknown_connection'), 1],
  },
  {
    what: 'DATA for the connection of another client, with one of its own',
    async act(call, t) {
      await call.dial(target.address)
      call.send(dataFor(1), dataFor(1))
      await caughtUp(call)
      t.equal(call.bytesOf(1).length, 0)
    },
    counted: [violation('unknown_connection'), 2],
  },
  {
    what: 'DATA for its own connection, then for that of another client',
    async act(call, t) {
      const id = await call.dial(target.address)
      await echoOver(call, id, 'hello')
      call.send(dataFor(2))
      const closed = [await call.next('CLOSE_RSP'), await call.next('CLOSE_RSP')]
      t.strictSame(new Set(closed.map(({ connectId }) => connectId)), new Set([2, id]))
      for (const { error } of closed) t.equal(error, 'mismatched connection IDs')
    },
    counted: [violation('unexpected'), 1],
  },
  {
    what: 'CLOSE_REQ for the connection of another client',
    async act(call, t) {
      await call.dial(target.address)
      call.send(closeRequest(1))
      t.match(await call.next('CLOSE_RSP'), { connectId: 1, error: 'Unknown connectID' })
    },
    counted: [violation('unknown_connection'), 1],
  },
  {
    what: 'CLOSE_REQ for connections that cannot be, by their numbers',
    async act(call, t) {
      for (const id of [-1, 2n ** 63n - 1n, -(2n ** 63n)]) {
        call.send(closeRequest(id))
        t.match(await call.next('CLOSE_RSP'), { connectId: id, error: 'backend uninitialized' })
      }
    },
    counted: [violation('unknown_connection'), 3],
  },
  {
    what: 'CLOSE_REQ twice',
    async act(call, t) {
      const id = await call.dial(target.address)
      call.send(closeRequest(id), closeRequest(id))
      t.match(await call.next('CLOSE_RSP'), { connectId: id, error: '' })
    },
    counted: [violation('unexpected'), 1],
  },
  {
    what: 'a dial behind CLOSE_REQ',
    async act(call) {
      const id = await call.dial(target.address)
      call.send(closeRequest(id), dialRequest(target.address, 8))
      await call.next('CLOSE_RSP')
    },
    counted: [violation('unexpected'), 1],
  },
  {
    what: 'DIAL_CLS for a dial that never was, and for that of another client',
    act: (call) => call.send({ type: 'DIAL_CLS', random: 12_345 }, { type: 'DIAL_CLS', random: 7 }),
    counted: [violation('unknown_dial'), 2],
  },
  {
    what: 'packets that only a server or an agent sends',
    async act(call) {
      const id = await call.dial(target.address)
      call.send(
        { type: 'DIAL_RSP', error: '', connectId: 9, random: 7 },
        { type: 'CLOSE_RSP', error: '', connectId: id },
        { type: 'CLOSE_RSP', error: '', connectId: 1 },
        { type: 'DRAIN' },
        { type: 'WINDOW_UPDATE', connectId: 1, credit: 1 },
        { type: 'END_OF_DATA', connectId: id, close: 0, reason: '' },
        { type: 'HEARTBEAT', seq: 1, sentUnixMs: 1, health: {} },
        { type: 'GOING_AWAY', reason: 'no', deadlineMs: 1, reconnectAfterMs: 1 },
      )
      await echoOver(call, id, 'it goes on')
    },
    counted: [violation('unexpected'), 8],
  },
  {
    what: 'packets of unknown types, as many as are borne',
    async act(call) {
      const id = await call.dial(target.address)
      for (let count = 0; count < VIOLATIONS; count++) call.sendMessage(Buffer.from([8, 63]))
      await echoOver(call, id, 'it goes on')
    },
    counted: [violation('unknown_type'), VIOLATIONS],
  },
  {
    what: 'dials that no agent is asked for',
    async act(call, t) {
      for (const packet of [dialRequest('x:1', 8, 'udp'), dialRequest('x'.repeat(1_025), 8)]) {
        call.send(packet)
        t.match(await call.next('DIAL_RSP'), { error: /^dial / })
      }
    },
    counted: [violation('unexpected'), 2],
  },
]

/** Bytes after which a call cannot go on. */
const endings: readonly { what: string; bytes: Buffer; end: { code: number; message: RegExp }; counted: string }[] = [
  {
    what: 'a message of 4 MiB and a byte',
    bytes: grpcMessage(Buffer.alloc(MAX_MESSAGE_BYTES + 1)),
    end: { code: 8, message: /^grpc: received message larger than max: a message of 4194305 bytes/ },
    counted: 'ResourceExhausted',
  },
  {
    what: 'a message that is said to have 4 GiB',
    bytes: Buffer.from([0, 0xff, 0xff, 0xff, 0xff]),
    end: { code: 8, message: /^grpc: received message larger than max: a message of 4294967295 bytes/ },
    counted: 'ResourceExhausted',
  },
  {
    what: 'a message that is no packet',
    bytes: grpcMessage(Buffer.alloc(9, 0xff)),
    end: { code: 13, message: /^grpc: failed to unmarshal the received message: / },
    counted: 'Internal',
  },
  {
    what: 'a packet that is cut short',
    bytes: grpcMessage(encodePacket(dialRequest('x'.repeat(50))).subarray(0, 20)),
    end: { code: 13, message: /^grpc: failed to unmarshal the received message: / },
    counted: 'Internal',
  },
  {
    what: 'a compressed message',
    bytes: grpcMessage(encodePacket(closeRequest(1)), 1),
    end: { code: 13, message: /compressed/ },
    counted: 'Internal',
  },
  {
    what: 'more packets of unknown types than are borne',
    bytes: Buffer.concat(Array.from({ length: VIOLATIONS + 1 }, () => grpcMessage(Buffer.from([8, 63])))),
    end: { code: 8, message: /^too many packets that mean nothing here$/ },
    counted: 'ResourceExhausted',
  },
  {
    what: 'empty messages, each of them a dial to nowhere, without end',
    bytes: Buffer.alloc(5 * 10_000),
    end: { code: 8, message: /^too many packets that mean nothing here$/ },
    counted: 'ResourceExhausted',
  },
]

for (const { server, agent, shared, witnesses } of tunnels) {
  const { transport } = server

  async function allIsWell(): Promise<void> {
    for (const witness of witnesses) await witness.isWell()
    await onlyLeft({ server, agent }, WITNESSES)
    await eventually(
      'targets have nobody else',
      () => target.sockets.size,
      (open) => open === WITNESSES * tunnels.length,
    )
  }

  for (const { what, act, counted } of packets) {
    t.test(`${transport}: ${what}`, async (t) => {
      await counts(server, ...counted, async () => {
        const call = openCall(shared)
        await act(call, t)
        await within(new Promise((resolve) => call.stream.write('', resolve)), 'all is written')
        call.stream.end()
        await call.closed
      })
      await allIsWell()
      t.pass('nobody else has noticed')
    })
  }

  for (const { what, bytes, end, counted } of endings) {
    t.test(`${transport}: ${what} ends its call, and breaks its connection`, async (t) => {
      const call = openCall(shared)
      const id = await call.dial(target.address)
      await echoOver(call, id, 'hello')
      await counts(server, broken(counted), 1, async () => {
        call.sendRaw(bytes)
        t.match(await call.ended(), end)
        await call.closed
      })
      await allIsWell()
    })
  }

  t.test(`${transport}: 4 MiB to the byte are taken`, async (t) => {
    const call = openCall(shared)
    const id = await call.dial(target.address)
    const packet = (bytes: number): Packet => ({ ...dataFor(Number(id)), data: Buffer.alloc(bytes, 'x') }) as Packet
    const payloadBytes = 2 * MAX_MESSAGE_BYTES - 100 - encodePacket(packet(MAX_MESSAGE_BYTES - 100)).length
    t.equal(encodePacket(packet(payloadBytes)).length, MAX_MESSAGE_BYTES)
    call.send(packet(payloadBytes))
    const back = await call.data(id, payloadBytes)
    t.equal(back.length, payloadBytes)
    call.stream.end()
    await allIsWell()
  })

  t.test(
    `${transport}: bytes for no connection, empty ones and late ones, by the thousand, are no trouble`,
    async (t) => {
      const call = openCall(shared)
      call.send(...Array.from({ length: 5_000 }, () => dataFor(0)))
      t.match(await call.next('CLOSE_RSP'), { connectId: 0, error: 'backend not initialized' })
      call.stream.end()
      const other = openCall(shared)
      const id = Number(await other.dial(target.address))
      other.send(
        ...Array.from({ length: 5_000 }, () => dataFor(0)),
        ...Array.from({ length: 5_000 }, () => dataFor(id, '')),
      )
      await echoOver(other, id, 'it goes on')
      other.send(closeRequest(id), ...Array.from({ length: 5_000 }, () => dataFor(id, 'late')))
      t.match(await other.next('CLOSE_RSP'), { connectId: id, error: '' })
      other.stream.end()
      t.match(await other.ended(), { code: 0 })
      await allIsWell()
    },
  )

  t.test(
    `${transport}: a dial under the number of another client’s, and DIAL_CLS for it, touch only their own`,
    async (t) => {
      const stuck = await stuckTarget(t)
      const [honest, stranger] = [openCall(shared), openCall(shared)]
      honest.send(dialRequest(stuck.address, 77))
      await figureBecomes(server, `${SERVER}pending_backend_dials`, 1)
      stranger.send({ type: 'DIAL_CLS', random: 77 })
      await counts(server, violation('duplicate_dial'), 1, async () => {
        stranger.send(dialRequest(stuck.address, 77), dialRequest(stuck.address, 77))
        await figureBecomes(server, `${SERVER}pending_backend_dials`, 2)
      })
      stranger.send({ type: 'DIAL_CLS', random: 77 })
      await figureBecomes(server, `${SERVER}pending_backend_dials`, 1)
      stuck.release()
      const { error, random, connectId } = await honest.next('DIAL_RSP')
      t.strictSame({ error, random }, { error: '', random: 77 })
      await echoOver(honest, connectId, 'mine alone')
      t.strictSame(stranger.received, [])
      honest.stream.end()
      stranger.stream.end()
      await allIsWell()
    },
  )

  t.test(`${transport}: dials without end are refused over their limit, and given up with their call`, async (t) => {
    const stuck = await stuckTarget(t)
    const [honest, greedy] = [openCall(shared), openCall(shared)]
    const id = await honest.dial(target.address)
    await counts(server, 'culvert_server_refused_dials_total{limit="frontend"}', PENDING_DIALS, async () => {
      greedy.send(...Array.from({ length: 2 * PENDING_DIALS }, (_, random) => dialRequest(stuck.address, random)))
    })
    await figureBecomes(server, `${SERVER}pending_backend_dials`, PENDING_DIALS)
    await eventually(
      'half of them are answered',
      () => greedy.received.length,
      (answers) => answers === PENDING_DIALS,
    )
    t.ok(greedy.received.every((packet) => packet.type === 'DIAL_RSP' && packet.error === 'too many dials are pending'))
    await echoOver(honest, id, 'what is open goes on')
    greedy.stream.close(8)
    await eventually(
      'the agent has given them up',
      () => dialsUnderWay(stuck.port).length,
      (dials) => dials === 0,
    )
    await echoOver(honest, id, 'and on')
    honest.stream.end()
    await allIsWell()
  })

  t.test(`${transport}: a client that lets its answers lie is cut, and who shares its connection is not`, async (t) => {
    const call = openCall(shared)
    call.stream.pause()
    const dials = Array.from({ length: 500 }, (_, random) => dialRequest('127.0.0.1:1', random))
    let written = true
    call.stream.once('close', () => {
      written = false
    })
    while (written) {
      call.send(...dials)
      await Promise.race([new Promise((resolve) => call.stream.write('', resolve)), call.closed])
      await figureBecomes(server, `${SERVER}pending_backend_dials`, 0)
    }
    await call.closed
    await allIsWell()
    t.pass('nobody else has noticed')
  })

  t.test(`${transport}: ${BAD_CLIENTS} bad clients at once`, async (t) => {
    const acts = [
      ...packets.map(({ act }) => act),
      ...endings.map(
        ({ bytes }) =>
          (call: WireCall) =>
            badBytes(call, bytes),
      ),
    ]
    let busy = true
    const wellMeanwhile = (async () => {
      let rounds = 0
      for (; busy; rounds++) for (const witness of witnesses) await witness.isWell()
      return rounds
    })()
    const before = await readFigures(server)
    await Promise.all(
      Array.from({ length: BAD_CLIENTS }, async (_, index) => {
        const http = await joinFrontend(t, server)
        const call = openCall(http)
        await acts[index % acts.length]!(call, t)
        await leave(http, call, index)
      }),
    )
    busy = false
    t.ok((await within(wellMeanwhile, 'the witnesses are done')) > 0)
    await allIsWell()
    const after = await readFigures(server)
    const rose = [...after.series].filter(
      ([series, value]) => series.startsWith('culvert_server_client_violations') && value > before.of(series),
    )
    t.equal(rose.length, 4, 'violations of every kind but two dials at once under one number')
  })
}

async function badBytes(call: WireCall, bytes: Buffer): Promise<void> {
  await call.dial(deaf.address)
  call.sendRaw(bytes)
  await call.ended()
}

async function leave(http: ClientHttp2Session, call: WireCall, index: number): Promise<void> {
  if (index % 3 === 0) call.stream.end()
  if (index % 3 === 1) call.stream.close(8)
  if (index % 3 !== 2) await call.closed
  const closed = http.destroyed ? undefined : event(http, 'close')
  http.destroy()
  await closed
}
