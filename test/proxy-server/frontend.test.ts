import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, createServer, Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import type { AgentStream } from '../../src/proxy-server/agent-stream-owner.ts'
import type { Admission } from '../../src/proxy-server/core/admission.ts'
import { answer, established } from '../../src/proxy-server/core/answers.ts'
import type { DialFailure } from '../../src/proxy-server/core/dial-response.ts'
import { SHORTEST_REFUSAL_MS } from '../../src/proxy-server/core/refusal-pace.ts'
import type { Waiter } from '../../src/proxy-server/dialing.ts'
import { dismissIdle, serveFrontend } from '../../src/proxy-server/frontend.ts'
import type { Frontend, FrontendOptions } from '../../src/proxy-server/frontend-client.ts'
import { eventually, within } from '../integration/deadline.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'
import { oneSession } from '../tunnel/one-session.ts'
import { recordedMetrics } from './recorded-metrics.ts'
import { roomyUnread } from './roomy-unread.ts'

const HEAD = 'CONNECT 10.0.0.1:443 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'
const OK = established.toString()
const admitted: Admission = { kind: 'admitted', cluster: 'default', principal: 'user/alice' }

type Dial = {
  readonly cluster: string
  readonly principal: string
  readonly address: string
  cancelled: number
  /** Connects it to a target that is played by a session; `first` comes from the target in the same turn. */
  readonly connect: (first?: string) => void
  readonly fail: (failure: DialFailure) => void
}

type Setup = {
  readonly transport?: 'tcp' | 'uds'
  readonly admission?: Admission
  readonly options?: Partial<FrontendOptions>
}

/** One client of a frontend whose dials and clock are in the hands of the test. */
async function setup(t: Test, { transport = 'tcp', admission = admitted, options }: Setup = {}) {
  const clock = manualClock()
  const log = recordedLog()
  const metrics = recordedMetrics()
  const dials: Dial[] = []
  const target = oneSession({ role: 'server' })
  const sentBytes: Buffer[] = []
  const frames: string[] = []
  let done = 0
  let wasOpen = false // when it was done

  function dial(cluster: string, principal: string, address: string, waiter: Waiter): () => void {
    const random = dials.length + 1
    const entry: Dial = {
      cluster,
      principal,
      address,
      cancelled: 0,
      connect(first) {
        target.session.dial(
          { random, protocol: 'tcp', address },
          {
            connected: (connection) => waiter.connected(connection, {} as AgentStream, random),
            failed: () => undefined,
          },
        )
        target.session.receive(target.carrier, { type: 'DIAL_RSP', error: '', connectId: random, random })
        if (first !== undefined) fromTarget(first)
      },
      fail: (failure) => waiter.failed(failure),
    }
    dials.push(entry)
    return () => void entry.cancelled++
  }

  /** What has gone to the target so far. */
  function look(): void {
    for (const frame of target.carrier.frames()) {
      if (frame.type === 'DATA') sentBytes.push(Buffer.from(frame.data))
      else frames.push(frame.type)
    }
  }

  const fromTarget = (text: string): void =>
    target.session.receive(target.carrier, { type: 'DATA', connectId: 1, error: '', data: Buffer.from(text) })

  const server = createServer({ allowHalfOpen: true })
  const folder = transport === 'uds' ? mkdtempSync(join(tmpdir(), 'culvert-')) : undefined
  t.teardown(() => folder && rmSync(folder, { recursive: true, force: true }))
  t.teardown(() => server.close())
  server.listen(folder ? { path: join(folder, 'a') } : { port: 0, host: '127.0.0.1' })
  await once(server, 'listening')
  const client = new Socket({ allowHalfOpen: true })
  t.teardown(() => client.destroy())
  client.on('error', () => undefined)
  const accepted = once(server, 'connection') as Promise<[Socket]>
  client.connect(
    folder ? { path: join(folder, 'a') } : { port: (server.address() as AddressInfo).port, host: '127.0.0.1' },
  )
  await within(once(client, 'connect'), 'a connection')
  const [socket] = await within(accepted, 'a connection')
  t.teardown(() => socket.destroy())
  const deps = {
    options: { headBytes: 16_384, headTimeoutMs: 10_000, earlyDataBytes: 65_536, ...options },
    dialing: { dial },
    clock,
    log,
    metrics,
    unread: roomyUnread(),
  }
  const frontend: Frontend = serveFrontend(socket, socket, admission, deps, () => {
    done++
    wasOpen ||= !socket.destroyed
  })
  const chunks: Buffer[] = []
  client.on('data', (chunk: Buffer) => chunks.push(chunk))

  return {
    client,
    socket,
    frontend,
    clock,
    log,
    metrics,
    dials,
    target,
    fromTarget,
    got: () => Buffer.concat(chunks).toString(),
    done: () => done,
    /** The dial of this client, once it has asked for it. */
    dialled: () => eventually('a dial', () => dials[0], Boolean) as Promise<Dial>,
    gets: (text: string) =>
      eventually(
        `the client gets ${text.length} bytes`,
        () => Buffer.concat(chunks).toString(),
        (all) => all.length >= text.length,
      ),
    targetGets: (bytes: number) =>
      eventually(
        `${bytes} bytes at the target`,
        () => {
          look()
          return Buffer.concat(sentBytes)
        },
        (all) => all.length >= bytes,
      ),
    frames: () => {
      look()
      return frames
    },
    /** The client is gone in every respect. */
    async over() {
      await eventually(
        'the end',
        () => done,
        (count) => count > 0,
      )
      t.notOk(wasOpen, 'its socket was closed by then')
    },
    /** For what must not happen: what was under way on the sockets has arrived afterwards. */
    quiet: async () => {
      for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
    },
  }
}

