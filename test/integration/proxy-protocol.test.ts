/** A server that front doors tell who comes: its audit log has clients and agents, not the front door. */
import type { Socket } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { auditHas } from './audit-log.ts'
import { temporaryFolder } from './certificates.ts'
import { ask, connectHead, openTunnel, readBytes } from './client.ts'
import { eventually } from './deadline.ts'
import { fetchFrom, figureBecomes } from './figures.ts'
import { connectRaw, handshake, startFrontDoor } from './front-door.ts'
import { echo, listenTarget } from './target.ts'
import { AGENTS_NAME, startNamedServer, tunnelThrough } from './through-front-door.ts'
import type { Server } from './tunnel.ts'

const ESTABLISHED = 'HTTP/1.1 200 Connection Established\r\n\r\n'
/** The router comes from there, and whoever connects without saying where from; this client from elsewhere. */
const DOOR = '127.0.0.1'
const CLIENT = '127.0.0.7'

type Behind = { readonly server: Server; readonly log: string; readonly port: number }

async function start(t: Test, proxyProtocol: 'v1' | 'v2', ...flags: string[]): Promise<Behind> {
  const log = join(temporaryFolder(t), 'audit.log')
  const server = await startNamedServer(t, `--audit-log-file=${log}`, `--proxy-protocol-from=${DOOR}`, ...flags)
  const to = (port: number) => ({ hosts: [AGENTS_NAME], proxyProtocol, backends: [`${DOOR}:${port}`] })
  const router = await startFrontDoor(t, {
    routes: [
      { name: 'agents', alpn: ['h2', 'culvert-lane/1'], ...to(server.agentPort) },
      { name: 'frontends', ...to(server.frontendPort) },
    ],
  })
  return { server, log, port: router.port }
}

const hungUp = (socket: Socket): Promise<unknown> =>
  eventually(
    'it is hung up on',
    () => socket.readableEnded || socket.closed,
    (over) => over,
  )

for (const [version, ...flags] of [['v1'], ['v2', '--workers=2']] as const) {
  t.test(`clients are who the front door says: ${[version, ...flags].join(', ')}`, async (t) => {
    const { server, log, port } = await start(t, version, ...flags)
    await tunnelThrough(t, server, port, AGENTS_NAME)
    const target = await listenTarget(t, echo)
    const { cert, key } = server.pki.apiserver
    const ca = server.pki.authority.certificatePem
    const client = await handshake(t, port, { ca, cert, key, servername: AGENTS_NAME, localAddress: CLIENT } as object)
    const head = readBytes(client, ESTABLISHED.length)
    client.write(connectHead(target.address))
    t.equal((await head).toString(), ESTABLISHED)
    const its = `${CLIENT}:${client.localPort}`
    client.destroy()
    await auditHas(log, { event: 'dial', source: its, destination: target.address, verdict: 'allowed' })
    await auditHas(log, { event: 'end', source: its })
  })
}

t.test('who comes past the front door needs no header, and may not send one', async (t) => {
  const { server, log, port } = await start(t, 'v2')
  await tunnelThrough(t, server, port, AGENTS_NAME)
  const failed = (at: string, why: string): string =>
    `culvert_server_failed_handshakes_total{port="${at}",why="${why}"}`
  for (const [name, itsPort] of [
    ['agent', server.agentPort],
    ['frontend', server.frontendPort],
  ] as const) {
    const forged = await connectRaw(t, itsPort, { localAddress: CLIENT })
    forged.resume().write('PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\n')
    await hungUp(forged)
    await figureBecomes(server, failed(name, 'failed'), 1)
    await auditHas(log, { event: name, source: CLIENT, reason: 'TLS handshake: failed' })
  }
})

t.test('who fails a handshake behind the front door is the one that it names', async (t) => {
  const { server, log } = await start(t, 'v2')
  for (const [name, itsPort] of [
    ['agent', server.agentPort],
    ['frontend', server.frontendPort],
  ] as const) {
    const stranger = await connectRaw(t, itsPort)
    stranger.resume().write('PROXY TCP4 192.0.2.7 192.0.2.1 5000 443\r\nno handshake')
    await hungUp(stranger)
    await auditHas(log, { event: name, source: '192.0.2.7', reason: 'TLS handshake: failed' })
  }
})

t.test('a connection of a front door without a header is cut, counted and audited', async (t) => {
  const { server, log, port } = await start(t, 'v2')
  await tunnelThrough(t, server, port, AGENTS_NAME)
  const cut = (at: string): string => `culvert_server_failed_handshakes_total{port="${at}",why="proxy_header"}`
  const target = await listenTarget(t, echo)
  await t.rejects(openTunnel(server, target.address), 'a client that goes on by itself')
  await t.rejects(ask(server, connectHead(target.address)))
  await figureBecomes(server, cut('frontend'), 2)
  const agent = await connectRaw(t, server.agentPort)
  agent.resume().write('no header')
  await hungUp(agent)
  await figureBecomes(server, cut('agent'), 1)
  await auditHas(log, { event: 'frontend', source: DOOR, reason: 'PROXY header: there is no PROXY header' })
  await auditHas(log, { event: 'agent', source: DOOR, reason: 'PROXY header: there is no PROXY header' })
  t.equal((await fetchFrom(server.healthPort, '/readyz')).status, 200, 'checks of readiness bring none')
})
