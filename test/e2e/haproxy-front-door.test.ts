/** The HAProxy configuration of docs/front-door.md, as it is there but for addresses, carries a tunnel with its lanes. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { temporaryFolder } from '../integration/certificates.ts'
import { event } from '../integration/deadline.ts'
import { handshake } from '../integration/front-door.ts'
import { closedPort } from '../integration/target.ts'
import { AGENTS_NAME, startNamedServer, tunnelThrough } from '../integration/through-front-door.ts'
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

t.test('HAProxy carries a tunnel by name and protocol, and refuses other names', async (t) => {
  const server = await startNamedServer(t)
  const text = haproxyConfig({
    listen: 'fd@3',
    name: AGENTS_NAME,
    clusters: [
      { agents: `127.0.0.1:${server.agentPort}`, frontends: `127.0.0.1:${server.frontendPort}` },
      { agents: await closedPort(), frontends: await closedPort() },
    ],
  })
  const port = await startHaproxy(t, text)
  await tunnelThrough(t, server, port, AGENTS_NAME)
  await t.rejects(handshake(t, port, { servername: 'other.example' }))
})