const sends = async (client: Socket, bytes: string | Buffer): Promise<void> => {
  await new Promise((resolve) => client.write(bytes, resolve))
}

t.test('dials what the head says, for whom the certificate says', async (t) => {
  const { client, dialled, dials } = await setup(t)
  client.write(HEAD)
  const { cluster, principal, address } = await dialled()
  t.strictSame(
    { cluster, principal, address },
    { cluster: 'default', principal: 'user/alice', address: '10.0.0.1:443' },
  )
  t.equal(dials.length, 1)
})

t.test('takes a head in as many pieces as it has bytes', async (t) => {
  const { client, dialled, dials, got, quiet } = await setup(t)
  client.setNoDelay(true)
  for (const byte of HEAD.slice(0, -1)) {
    await sends(client, byte)
    await new Promise((resolve) => setImmediate(resolve))
  }
  t.strictSame([dials.length, got()], [0, ''])
  await sends(client, '\n')
  t.equal((await dialled()).address, '10.0.0.1:443')
  await quiet()
  t.equal(dials.length, 1)
})

t.test('answers with the 200 when the dial has succeeded, not before', async (t) => {
  const { client, dialled, got, gets, quiet } = await setup(t)
  client.write(HEAD)
  const dial = await dialled()
  await quiet()
  t.equal(got(), '')
  dial.connect()
  t.equal(await gets(OK), OK)
})

t.test('keeps what the client sends early, and gives it to the target first and in order', async (t) => {
  const { client, dialled, gets, targetGets } = await setup(t)
  client.write(`${HEAD}one `)
  const dial = await dialled()
  await sends(client, 'two ')
  await eventually(
    'early bytes',
    () => client.bytesWritten,
    (bytes) => bytes === HEAD.length + 8,
  )
  dial.connect()
  await gets(OK)
  client.write('three')
  t.equal((await targetGets(13)).toString(), 'one two three')
})

