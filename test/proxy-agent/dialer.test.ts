import { getEventListeners, once } from 'node:events'
import { createServer, type Server, Socket, type TcpNetConnectOpts } from 'node:net'
import { networkInterfaces } from 'node:os'
import t, { type Test } from 'tap'
import type { Clock } from '../../src/platform/clock.ts'
import { readRules } from '../../src/policy/core/read-rules.ts'
import type { Rules } from '../../src/policy/core/rules.ts'
import { type GateRules, refusalOf } from '../../src/proxy-agent/core/gate.ts'
import {
  type Dialed,
  type DialRequest,
  dial as dialOver,
  type Network,
  systemNetwork,
} from '../../src/proxy-agent/dialer.ts'
import { createLookups } from '../../src/proxy-agent/lookups.ts'
import { closedPort } from '../integration/target.ts'

const withoutPolicy: GateRules = { hubRanges: [], own: undefined, pushed: undefined }
const machine = systemNetwork(createLookups())
const dial = (request: DialRequest, network: Network = machine, gate = withoutPolicy): Promise<Dialed> =>
  dialOver(request, network, (target) => refusalOf(gate, target))

const dialable = (address: string, more: Partial<DialRequest> = {}): DialRequest => ({
  protocol: 'tcp',
  address,
  timeoutMs: 5_000,
  signal: new AbortController().signal,
  ...more,
})

/** A listener on any port, gone with its connections when the test ends. */
async function listening(t: Test, onConnection: (socket: Socket) => void, host = '127.0.0.1'): Promise<number> {
  const sockets = new Set<Socket>()
  const server: Server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    onConnection(socket)
  }).listen(0, host)
  await once(server, 'listening')
  t.teardown(async () => {
    for (const socket of sockets) socket.destroy()
    server.close()
    await once(server, 'close')
  })
  return (server.address() as { port: number }).port
}

type TestNetwork = Network & {
  readonly advance: (ms: number) => void
  /** Addresses dialled, in order, and the sockets that answer nothing. */
  readonly dialled: string[]
  readonly silent: Socket[]
  readonly timers: () => number
}

/** A clock that moves when told, names that resolve as said, and addresses that stay silent; all else is real. */
function network(names: Record<string, readonly string[]> = {}, silentHosts: readonly string[] = []): TestNetwork {
  let nowMs = 0
  const timers = new Set<{ readonly atMs: number; readonly run: () => void }>()
  const clock: Clock = {
    now: () => nowMs,
    unixMs: () => nowMs,
    after: (ms, run) => {
      const timer = { atMs: nowMs + ms, run }
      timers.add(timer)
      return { [Symbol.dispose]: () => timers.delete(timer) }
    },
  }
  const dialled: string[] = []
  const silent: Socket[] = []
  return {
    clock,
    dialled,
    silent,
    timers: () => timers.size,
    advance: (ms) => {
      nowMs += ms
      for (const timer of timers) if (timer.atMs <= nowMs && timers.delete(timer)) timer.run()
    },
    lookup: async (name) => {
      const addresses = names[name]
      if (addresses === undefined) return new Promise(() => {})
      return addresses.map((address) => ({ address, family: address.includes(':') ? 6 : 4 }))
    },
    connect: (options: TcpNetConnectOpts) => {
      dialled.push(options.host as string)
      if (!silentHosts.includes(options.host as string)) return machine.connect(options)
      const socket = new Socket()
      silent.push(socket)
      return socket
    },
  }
}

