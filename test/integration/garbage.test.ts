/** Bytes that belong to no protocol, and peers that are too slow, on every port: counted, and nobody else notices. */
import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { connect as connectTls } from 'node:tls'
import t, { type Test } from 'tap'
import { makePki } from './certificates.ts'
import { echoOver, openTunnel } from './client.ts'
import { event, within } from './deadline.ts'
import { counts, figureBecomes } from './figures.ts'
import { echo, listenTarget } from './target.ts'
import { startTunnel } from './tunnel.ts'
import { connectAgentPort } from './wire-agent.ts'

const garbage = Buffer.from(Array.from({ length: 4_096 }, (_, index) => (index * 167) % 256))

/** Short, for peers that are slow, and longer than a busy machine keeps those who are not. */
const HANDSHAKE_TIMEOUT = '2s'

const pki = await makePki(t)
const { server, agent } = await startTunnel(t, { pki, flags: [`--tls-handshake-timeout=${HANDSHAKE_TIMEOUT}`] })
const target = await listenTarget(t, echo)
const beside = await openTunnel(server, target.address)
t.teardown(() => beside.destroy())

async function connectPlain(t: Test, port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1')
  t.teardown(() => socket.destroy())
  await event(socket, 'connect')
  return socket
}

/** What it gets back until the other side hangs up. */
async function hungUp(socket: Socket): Promise<string> {
  const chunks: Buffer[] = []
  const closed = new Promise((resolve) => {
    for (const name of ['end', 'error', 'close']) socket.once(name, resolve)
  })
  socket.on('error', () => undefined)
  socket.on('data', (chunk: Buffer) => chunks.push(chunk))
  await within(closed, 'the other side hangs up')
  return Buffer.concat(chunks).toString('latin1')
}

const tlsPorts = [
  { port: 'frontend', number: server.frontendPort },
  { port: 'agent', number: server.agentPort },
] as const
for (const { port, number } of tlsPorts) {
  const failed = (why: string): string => `culvert_server_failed_handshakes_total{port="${port}",why="${why}"}`

  for (const [what, bytes] of [
    ['garbage', garbage],
    ['a request without TLS', Buffer.from('CONNECT 10.0.0.1:443 HTTP/1.1\r\n\r\n')],
  ] as const) {
    t.test(`${what} on the ${port} port is no handshake`, async (t) => {
      await counts(server, failed('failed'), 1, async () => {
        const socket = await connectPlain(t, number)
        socket.write(bytes)
        await hungUp(socket)
      })
      await echoOver(beside, what)
    })
  }

  t.test(`a peer that hangs up on the ${port} port before its handshake is let go at once`, async (t) => {
    await counts(server, failed('failed'), 1, async () => {
      const socket = await connectPlain(t, number)
      socket.end()
      await hungUp(socket)
    })
    await echoOver(beside, 'hung up')
  })

  t.test(`a peer that does not come to the end of its handshake on the ${port} port is hung up on`, async (t) => {
    await counts(server, failed('slow'), 1, async () => {
      const socket = await connectPlain(t, number)
      socket.write(Buffer.from([22, 3, 1, 2, 0, 1])) // the first bytes of a ClientHello of 512
      await hungUp(socket)
    })
    await echoOver(beside, 'slow')
  })
}

t.test('garbage instead of HTTP/2 on the agent port ends that connection', async (t) => {
  const socket = await connectAgentPort(t, server)
  socket.write(garbage)
  await hungUp(socket)
  await echoOver(beside, 'no HTTP/2')
})

t.test('an ALPN that is not offered on the agent port is no handshake', async (t) => {
  await counts(server, 'culvert_server_failed_handshakes_total{port="agent",why="failed"}', 1, async () => {
    const { agent: leaf, authority } = pki
    const socket = connectTls({
      host: '127.0.0.1',
      port: server.agentPort,
      ca: authority.certificatePem,
      cert: leaf.cert,
      key: leaf.key,
      ALPNProtocols: ['http/1.1'],
    })
    t.teardown(() => socket.destroy())
    const [error] = (await within(once(socket, 'error'), 'an alert')) as [NodeJS.ErrnoException]
    t.equal(error.code, 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL')
  })
})

t.test('a client of the frontend that speaks TLS 1.1 is refused', async (t) => {
  await counts(server, 'culvert_server_failed_handshakes_total{port="frontend",why="failed"}', 1, async () => {
    const socket = connectTls({
      host: '127.0.0.1',
      port: server.frontendPort,
      ca: pki.authority.certificatePem,
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT@SECLEVEL=0',
    })
    t.teardown(() => socket.destroy())
    await within(once(socket, 'error'), 'an alert')
  })
})

const plainPorts = [
  {
    name: "the server's health port",
    port: server.healthPort,
    program: server,
    metric: 'culvert_server_bad_probes_total',
  },
  {
    name: "the server's admin port",
    port: server.adminPort,
    program: server,
    metric: 'culvert_server_bad_probes_total',
  },
  { name: "the agent's health port", port: agent.healthPort, program: agent, metric: 'culvert_agent_bad_probes_total' },
  { name: "the agent's admin port", port: agent.adminPort, program: agent, metric: 'culvert_agent_bad_probes_total' },
]
for (const { name, port, program, metric } of plainPorts) {
  t.test(`garbage on ${name} is answered with 400`, async (t) => {
    await counts(program, `${metric}{why="malformed"}`, 1, async () => {
      const socket = await connectPlain(t, port)
      socket.write(garbage)
      t.match(await hungUp(socket), /^HTTP\/1\.1 400 Bad Request\r\n/)
    })
    await echoOver(beside, name)
  })

  t.test(`a head over 16 KiB on ${name} is answered with 431`, async (t) => {
    await counts(program, `${metric}{why="too_large"}`, 1, async () => {
      const socket = await connectPlain(t, port)
      socket.write(`GET /healthz HTTP/1.1\r\nHost: a\r\nPadding: ${'x'.repeat(16_384)}\r\n\r\n`)
      t.match(await hungUp(socket), /^HTTP\/1\.1 431 /)
    })
    await echoOver(beside, name)
  })
}

t.test('garbage on the Unix socket is answered with 400', async (t) => {
  const local = await startTunnel(t, { pki, transport: 'uds' })
  const open = await openTunnel(local.server, target.address)
  await counts(local.server, 'culvert_server_refused_heads_total{why="control_byte"}', 1, async () => {
    const socket = connect(local.server.socketPath)
    await event(socket, 'connect')
    socket.write(garbage)
    t.match(await hungUp(socket), /^HTTP\/1\.1 400 Bad Request: /)
    socket.destroy()
  })
  await echoOver(open, 'beside')
  open.destroy()
})

t.test('200 peers that hold handshakes open do not keep a client from its tunnel', async (t) => {
  for (let count = 0; count < 200; count++) await connectPlain(t, server.frontendPort)
  const socket = await openTunnel(server, target.address)
  await echoOver(socket, 'through')
  socket.destroy()
  await figureBecomes(server, 'konnectivity_network_proxy_server_http_connections', 1)
})
