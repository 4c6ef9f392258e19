import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { connect as connectTls, TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { tlsProtocol } from '../../src/platform/cipher-suites.ts'
import { createTlsListener } from '../../src/proxy-server/tls-listener.ts'
import { createVanishedCheck } from '../../src/proxy-server/vanished-client.ts'
import { makePki } from '../integration/certificates.ts'
import { event, eventually, within } from '../integration/deadline.ts'
import { type ManualClock, manualClock } from '../platform/manual-clock.ts'

const pki = await makePki(t)
const { server: leaf, authority } = pki
/** More than any kernel keeps for a socket that is not read. */
const FLOOD_BYTES = 32 * 1024 * 1024
const TRANSPORTS = ['tcp', 'uds', 'tls'] as const
type Transport = (typeof TRANSPORTS)[number]

type Stalled = {
  readonly clock: ManualClock
  readonly served: Socket
  readonly client: Socket
  readonly vanish: () => void
}

/** A client that writes without end to a server that has stopped to read. */
async function stalled(t: Test, transport: Transport): Promise<Stalled> {
  const clock = manualClock()
  const taken = Promise.withResolvers<Socket>()
  const serve = (socket: Socket, raw = socket): void => {
    const check = createVanishedCheck(socket, raw, clock)
    socket.on('pause', check.paused)
    socket.on('close', () => check[Symbol.dispose]())
    socket.on('error', () => undefined)
    socket.on('data', () => socket.pause())
    taken.resolve(socket)
  }
  const tls = createTlsListener({
    material: { cert: leaf.cert, key: leaf.key },
    protocol: tlsProtocol('', []),
    alpn: ['http/1.1'],
    handshakeTimeoutMs: 10_000,
    halfOpen: true,
    connected: serve,
    failed: () => undefined,
  })
  const server = transport === 'tls' ? tls.server : createServer({ allowHalfOpen: true }, serve)
  const folder = mkdtempSync(join(tmpdir(), 'culvert-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const path = join(folder, 'a.sock')
  if (transport === 'uds') server.listen({ path })
  else server.listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const raw = connect(
    transport === 'uds' ? { path } : { port: (server.address() as AddressInfo).port, host: '127.0.0.1' },
  )
  const client =
    transport === 'tls' ? connectTls({ socket: raw, ca: authority.certificatePem, servername: 'hub.example' }) : raw
  for (const socket of [raw, client]) socket.on('error', () => undefined)
  t.teardown(() => raw.destroy())
  await event(client, client instanceof TLSSocket ? 'secureConnect' : 'connect')
  client.write(Buffer.alloc(FLOOD_BYTES))
  const served = await within(taken.promise, 'the client is served')
  t.teardown(() => served.destroy())
  await eventually(
    'it is paused',
    () => served.isPaused(),
    (paused) => paused,
  )
  return { clock, served, client, vanish: () => (transport === 'uds' ? raw.destroy() : raw.resetAndDestroy()) }
}

const CODES = { tcp: 'ECONNRESET', tls: 'ECONNRESET', uds: 'EPIPE' } as const

for (const transport of TRANSPORTS) {
  t.test(`${transport}: a client that goes while nothing is read from it is noticed`, async (t) => {
    const { clock, served, vanish } = await stalled(t, transport)
    const failures: unknown[] = []
    served.on('error', ({ code }: NodeJS.ErrnoException) => failures.push(code))
    vanish()
    await eventually(
      'the end',
      () => {
        clock.advance(2_000)
        return served.closed
      },
      (closed) => closed,
    )
    t.strictSame(failures, [CODES[transport]])
    t.equal(clock.waiting(), 0)
  })

  t.test(`${transport}: a client that waits is left alone, and gets nothing that was not meant for it`, async (t) => {
    const { clock, served, client } = await stalled(t, transport)
    const got: Buffer[] = []
    client.on('data', (chunk: Buffer) => got.push(chunk))
    served.write('one')
    for (let look = 0; look < 10; look++) clock.advance(2_000)
    served.write(' two')
    await eventually(
      'its bytes',
      () => Buffer.concat(got).toString(),
      (text) => text === 'one two',
    )
    t.notOk(served.destroyed)
    t.equal(clock.waiting(), 1, 'one look is ahead')
    served.removeAllListeners('data')
    served.on('data', () => undefined).resume()
    clock.advance(2_000)
    t.equal(clock.waiting(), 0, 'none, once it is read')
  })

  t.test(`${transport}: a client whose answer has ended, and which still sends, is left alone`, async (t) => {
    const { clock, served, client } = await stalled(t, transport)
    let broke: unknown
    served.on('error', (error) => {
      broke = error
    })
    client.resume()
    served.end('that was all')
    await event(client, 'end')
    for (let look = 0; look < 3; look++) {
      clock.advance(2_000)
      await new Promise((resolve) => setImmediate(resolve))
    }
    t.strictSame([broke, served.destroyed], [undefined, false])
    let got = 0
    served.removeAllListeners('data')
    served.on('data', (chunk: Buffer) => {
      got += chunk.length
    })
    served.resume()
    client.end()
    await event(served, 'end')
    t.ok(got > FLOOD_BYTES / 2, 'all that it sends is read')
  })
}

for (const transport of TRANSPORTS) {
  t.test(
    `${transport}: a client that is slow to take what it is sent gets it as it was, however often it is looked after`,
    async (t) => {
      const { clock, served, client } = await stalled(t, transport)
      const sent = randomBytes(FLOOD_BYTES)
      const PIECE_BYTES = 100_000 // each a write of its own
      let at = 0
      const done = new Promise<unknown>((resolve) => {
        const next = (error?: Error | null): void => {
          if (error || at >= sent.length) return resolve(error)
          served.write(sent.subarray(at, at + PIECE_BYTES), next)
          at += PIECE_BYTES
        }
        next()
      })
      const chunks: Buffer[] = []
      client.on('data', (chunk: Buffer) => {
        chunks.push(chunk)
        clock.advance(2_000)
      })
      t.notOk(await within(done, 'all is written'))
      await eventually(
        'all has come',
        () => chunks.reduce((sum, { length }) => sum + length, 0),
        (bytes) => bytes === FLOOD_BYTES,
      )
      t.ok(Buffer.concat(chunks).equals(sent))
      t.notOk(served.destroyed)
    },
  )
}
