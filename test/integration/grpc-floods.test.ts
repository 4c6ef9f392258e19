/**
 * gRPC mode: clients that break HTTP/2 or TLS, flood them, or say nothing. They are hung up on or answered, and counted; the
 * calls of others go on meanwhile.
 */
import type { EventEmitter } from 'node:events'
import { connect as connectTcp } from 'node:net'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import { makePki } from './certificates.ts'
import { event, within } from './deadline.ts'
import { counts, figure, figureBecomes, SERVER } from './figures.ts'
import {
  CALL_FIELDS,
  callHeaders,
  data,
  END_HEADERS,
  END_STREAM,
  type Fields,
  fieldBlock,
  flood,
  frame,
  headers,
  ping,
  type RawHttp2,
  resetStream,
  settings,
  speakRawHttp2,
} from './raw-http2.ts'
import { failedHandshake, refusedHead } from './series.ts'
import { echo, listenTarget } from './target.ts'
import { sendAll } from './transfer.ts'
import { type Server, startTunnels } from './tunnel.ts'
import { connectGrpcFrontend, joinFrontend, openCall } from './wire-call.ts'
import { joinWitness, onlyLeft } from './witness.ts'

const MEBIBYTE = 1024 * 1024
const FLOOD = 20_000
const CANCEL = 8
/** HTTP/2's own limit of a frame. */
const FRAME_BYTES = 16 * 1024
/** What the programs wait for a preface, and for a client that is not accepted to go; and what a busy machine takes. */
const SLOW_MS = 60_000

/** Short, for peers that are slow, and longer than a busy machine keeps those who are not. */
const HANDSHAKE_TIMEOUT = '2s'

const pki = await makePki(t)
const target = await listenTarget(t, echo)
const source = await listenTarget(t, (socket) => void sendAll(socket, MEBIBYTE))
const tunnels = await Promise.all(
  (await startTunnels(t, { pki, flags: ['--mode=grpc', `--tls-handshake-timeout=${HANDSHAKE_TIMEOUT}`] })).map(
    async (tunnel) => {
      const { server } = tunnel
      const witness = await joinWitness(await joinFrontend(t, server), { echo: target, source, sourceBytes: MEBIBYTE })
      return { ...tunnel, witness, slow: await slowClients(server) }
    },
  ),
)

const cancelled = `${SERVER}stream_errors_total{segment="from_client",code="Canceled",packet_type="Unknown"}`

/** Also when an error comes first: whoever is hung up on in the middle of a word gets one. */
function happens(emitter: EventEmitter, name: string): Promise<unknown> {
  return new Promise((resolve) => emitter.once(name, resolve))
}

