/** The HAProxy configuration of docs/front-door.md, as it is there but for addresses, carries a tunnel with its lanes. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import type { ConnectionOptions } from 'node:tls'
import t, { type Test } from 'tap'
import { auditHas } from '../integration/audit-log.ts'
import { temporaryFolder } from '../integration/certificates.ts'
import { connectHead } from '../integration/client.ts'
import { event } from '../integration/deadline.ts'
import { figure } from '../integration/figures.ts'
import { handshake } from '../integration/front-door.ts'
import { closedPort } from '../integration/target.ts'
import { AGENTS_NAME, startNamedServer, tunnelThrough } from '../integration/through-front-door.ts'
import type { Server } from '../integration/tunnel.ts'
import { haproxyConfig } from '../programs/haproxy.ts'

/** HAProxy on a port that it inherits, so that it is any free one and accepts from the start. @returns the port */
async function startHaproxy(t: Test, text: string): Promise<number> {
  const file = join(temporaryFolder(t), 'haproxy.cfg')
  writeFileSync(file, text)
  const listener = createServer().listen(0, '127.0.0.1')
  await event(listener, 'listening')
  const { port } = listener.address() as AddressInfo
  const { fd } = (listener as unknown as { _handle: { fd: number } })._handle
  const child = spawn('haproxy', ['-db', '-f', file], { stdio: ['ignore', 'inherit', 'inherit', fd] })
  const ended = once(child, 'close')
  listener.close()
  t.teardown(async () => {
    child.kill('SIGKILL')
    await ended
  })
  return port
}

/** The configuration for this server and another one that is down. */
async function configFor(server: Server): Promise<string> {
  return haproxyConfig({
    listen: 'fd@3',
    name: AGENTS_NAME,
    clusters: [
      { agents: `127.0.0.1:${server.agentPort}`, frontends: `127.0.0.1:${server.frontendPort}` },
      { agents: await closedPort(), frontends: await closedPort() },
    ],
  })
}

t.test('HAProxy carries a tunnel by name and protocol, and refuses other names', async (t) => {
  const server = await startNamedServer(t)
  const port = await startHaproxy(t, await configFor(server))
  await tunnelThrough(t, server, port, AGENTS_NAME)
  await t.rejects(handshake(t, port, { servername: 'other.example' }))
})

t.test('with send-proxy-v2 it says who comes, and its checks disturb nobody', async (t) => {
  const log = join(temporaryFolder(t), 'audit.log')
  const server = await startNamedServer(t, '--proxy-protocol-from=127.0.0.1', `--audit-log-file=${log}`)
  const config = (await configFor(server)).replace('default-server check', 'default-server send-proxy-v2 check')
  const port = await startHaproxy(t, config)
  await tunnelThrough(t, server, port, AGENTS_NAME)
  const { cert, key } = server.pki.apiserver
  const options = {
    ca: server.pki.authority.certificatePem,
    cert,
    key,
    servername: AGENTS_NAME,
    localAddress: '127.0.0.7',
  }
  const client = await handshake(t, port, options as ConnectionOptions)
  const address = await closedPort()
  client.write(connectHead(address))
  await auditHas(log, { event: 'dial', source: /^127\.0\.0\.7:/, destination: address })
  t.equal(await figure(server, 'culvert_server_failed_handshakes_total{port="agent",why="proxy_header"}'), 0)
  t.equal(await figure(server, 'culvert_server_failed_handshakes_total{port="frontend",why="proxy_header"}'), 0)
})