t.test('holds no more early data than it may, and loses none of it', async (t) => {
  const { client, socket, dialled, gets, target, targetGets } = await setup(t, { options: { earlyDataBytes: 1_000 } })
  client.write(HEAD)
  const dial = await dialled()
  t.notOk(socket.isPaused())
  const early = Buffer.alloc(1_000_000, 'abcdefghij')
  client.write(early)
  await eventually('the pause', () => socket.isPaused(), Boolean)
  t.ok(socket.bytesRead < 300_000, `${socket.bytesRead} bytes were read of a million`)
  target.carrier.roomBytes = 2_000_000
  dial.connect()
  await gets(OK)
  let credited = 0
  const all = await eventually(
    'all of it',
    async () => {
      const bytes = await targetGets(0)
      if (bytes.length > credited) {
        target.session.receive(target.carrier, { type: 'WINDOW_UPDATE', connectId: 1, credit: bytes.length - credited })
        target.session.writable(target.carrier)
        credited = bytes.length
      }
      return bytes
    },
    (bytes) => bytes.length >= early.length,
  )
  t.ok(all.equals(early))
})

t.test('early data that comes with the head counts, too', async (t) => {
  for (const [bytes, paused] of [
    [999, false],
    [1_000, true],
  ] as const) {
    const { client, socket, dialled, gets, targetGets } = await setup(t, { options: { earlyDataBytes: 1_000 } })
    client.write(HEAD + 'x'.repeat(bytes))
    const dial = await dialled()
    t.equal(socket.isPaused(), paused, `${bytes} bytes`)
    dial.connect()
    await gets(OK)
    client.write('more')
    t.equal((await targetGets(bytes + 4)).toString(), `${'x'.repeat(bytes)}more`)
  }
})

t.test('sends the 200 before what the target says first', async (t) => {
  const { client, dialled, gets } = await setup(t)
  client.write(HEAD)
  const dial = await dialled()
  dial.connect('SSH-2.0-target\r\n')
  t.equal(await gets(`${OK}SSH-2.0-target\r\n`), `${OK}SSH-2.0-target\r\n`)
})

t.test('on a Unix socket the target waits for the first byte of the client', async (t) => {
  const { client, dialled, gets, got, quiet } = await setup(t, { transport: 'uds' })
  client.write(HEAD)
  const dial = await dialled()
  dial.connect('hello')
  await gets(OK)
  await quiet()
  t.equal(got(), OK)
  client.write('x')
  t.equal(await gets(`${OK}hello`), `${OK}hello`)
})

t.test('on a Unix socket the target waits ten milliseconds for a client that says nothing', async (t) => {
  const { client, clock, dialled, gets, got, quiet } = await setup(t, { transport: 'uds' })
  client.write(HEAD)
  const dial = await dialled()
  dial.connect('hello')
  await gets(OK)
  await eventually('the wait', clock.waiting, (waiting) => waiting === 1)
  clock.advance(9)
  await quiet()
  t.equal(got(), OK)
  clock.advance(1)
  t.equal(await gets(`${OK}hello`), `${OK}hello`)
})