/** Clients that say nothing, or half a preface, and when the server has hung up on each. Asked for before other tests run. */
async function slowClients(server: Server): Promise<Promise<unknown>[]> {
  const texts = ['', 'PRI * HTTP/2.0\r\n', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n']
  const sockets = await Promise.all(texts.map(() => connectGrpcFrontend(t, server)))
  for (const [index, socket] of sockets.entries()) socket.resume().write(texts[index]!)
  return sockets.map((socket) => within(happens(socket, 'close'), 'the server hangs up', SLOW_MS))
}

async function speak(server: Server): Promise<RawHttp2> {
  const raw = speakRawHttp2(await connectGrpcFrontend(t, server))
  await raw.next(({ type }) => type === 'SETTINGS')
  return raw
}

const long = (bytes: number): Fields => [['x-long', 'x'.repeat(bytes)]]
const continuation = (stream: number, flags: number, block: Buffer): Buffer =>
  frame('CONTINUATION', flags, stream, block)

/** After these no other word of the client can be understood, or is wanted. */
const fatal: readonly { what: string; act: (raw: RawHttp2) => unknown }[] = [
  { what: 'PINGs, and reads no answer', act: (raw) => flood({ ...raw, socket: raw.socket.pause() }, ping(), FLOOD) },
  { what: 'PINGs', act: (raw) => flood(raw, ping(), 10 * FLOOD) },
  { what: 'SETTINGS', act: (raw) => flood({ ...raw, socket: raw.socket.pause() }, settings(), FLOOD) },
  {
    what: 'DATA without bytes',
    act(raw) {
      raw.write(callHeaders(1))
      return flood(raw, data(1, Buffer.alloc(0)), FLOOD)
    },
  },
  {
    what: 'CONTINUATION without end',
    act(raw) {
      raw.write(headers(1, CALL_FIELDS, 0))
      return flood(raw, continuation(1, 0, Buffer.alloc(0)), FLOOD)
    },
  },
  { what: 'a frame over the limit', act: (raw) => raw.write(data(1, Buffer.alloc(FRAME_BYTES + 1))) },
  { what: 'DATA on a stream that is not open', act: (raw) => raw.write(data(5, Buffer.from('x'))) },
  { what: 'RST_STREAM for a stream that never was', act: (raw) => raw.write(resetStream(9, CANCEL)) },
  { what: 'a stream of a number for servers', act: (raw) => raw.write(callHeaders(2)) },
  { what: 'PUSH_PROMISE', act: (raw) => raw.write(frame('PUSH_PROMISE', END_HEADERS, 1, Buffer.alloc(4))) },
  {
    what: 'a window that overflows',
    act: (raw) => raw.write(callHeaders(1), frame('WINDOW_UPDATE', 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff]))),
  },
  {
    what: 'a window of nothing',
    act: (raw) => raw.write(callHeaders(1), frame('WINDOW_UPDATE', 0, 1, Buffer.alloc(4))),
  },
  { what: 'HTTP/1.1 in the middle', act: (raw) => raw.write(Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')) },
]

/** A call that is refused by itself; the next one on the connection is served. */
const refused: readonly { what: string; frames: Buffer[]; answer: 'RST_STREAM' | 'HEADERS'; counted?: string }[] = [
  {
    what: 'a header list of 48 KiB',
    frames: [
      headers(1, CALL_FIELDS, 0),
      ...[1, 2, 3].map(() => continuation(1, 0, fieldBlock(long(16_000)))),
      continuation(1, END_HEADERS, fieldBlock([])),
    ],
    answer: 'RST_STREAM',
  },
  {
    what: 'a header list of 500 fields',
    frames: [headers(1, [...CALL_FIELDS, ...Array.from({ length: 500 }, (_, at) => [`x-${at}`, ''] as const)])],
    answer: 'RST_STREAM',
  },
  { what: 'a header name that is none', frames: [headers(1, [...CALL_FIELDS, ['X-Upper', '']])], answer: 'RST_STREAM' },
  {
    what: 'another path',
    frames: [
      headers(
        1,
        CALL_FIELDS.map(([name, value]) => [name, name === ':path' ? '/x' : value]),
      ),
    ],
    answer: 'HEADERS',
    counted: refusedHead('unknown_method'),
  },
  {
    what: 'GET',
    frames: [
      headers(
        1,
        CALL_FIELDS.map(([name, value]) => [name, name === ':method' ? 'GET' : value]),
      ),
    ],
    answer: 'HEADERS',
    counted: refusedHead('unknown_method'),
  },
  {
    what: 'another content type',
    frames: [
      headers(
        1,
        CALL_FIELDS.map(([name, value]) => [name, name === 'content-type' ? 'text/html' : value]),
      ),
    ],
    answer: 'HEADERS',
    counted: refusedHead('content_type'),
  },
  {
    what: 'no content type',
    frames: [
      headers(
        1,
        CALL_FIELDS.filter(([name]) => name !== 'content-type'),
      ),
    ],
    answer: 'HEADERS',
    counted: refusedHead('content_type'),
  },
]

for (const { server, agent, witness, slow } of tunnels) {
  const { transport } = server

  async function allIsWell(): Promise<void> {
    await witness.isWell()
    await onlyLeft({ server, agent }, 1)
  }

  for (const { what, act } of fatal) {
    t.test(`${transport}: who sends ${what} is hung up on, and counted`, async (t) => {
      await counts(server, refusedHead('malformed'), 1, async () => {
        const raw = await speak(server)
        const closed = happens(raw.socket, 'close')
        await act(raw)
        raw.socket.resume()
        await within(closed, 'the server hangs up')
      })
      await allIsWell()
      t.pass('nobody else has noticed')
    })
  }

  for (const { what, frames, answer, counted } of refused) {
    t.test(`${transport}: a call with ${what} is refused, and the next one on its connection is not`, async (t) => {
      const before = counted ? await figure(server, counted) : 0
      const raw = await speak(server)
      raw.write(...frames)
      await raw.next(({ type, stream }) => type === answer && stream === 1)
      raw.write(callHeaders(3, END_STREAM))
      await raw.next(({ type, stream, flags }) => type === 'HEADERS' && stream === 3 && (flags & END_STREAM) !== 0)
      if (counted) await figureBecomes(server, counted, before + 1)
      t.notOk(raw.socket.destroyed)
      raw.socket.destroy()
      await allIsWell()
    })
  }

  t.test(`${transport}: ${FLOOD} calls that are reset as soon as they are made leave nothing`, async (t) => {
    const raw = await speak(server)
    await counts(server, cancelled, FLOOD, async () => {
      for (let call = 0; call < FLOOD; call += 100) {
        const frames = Array.from({ length: 100 }, (_, index) => 2 * (call + index) + 1).flatMap((stream) => [
          callHeaders(stream),
          resetStream(stream, CANCEL),
        ])
        if (!raw.write(...frames)) await event(raw.socket, 'drain')
        if (call % 5_000 === 0) await witness.isWell()
      }
    })
    await allIsWell()
    const stream = 2 * FLOOD + 1
    raw.write(callHeaders(stream, END_STREAM))
    await raw.next((one) => one.stream === stream && (one.flags & END_STREAM) !== 0)
    t.pass('the connection goes on, as that of a kube-apiserver which cancels much has to')
  })

  t.test(`${transport}: who speaks another protocol is hung up on, and counted`, async (t) => {
    const texts = ['CONNECT 10.0.0.1:443 HTTP/1.1\r\n\r\n', '\x16\x03\x01\x00\xa5\x01', '\0'.repeat(100)]
    await counts(server, refusedHead('malformed'), texts.length, async () => {
      for (const text of texts) {
        const socket = await connectGrpcFrontend(t, server)
        const closed = happens(socket.resume(), 'close')
        socket.write(text)
        await within(closed, 'the server hangs up')
      }
    })
    await allIsWell()
    t.pass('nobody else has noticed')
  })

  t.test(`${transport}: who says nothing, or half of a preface, is hung up on, and counted`, async (t) => {
    await Promise.all(slow)
    await figureBecomes(server, refusedHead('slow'), slow.length)
    await allIsWell()
    t.pass('nobody else has noticed')
  })
}

const { server, witness } = tunnels.find(({ server }) => server.transport === 'tls')!

t.test('a TLS handshake that is never finished, or is none, is given up, and counted', async (t) => {
  for (const [why, text] of [
    ['slow', ''],
    ['slow', '\x16\x03\x01\x02\x00'],
    ['failed', 'GET / HTTP/1.1\r\n\r\n'],
  ] as const) {
    await counts(server, failedHandshake('frontend', why), 100, async () => {
      const closed = Array.from({ length: 100 }, () => {
        const socket = connectTcp(server.frontendPort, '127.0.0.1')
        t.teardown(() => socket.destroy())
        socket.on('error', () => undefined).resume()
        socket.write(text)
        return happens(socket, 'close')
      })
      await within(Promise.all(closed), 'the server hangs up on all')
    })
    await witness.isWell()
  }
  await onlyLeft({ server }, 1)
  t.pass('nobody else has noticed')
})

t.test('a client that offers no HTTP/2 does not get in', async (t) => {
  await counts(server, failedHandshake('frontend', 'failed'), 1, async () => {
    const { authority, apiserver } = pki
    const socket = connectTls({
      host: '127.0.0.1',
      port: server.frontendPort,
      ca: authority.certificatePem,
      cert: apiserver.cert,
      key: apiserver.key,
      ALPNProtocols: ['http/1.1'],
    })
    t.teardown(() => socket.destroy())
    socket.on('error', () => undefined)
    await within(happens(socket, 'close'), 'the server hangs up')
  })
  await witness.isWell()
  t.pass('nobody else has noticed')
})

t.test('clients without an accepted certificate are told why, and then hung up on', async (t) => {
  const agents = await Promise.all(Array.from({ length: 20 }, () => joinFrontend(t, server, pki.agent)))
  const closed = agents.map((http) => happens(http, 'close'))
  for (const http of agents) {
    t.match(await openCall(http).ended(), { code: 16, message: /^client certificate not accepted: it is an agent/ })
  }
  await within(Promise.all(closed), 'the server hangs up on all', SLOW_MS)
  await figureBecomes(server, 'culvert_server_forbidden_clients_total{port="frontend"}', agents.length)
  await witness.isWell()
})