const policy = (...rules: object[]): Rules => {
  const read = readRules({ rules })
  if (!read.ok) throw new Error(JSON.stringify(read.problems))
  return read.rules
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

const settled = async (promise: Promise<unknown>): Promise<boolean> => {
  const pending = Symbol('pending')
  return (await Promise.race([promise.catch(() => {}), turn().then(() => pending)])) !== pending
}

t.test('connects, and leaves the socket to the caller: paused, half-open, without listeners', async (t) => {
  const port = await listening(t, (socket) => socket.pipe(socket))
  const stop = new AbortController()
  const { socket, address } = await dial(dialable(`127.0.0.1:${port}`, { signal: stop.signal }))
  t.teardown(() => socket.destroy())
  t.equal(address, `127.0.0.1:${port}`)
  t.ok(socket.isPaused())
  t.ok(socket.allowHalfOpen)
  t.equal(socket.listenerCount('error'), 0)
  t.equal(getEventListeners(stop.signal, 'abort').length, 0)
  stop.abort()
  socket.end('hello')
  t.notOk(socket.destroyed, 'an abort after the dial has won means nothing')
  let echo = ''
  socket.setEncoding('latin1')
  for await (const chunk of socket) echo += chunk
  t.equal(echo, 'hello')
})

t.test('keeps what a target says first until the caller resumes, its end included', async (t) => {
  const banner = Buffer.alloc(40_000, 'SSH-2.0 ')
  const said = Promise.withResolvers<void>()
  const port = await listening(t, (socket) => socket.end(banner, said.resolve))
  const shared = Buffer.alloc(1_000)
  const heard: Buffer[] = []
  const onread = {
    buffer: shared,
    callback(this: Socket, bytes: number, buffer: Uint8Array): boolean {
      heard.push(Buffer.from(buffer.subarray(0, bytes)))
      setImmediate(() => this.resume())
      return false // pauses after every read
    },
  }
  const { socket } = await dial(dialable(`127.0.0.1:${port}`, { onread }))
  t.teardown(() => socket.destroy())
  await said.promise
  for (let count = 0; count < 20; count++) await turn()
  t.equal(heard.length, 0, 'nothing is read before the caller resumes')
  socket.resume()
  await once(socket, 'end')
  t.ok(Buffer.concat(heard).equals(banner), 'all of it, in order')
  t.ok(heard.length >= 40, `through a buffer of 1000 bytes, in ${heard.length} reads`)
  t.ok(socket.writable, 'and the other direction is still open')
})

t.test('reads many sockets through one shared buffer without mixing them up', async (t) => {
  const port = await listening(t, (socket) =>
    socket.once('data', (digit) => socket.end(digit.toString().repeat(70_000))),
  )
  const buffer = Buffer.alloc(4_096)
  const heard = await Promise.all(
    ['1', '2', '3', '4'].map(async (digit) => {
      let text = ''
      const callback = (bytes: number, shared: Uint8Array): boolean => {
        text += Buffer.from(shared.subarray(0, bytes)).toString('latin1')
        return true
      }
      const { socket } = await dial(dialable(`127.0.0.1:${port}`, { onread: { buffer, callback } }))
      t.teardown(() => socket.destroy())
      socket.resume()
      socket.write(digit)
      await once(socket, 'end')
      return text === digit.repeat(70_000)
    }),
  )
  t.strictSame(heard, [true, true, true, true])
})

t.test('reaches an IPv6 target', { skip: hasIpv6Loopback() ? false : 'this machine has no ::1' }, async (t) => {
  const port = await listening(t, (socket) => socket.end('six'), '::1')
  const { socket, address } = await dial(dialable(`[::1]:${port}`))
  t.teardown(() => socket.destroy())
  t.equal(address, `[::1]:${port}`)
  const [said] = await once(socket.resume(), 'data')
  t.equal(String(said), 'six')
})

t.test('says that a target refuses', async (t) => {
  const port = Number((await closedPort()).split(':')[1])
  await t.rejects(dial(dialable(`127.0.0.1:${port}`)), {
    code: 'dial-failed',
    message: `dial tcp 127.0.0.1:${port}: connect: connection refused`,
    cause: { code: 'ECONNREFUSED' },
  })
})

t.test('says that a name is unknown', async (t) => {
  // A name that the C library refuses by itself, so that no name server is needed.
  const name = `${'a'.repeat(64)}.invalid`
  await t.rejects(dial(dialable(`${name}:80`)), {
    code: 'dial-failed',
    message: `dial tcp: lookup ${name}: no such host`,
    cause: { code: 'ENOTFOUND' },
  })
  await t.rejects(dial(dialable('empty:80'), network({ empty: [] })), {
    message: 'dial tcp: lookup empty: no such host',
  })
})

t.test('says that the agent is out of descriptors, in the words that make a 503', async (t) => {
  const full: Network = {
    ...network(),
    connect: () => new Socket().destroy(Object.assign(new Error('connect EMFILE'), { code: 'EMFILE' })),
  }
  const message = 'dial tcp 10.0.0.1:80: socket: too many open files'
  await t.rejects(dial(dialable('10.0.0.1:80'), full), { code: 'dial-failed', message })
})

t.test('dials the addresses of the family that was asked for, and names it when it fails', async (t) => {
  const port = await listening(t, () => {})
  const both = network({ both: ['::1', '127.0.0.1'], only: ['::1'] })
  const { socket, address } = await dial(dialable(`both:${port}`, { protocol: 'tcp4' }), both)
  socket.destroy()
  t.equal(address, `127.0.0.1:${port}`)
  t.strictSame(both.dialled, ['127.0.0.1'])
  const closed = Number((await closedPort()).split(':')[1])
  for (const [protocol, target, message] of [
    ['tcp4', `127.0.0.1:${closed}`, `dial tcp4 127.0.0.1:${closed}: connect: connection refused`],
    ['tcp4', 'only:80', 'dial tcp4: address only: no suitable address found'],
    ['tcp4', '[::1]:80', 'dial tcp4: address ::1: no suitable address found'],
    ['tcp6', '127.0.0.1:80', 'dial tcp6: address 127.0.0.1: no suitable address found'],
    ['tcp6', 'none', 'dial tcp6: address none: missing port in address'],
    ['tcp4', '', 'dial tcp4: missing address'],
    ['tcp4', 'none:http', 'dial tcp4: lookup tcp4/http: unknown port'],
  ] as const) {
    await t.rejects(dial(dialable(target, { protocol }), both), { code: /^dial-(failed|refused)$/, message })
  }
})

t.test('dials nothing that its rules forbid, by address, by name or by protocol', async (t) => {
  const forbidden = network({ metadata: ['169.254.169.254', 'fe80::1%eth0'] })
  const prohibited = /^dial tcp 169\.254\.169\.254:80: link-local addresses are not allowed by this agent$/
  await t.rejects(dial(dialable('169.254.169.254:80'), forbidden), { code: 'dial-refused', message: prohibited })
  await t.rejects(dial(dialable('metadata:80'), forbidden), { code: 'dial-refused', message: prohibited })
  await t.rejects(dial(dialable('/run/x:1', { protocol: 'unix' }), forbidden), {
    message: /^dial unix: protocol not allow/,
  })
  t.strictSame(forbidden.dialled, [])
  t.equal(forbidden.timers(), 0)
})

t.test('dials only those addresses of a name that its rules allow', async (t) => {
  const port = await listening(t, () => {})
  const mixed = network({ mixed: ['169.254.0.1', '::ffff:169.254.0.2', '127.0.0.1'] })
  const { socket, address } = await dial(dialable(`Mixed:${port}`), mixed)
  socket.destroy()
  t.equal(address, `127.0.0.1:${port}`)
  t.strictSame(mixed.dialled, ['127.0.0.1'])
})

t.test('asks its gate before a name is resolved, and dials exactly the addresses that passed', async (t) => {
  const port = await listening(t, () => {})
  const own = policy({ allow: { cidr: '127.0.0.0/8' } }, { deny: { cidr: '127.0.0.2' } }, { deny: { name: 'secret' } })
  const names = {
    web: ['127.0.0.2', '192.0.2.1', '127.0.0.1'],
    turned: ['127.0.0.2', '64:ff9b::7f00:2'],
    secret: ['127.0.0.1'],
  }
  const inside = network(names)
  const gate = { ...withoutPolicy, own }
  const refused = (target: string, message: RegExp): Promise<unknown> =>
    t.rejects(
      dial(dialable(`${target}:${port}`), inside, gate),
      { code: 'dial-refused', cause: 'policy', message },
      target,
    )
  const { socket, address } = await dial(dialable(`web:${port}`), inside, gate)
  socket.destroy()
  t.equal(address, `127.0.0.1:${port}`)
  t.strictSame(inside.dialled, ['127.0.0.1'])
  await refused(
    'turned',
    /^dial tcp 127\.0\.0\.2:\d+: not allowed by the policy of this agent: rule 2, deny 127\.0\.0\.2/,
  )
  await refused('Secret.', /^dial tcp secret\.:\d+: not allowed by the policy of this agent: rule 3, deny secret$/)
  await refused('192.0.2.1', /no rule allows it$/)
  await refused('[::ffff:127.0.0.2]', /rule 2/)
  t.strictSame(inside.dialled, ['127.0.0.1'], 'nothing else was tried')
  t.equal(inside.timers(), 0)
})

t.test('tries the next address at once when one refuses, and tells of the first when all do', async (t) => {
  const port = await listening(t, () => {})
  const still = network({ web: ['127.0.0.8', '127.0.0.9', '127.0.0.1'], gone: ['127.0.0.8', '127.0.0.9'] })
  const { socket, address } = await dial(dialable(`web:${port}`), still)
  socket.destroy()
  t.equal(address, `127.0.0.1:${port}`)
  t.strictSame(still.dialled, ['127.0.0.8', '127.0.0.9', '127.0.0.1'])
  await t.rejects(dial(dialable(`gone:${port}`), still), {
    message: `dial tcp 127.0.0.8:${port}: connect: connection refused`,
  })
  t.equal(still.timers(), 0)
})

t.test('tries the other family 250 ms after a silent address, and drops the loser', async (t) => {
  const port = await listening(t, () => {})
  const both = network({ web: ['2001:db8::1', '2001:db8::2', '127.0.0.1'] }, ['2001:db8::1', '2001:db8::2'])
  const answer = dial(dialable(`web:${port}`), both)
  await turn()
  both.advance(249)
  t.strictSame(both.dialled, ['2001:db8::1'])
  both.advance(1)
  t.strictSame(both.dialled, ['2001:db8::1', '127.0.0.1'])
  const { socket, address } = await answer
  t.teardown(() => socket.destroy())
  t.equal(address, `127.0.0.1:${port}`)
  t.strictSame(
    both.silent.map(({ destroyed }) => destroyed),
    [true],
  )
  t.equal(both.timers(), 0)
})

t.test('gives up on a silent target when its time is over, and not before', async (t) => {
  const silent = network({}, ['10.0.0.1'])
  const answer = dial(dialable('10.0.0.1:80'), silent)
  silent.advance(4_999)
  t.notOk(await settled(answer), 'not yet')
  silent.advance(1)
  await t.rejects(answer, { code: 'dial-failed', message: 'dial tcp 10.0.0.1:80: i/o timeout' })
  t.ok(silent.silent[0]?.destroyed)
  t.equal(silent.timers(), 0)
})

t.test('waits for a silent address although the last one refused', async (t) => {
  const port = Number((await closedPort()).split(':')[1])
  const one = network({ web: ['10.0.0.1', '127.0.0.1'] }, ['10.0.0.1'])
  const refused = Promise.withResolvers<void>()
  const connect: Network['connect'] = (options) => one.connect(options).on('close', refused.resolve)
  const stop = new AbortController()
  const answer = dial(dialable(`web:${port}`, { signal: stop.signal }), { ...one, connect })
  await turn()
  one.advance(250)
  await refused.promise
  t.strictSame(one.dialled, ['10.0.0.1', '127.0.0.1'])
  t.notOk(await settled(answer), 'the silent one may still answer')
  one.advance(4_750)
  await t.rejects(answer, { message: `dial tcp 10.0.0.1:${port}: i/o timeout` })
  t.equal(getEventListeners(stop.signal, 'abort').length, 0)
})

t.test('counts the time of name resolution', async (t) => {
  const answered = Promise.withResolvers<{ address: string; family: number }[]>()
  const slow = { ...network({}, ['10.0.0.1']), lookup: () => answered.promise }
  const answer = dial(dialable('web:80'), slow)
  slow.advance(4_000)
  answered.resolve([{ address: '10.0.0.1', family: 4 }])
  await turn()
  t.strictSame(slow.dialled, ['10.0.0.1'])
  slow.advance(1_000)
  await t.rejects(answer, { message: 'dial tcp 10.0.0.1:80: i/o timeout' })
})

t.test('gives up on a silent resolver, and ignores its answer when it comes', async (t) => {
  for (const finish of ['resolve', 'reject'] as const) {
    const answered = Promise.withResolvers<{ address: string; family: number }[]>()
    const slow = { ...network(), lookup: () => answered.promise }
    const answer = dial(dialable('web:80'), slow)
    slow.advance(5_000)
    await t.rejects(answer, { code: 'dial-failed', message: 'dial tcp: lookup web: i/o timeout' })
    if (finish === 'resolve') answered.resolve([{ address: '127.0.0.1', family: 4 }])
    else answered.reject(new Error('too late'))
    await turn()
    t.strictSame(slow.dialled, [], `late ${finish}`)
  }
})

t.test('stops at once when it is aborted, whatever it waits for', async (t) => {
  const cancelled = {
    code: 'dial-failed',
    message: /^dial tcp (web|10\.0\.0\.1):80: operation was canceled$/,
    cause: 'why',
  }
  for (const address of ['web:80', '10.0.0.1:80']) {
    const waiting = network({}, ['10.0.0.1'])
    const stop = new AbortController()
    const answer = dial(dialable(address, { signal: stop.signal }), waiting)
    t.notOk(await settled(answer))
    stop.abort('why')
    await t.rejects(answer, cancelled)
    t.ok(waiting.silent.every(({ destroyed }) => destroyed))
    t.equal(waiting.timers(), 0)

    const early = network({}, ['10.0.0.1'])
    await t.rejects(dial(dialable(address, { signal: AbortSignal.abort('why') }), early), cancelled)
    t.strictSame(early.dialled, [], 'an abort before the start dials nothing')
  }
})

t.test('tries sixteen addresses of a name and no more', async (t) => {
  const many = Array.from({ length: 40 }, (_, index) => `10.0.0.${index + 1}`)
  const silent = network({ many }, many)
  const answer = dial(dialable('many:80', { timeoutMs: 60_000 }), silent)
  for (let count = 0; count < 40; count++) {
    await turn()
    silent.advance(250)
  }
  t.strictSame(silent.dialled, many.slice(0, 16))
  silent.advance(60_000)
  await t.rejects(answer, { message: 'dial tcp 10.0.0.1:80: i/o timeout' })
  t.ok(silent.silent.every(({ destroyed }) => destroyed))
})

function hasIpv6Loopback(): boolean {
  return Object.values(networkInterfaces()).some((addresses) => addresses?.some(({ address }) => address === '::1'))
}
