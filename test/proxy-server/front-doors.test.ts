import { Buffer } from 'node:buffer'
import { connect, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { MAX_WITHOUT_HEADER, openFrontDoors } from '../../src/proxy-server/front-doors.ts'
import { addressOf } from '../../src/proxy-server/source.ts'
import { proxyHeader } from '../../src/sni-router/core/proxy-header-out.ts'
import { event, eventually } from '../integration/deadline.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'

const ends = { source: { ip: '192.0.2.7', port: 5_000 }, destination: { ip: '192.0.2.1', port: 443 } }
const V1 = proxyHeader('v1', ends)
const V2 = proxyHeader('v2', ends)

/** A port behind front doors at these addresses. */
async function behind(t: Test, ranges: readonly string[]) {
  const clock = manualClock()
  const log = recordedLog()
  const counted: string[] = []
  const reasons: unknown[] = []
  const taken: Socket[] = []
  const frontDoors = openFrontDoors(
    { proxyProtocolFrom: ranges, tlsHandshakeTimeoutMs: 10_000 },
    {
      clock,
      log,
      metrics: { handshakeFailed: (port, why) => counted.push(`${port} ${why}`) },
      auditOften: ({ source, reason }) => reasons.push(`${source}: ${reason}`),
    },
  )
  const take = frontDoors('agent')?.((socket) => taken.push(socket))
  if (!take) return t.fail('no front doors') as never
  const accepted: Socket[] = []
  const server = createServer({ pauseOnConnect: true }, (socket) => {
    accepted.push(socket)
    t.teardown(() => socket.destroy())
    take(socket)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as { readonly port: number }
  const come = async (from = '127.0.0.1'): Promise<Socket> => {
    const socket = connect({ host: '127.0.0.1', port, localAddress: from, noDelay: true })
    socket.on('error', () => undefined)
    t.teardown(() => socket.destroy())
    await event(socket, 'connect')
    return socket
  }
  const next = async (count = 1): Promise<Socket> =>
    (
      await eventually(
        'it is taken',
        () => taken,
        ({ length }) => length >= count,
      )
    )[count - 1]!
  const isAccepted = (count: number): Promise<unknown> =>
    eventually(
      'accepted',
      () => accepted.length,
      (length) => length >= count,
    )
  return { clock, log, counted, reasons, taken, come, next, isAccepted }
}

const hungUp = (client: Socket): Promise<unknown> =>
  eventually(
    'it is hung up on',
    () => client.closed,
    (closed) => closed,
  )

/** What is left to read, when it is so many bytes. */
async function rest(socket: Socket, length: number): Promise<string> {
  const look = (): number => {
    socket.read(0)
    return socket.readableLength
  }
  await eventually('its own bytes', look, (there) => there >= length)
  const bytes: Buffer | null = socket.read()
  return String(bytes)
}

t.test('who comes is who the header says, and the header is no part of what he sends', async (t) => {
  for (const [header, text] of [
    [V1, 'version 1'],
    [V2, 'version 2'],
  ] as const) {
    const { come, next, counted } = await behind(t, ['127.0.0.0/8'])
    const client = await come()
    client.write(Buffer.concat([header, Buffer.from('hello')]))
    const socket = await next()
    t.equal(addressOf(socket), '192.0.2.7', text)
    t.equal(await rest(socket, 5), 'hello')
    t.strictSame(counted, [])
  }
})

t.test('however the network cuts it', async (t) => {
  const { come, next } = await behind(t, ['127.0.0.1'])
  const whole = Buffer.concat([V2, Buffer.from('hello')])
  for (let at = 1; at < whole.length; at++) {
    const client = await come()
    client.write(whole.subarray(0, at))
    await new Promise((resolve) => setImmediate(resolve))
    client.write(whole.subarray(at))
    const socket = await next(at)
    t.equal(addressOf(socket), '192.0.2.7')
    t.equal(await rest(socket, 5), 'hello', `cut at ${at}`)
  }
})

t.test('exactly one is read: a second one is what the peer sends', async (t) => {
  const { come, next } = await behind(t, ['127.0.0.1'])
  const client = await come()
  client.write(Buffer.concat([V1, V1]))
  t.equal(await rest(await next(), V1.length), V1.toString())
})

t.test('a front door that speaks for itself is who comes', async (t) => {
  const { come, next } = await behind(t, ['127.0.0.1'])
  const client = await come()
  client.write('PROXY UNKNOWN\r\nhello')
  const socket = await next()
  t.equal(addressOf(socket), '127.0.0.1')
  t.equal(await rest(socket, 5), 'hello')
})

t.test('from other addresses none is read', async (t) => {
  const { come, next } = await behind(t, ['127.0.0.1'])
  const client = await come('127.0.0.2')
  client.write(V1)
  const socket = await next()
  t.equal(addressOf(socket), '127.0.0.2')
  t.equal(await rest(socket, V1.length), V1.toString())
})

t.test('without a header it is hung up on, counted, told once in a while', async (t) => {
  const { come, counted, reasons, log, taken } = await behind(t, ['127.0.0.1'])
  for (let time = 0; time < 2; time++) {
    const client = await come()
    client.resume().write(Buffer.from([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]))
    await hungUp(client)
  }
  t.strictSame(counted, ['agent proxy_header', 'agent proxy_header'])
  t.strictSame(reasons, Array(2).fill('127.0.0.1: PROXY header: there is no PROXY header'))
  t.strictSame(log.messages('warn'), ['no PROXY header from an address of --proxy-protocol-from'])
  t.strictSame(taken, [])
})

t.test('a header that does not come whole in time', async (t) => {
  const { clock, come, counted, reasons, isAccepted } = await behind(t, ['127.0.0.1'])
  const client = (await come()).resume()
  client.write(V1.subarray(0, 10))
  await isAccepted(1)
  clock.advance(9_999)
  t.strictSame(counted, [])
  clock.advance(1)
  await hungUp(client)
  t.strictSame(reasons, ['127.0.0.1: PROXY header: slow'])
  t.equal(clock.waiting(), 0)
})

t.test('one that goes again before it has said anything is nobody', async (t) => {
  const { clock, come, counted, isAccepted } = await behind(t, ['127.0.0.1'])
  const [ends, breaks] = [await come(), await come()]
  await isAccepted(2)
  ends.end()
  breaks.resetAndDestroy()
  await eventually(
    'no deadline is ahead',
    () => clock.waiting(),
    (waiting) => waiting === 0,
  )
  t.strictSame(counted, [])
})

t.test('one that breaks while it waits for its handshake', async (t) => {
  const { come, next } = await behind(t, ['127.0.0.1'])
  const client = await come()
  client.write(V1)
  const socket = await next()
  client.resetAndDestroy()
  await hungUp(socket)
})

t.test('one that ends in its header', async (t) => {
  const { come, reasons } = await behind(t, ['127.0.0.1'])
  const client = (await come()).resume()
  client.end(V1.subarray(0, 10))
  await hungUp(client)
  t.strictSame(reasons, ['127.0.0.1: PROXY header: it ended in its header'])
})

t.test('of too many without a header the one that has waited longest goes, and who sends one is taken', async (t) => {
  const { come, next, counted, reasons, isAccepted } = await behind(t, ['127.0.0.1'])
  const first = (await come()).resume()
  await isAccepted(1)
  const others = await Promise.all(Array.from({ length: MAX_WITHOUT_HEADER - 1 }, () => come()))
  await isAccepted(MAX_WITHOUT_HEADER)
  t.strictSame(counted, [])
  const client = await come()
  client.write(V1)
  t.equal(addressOf(await next()), '192.0.2.7')
  await hungUp(first)
  t.strictSame(counted, ['agent proxy_header'])
  t.strictSame(reasons, ['127.0.0.1: PROXY header: too many without one'])
  t.notOk(others.some(({ closed }) => closed))
})

t.test('nothing is done where no front doors are named', async (t) => {
  const clock = manualClock()
  const metrics = { handshakeFailed: () => undefined }
  const frontDoors = openFrontDoors(
    { proxyProtocolFrom: [], tlsHandshakeTimeoutMs: 1 },
    { clock, log: recordedLog(), metrics },
  )
  t.equal(frontDoors('agent'), undefined)
})