t.test('carries bytes and both ends, and is over when all of it is', async (t) => {
  const { client, clock, metrics, dialled, fromTarget, gets, target, targetGets, frames, over, done } = await setup(t)
  client.write(HEAD)
  const dial = await dialled()
  dial.connect()
  await gets(OK)
  clock.advance(5_000)
  client.end('question')
  t.equal((await targetGets(8)).toString(), 'question')
  await eventually('the end at the target', frames, (types) => types.includes('END_OF_DATA'))
  fromTarget('answer')
  t.equal(await gets(`${OK}answer`), `${OK}answer`)
  t.equal(done(), 0)
  target.session.receive(target.carrier, { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' })
  await over()
  t.equal(done(), 1)
  t.equal(clock.waiting(), 0)
  t.strictSame(metrics.counted, [
    ['connectServed', 1],
    ['frontendWrote', 0],
    ['connectionEnded', 5_000, 'finished'],
    ['connectServed', -1],
  ])
  t.notOk(frames().some((type) => type.startsWith('CLOSE')))
})

t.test('a client that ends before its head is complete is let go, without a dial', async (t) => {
  const { client, dials, over, done, clock, got } = await setup(t)
  client.end(HEAD.slice(0, 20))
  await over()
  t.strictSame([dials.length, done(), clock.waiting(), got()], [0, 1, 0, ''])
})

t.test('a client that ends during the dial and has sent nothing went away: the dial is cancelled', async (t) => {
  const { client, dialled, over, done, clock } = await setup(t)
  client.end(HEAD)
  const dial = await dialled()
  await over()
  t.strictSame([dial.cancelled, done(), clock.waiting()], [1, 1, 0])
})

t.test('a client that ends during the dial after a request waits for the answer', async (t) => {
  const { client, dialled, fromTarget, gets, targetGets, frames, quiet } = await setup(t)
  client.end(`${HEAD}request`)
  const dial = await dialled()
  await quiet()
  t.equal(dial.cancelled, 0)
  dial.connect()
  t.equal((await targetGets(7)).toString(), 'request')
  await eventually('the end at the target', frames, (types) => types.includes('END_OF_DATA'))
  fromTarget('answer')
  t.equal(await gets(`${OK}answer`), `${OK}answer`)
})

t.test('a client that ended during the dial is told when that fails', async (t) => {
  const { client, dialled, gets, over } = await setup(t)
  client.end(`${HEAD}request`)
  const dial = await dialled()
  dial.fail({ kind: 'dial-timeout' })
  const expected = answer({ kind: 'dial-timeout' }).toString()
  t.equal(await gets(expected), expected)
  await over()
})

for (const state of ['head', 'dialing', 'open', 'refused'] as const) {
  t.test(`a client that resets while ${state} is gone at once, and once`, async (t) => {
    const world = await setup(t)
    const { client, clock, dials, dialled, gets, metrics, over, done, frames, quiet } = world
    client.write(state === 'head' ? 'CONN' : state === 'refused' ? 'GET / HTTP/1.1\r\n\r\n' : HEAD)
    if (state === 'head')
      await eventually(
        'the head',
        () => world.socket.bytesRead,
        (bytes) => bytes > 0,
      )
    if (state === 'dialing' || state === 'open') await dialled()
    if (state === 'open') {
      dials[0]?.connect()
      await gets(OK)
    }
    if (state === 'refused') await gets('HTTP/1.1 405')
    client.resetAndDestroy()
    await over()
    await quiet()
    t.equal(done(), 1)
    t.equal(clock.waiting(), 0)
    t.equal(dials[0]?.cancelled ?? 0, state === 'dialing' ? 1 : 0)
    const served = metrics.counted.filter(([verb]) => verb === 'connectServed').map(([, change]) => change)
    t.strictSame(served, state === 'dialing' || state === 'open' ? [1, -1] : [], 'only who asked for a connection')
    if (state === 'open') {
      t.match(metrics.counted.slice(1, -1), [['connectionEnded', 0, 'reset']])
      t.equal(frames().at(-1), 'END_OF_DATA')
    }
  })
}

t.test('a target that is reset resets the client', async (t) => {
  const { client, dialled, gets, metrics, over, target } = await setup(t)
  client.write(HEAD)
  const dial = await dialled()
  dial.connect()
  await gets(OK)
  const broken = once(client, 'error')
  target.session.receive(target.carrier, { type: 'CLOSE_RSP', connectId: 1, error: 'ECONNRESET' })
  t.match(await within(broken, 'a reset'), [{ code: 'ECONNRESET' }])
  await over()
  t.strictSame(metrics.counted.slice(1, -1), [['connectionEnded', 0, 'reset']])
})

t.test('counts a client that cannot be told that its target is there', async (t) => {
  const { client, dialled, socket, metrics } = await setup(t)
  client.write(HEAD)
  const dial = await dialled()
  socket.write = ((_bytes: Uint8Array, written: (error: Error) => void) => {
    written(new Error('EPIPE'))
    return false
  }) as Socket['write']
  dial.connect()
  await eventually(
    'the 200',
    () => metrics.counted.length,
    (count) => count > 1,
  )
  t.strictSame(metrics.counted, [
    ['connectServed', 1],
    ['dialFailed', 'send_rsp'],
  ])
})

t.test('the loss of the agent resets the client, also before the 200 has left', async (t) => {
  const { client, dialled, over, got, target, done } = await setup(t)
  client.write(HEAD)
  const dial = await dialled()
  dial.connect('hello')
  target.session.lost(target.carrier, 'the agent stream ended')
  await over()
  t.equal(done(), 1)
  t.notMatch(got(), 'hello')
})

t.test('counts and answers what is no CONNECT', async (t) => {
  const heads = [
    ['GET / HTTP/1.1\r\n\r\n', '405', 'method'],
    ['CONNECT 10.0.0.1 HTTP/1.1\r\n\r\n', '502', 'port'],
    [`CONNECT ${'a'.repeat(220)} HTTP/1.1\r\n\r\n`, '502', 'port'],
    ['\u0016\u0003\u0001', '400', 'control-byte'],
    ['CONNECT a:1 HTTP/1.1\r\nx: '.padEnd(300, 'y'), '431', 'too-large'],
  ] as const
  for (const [head, status, why] of heads) {
    const { client, dials, gets, metrics, clock, log } = await setup(t, { options: { headBytes: 256 } })
    client.write(head)
    t.match(await gets(`HTTP/1.1 ${status}`), new RegExp(`^HTTP/1.1 ${status} `))
    t.strictSame(metrics.counted, [['headRefused', why]])
    t.equal(dials.length, 0)
    t.equal(clock.waiting(), 1, 'the patience for its last words')
    const fields = { why, status: Number(status), detail: /^[ -~]{10,200}$/ }
    t.match(log.lines, [{ message: 'CONNECT refused', fields }])
  }
})

t.test('answers a head that is too slow at its deadline', async (t) => {
  const { client, clock, gets, got, metrics, quiet, socket } = await setup(t)
  client.write(HEAD.slice(0, -2))
  await eventually(
    'the head',
    () => socket.bytesRead,
    (bytes) => bytes > 0,
  )
  clock.advance(9_999)
  await quiet()
  t.equal(got(), '')
  clock.advance(1)
  t.match(await gets('HTTP/1.1 408'), /^HTTP\/1.1 408 /)
  t.strictSame(metrics.counted, [['headRefused', 'slow']])
})

t.test('the deadline of the head is not that of the dial', async (t) => {
  const { client, clock, dialled, got, gets, metrics } = await setup(t)
  client.write(HEAD)
  const dial = await dialled()
  clock.advance(60_000)
  dial.connect()
  t.equal(await gets(OK), OK)
  t.strictSame([got(), metrics.counted], [OK, [['connectServed', 1]]])
})

t.test('refuses a certificate before it reads a byte, with the cause', async (t) => {
  const { client, dials, gets, clock, over } = await setup(t, {
    admission: { kind: 'refused', cause: 'it has expired' },
  })
  t.match(await gets('HTTP/1.1 403'), /^HTTP\/1.1 403 .*it has expired/)
  client.end(HEAD)
  await over()
  t.strictSame([dials.length, clock.waiting()], [0, 0])
})

t.test('a refusal that comes at once, within the dial itself, is answered too', async (t) => {
  const world = await setup(t)
  const failing = createServer({ allowHalfOpen: true }).listen(0, '127.0.0.1')
  t.teardown(() => failing.close())
  await once(failing, 'listening')
  let done = 0
  failing.on('connection', (socket) => {
    const dial = (_cluster: string, _principal: string, _address: string, waiter: Waiter): (() => void) => {
      waiter.failed({ kind: 'no-agent' })
      return () => t.fail('there is nothing to cancel')
    }
    const options = { headBytes: 16_384, headTimeoutMs: 10_000, earlyDataBytes: 65_536 }
    const { clock, log, metrics } = world
    const deps = { options, dialing: { dial }, clock, log, metrics, unread: roomyUnread() }
    serveFrontend(socket, socket, admitted, deps, () => void done++)
  })
  const client = new Socket().connect((failing.address() as AddressInfo).port, '127.0.0.1')
  t.teardown(() => client.destroy())
  const chunks: Buffer[] = []
  client.on('data', (chunk: Buffer) => chunks.push(chunk))
  client.write(HEAD)
  await within(once(client, 'close'), 'the end of the answer')
  t.equal(Buffer.concat(chunks).toString(), answer({ kind: 'no-agent' }).toString())
  await eventually(
    'the end',
    () => done,
    (count) => count === 1,
  )
})

t.test(
  'a client that is refused gets all of the answer, however late it reads and whatever it goes on sending',
  async (t) => {
    const { client, clock, dialled, got, over, done } = await setup(t)
    const failure: DialFailure = { kind: 'dial-error', text: 'x'.repeat(10_000) }
    client.pause()
    client.write(HEAD)
    const dial = await dialled()
    dial.fail(failure)
    const megabyte = Buffer.alloc(1_000_000)
    await sends(client, megabyte)
    await sends(client, megabyte)
    const ended = once(client, 'end')
    client.resume()
    await within(ended, 'the end of the answer')
    t.equal(got(), answer(failure).toString())
    t.equal(done(), 0, 'it may still send')
    client.end()
    await over()
    t.equal(clock.waiting(), 0)
  },
)

t.test('a client that is refused after too much early data gets the answer, too', async (t) => {
  const { client, socket, clock, dialled, gets, got, over } = await setup(t, { options: { earlyDataBytes: 1_000 } })
  client.write(Buffer.concat([Buffer.from(HEAD), Buffer.alloc(1_000_000)]))
  const dial = await dialled()
  await eventually('the pause', () => socket.isPaused(), Boolean)
  dial.fail({ kind: 'dial-timeout' })
  const expected = answer({ kind: 'dial-timeout' }).toString()
  await gets(expected)
  client.end()
  await over()
  t.equal(got(), expected)
  t.equal(clock.waiting(), 0)
})

t.test('a client that is refused and never leaves is hung up on', async (t) => {
  const { client, clock, gets, over, done } = await setup(t)
  client.write('GET / HTTP/1.1\r\n\r\n')
  await gets('HTTP/1.1 405')
  clock.advance(4_999)
  t.equal(done(), 0)
  clock.advance(1)
  await over()
  t.strictSame([done(), clock.waiting()], [1, 0])
})

t.test('when the server shuts down, only those who have asked for nothing are sent away', async (t) => {
  const idle = await setup(t)
  idle.client.write('CONN')
  dismissIdle(idle.frontend)
  await idle.over()
  t.strictSame([idle.done(), idle.clock.waiting(), idle.got()], [1, 0, ''])
  const busy = await setup(t)
  busy.client.write(HEAD)
  const dial = await busy.dialled()
  dismissIdle(busy.frontend)
  dial.connect()
  t.equal(await busy.gets(OK), OK)
  dismissIdle(busy.frontend)
  busy.client.write('still here')
  t.equal((await busy.targetGets(10)).toString(), 'still here')
})

t.test('a dial that succeeds while the client is going leaves no connection behind', async (t) => {
  const { client, dialled, dials, over, done, target, socket } = await setup(t)
  client.end(HEAD)
  await dialled()
  await eventually('the hang-up', () => socket.destroyed || dials[0]!.cancelled > 0, Boolean)
  if (dials[0]?.cancelled === 0) dials[0].connect()
  await over()
  t.equal(done(), 1)
  t.equal(target.session.connectionCount(), 0)
})

t.test('a client of no cluster is told so after a second, and costs no more handshakes than that', async (t) => {
  const admission = { kind: 'refused', cause: 'it is of another cluster', unmapped: true } as const
  const { clock, client, socket, gets } = await setup(t, { admission })
  client.write(HEAD)
  clock.advance(SHORTEST_REFUSAL_MS - 1)
  t.notOk(socket.writableEnded, 'not yet')
  clock.advance(1)
  await gets('HTTP/1.1 403 Forbidden: client certificate not accepted: it is of another cluster')
})
