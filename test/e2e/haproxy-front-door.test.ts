/** The HAProxy configuration of docs/front-door.md, as it is there but for addresses, carries a tunnel with its lanes. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { type AddressInfo, createServer } from 'node:net'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { temporaryFolder } from '../integration/certificates.ts'
import { event } from '../integration/deadline.ts'
import { handshake } from '../integration/front-door.ts'
import { closedPort } from '../integration/target.ts'
import { AGENTS_NAME, startNamedServer, tunnelThrough } from '../integration/through-front-door.ts'

const document = readFileSync(join(import.meta.dirname, '../../docs/front-door.md'), 'utf8')
const [, configuration = ''] = /^```haproxy\n([\s\S]*?)^```$/m.exec(document) ?? []

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
  const places: Readonly<Record<string, string>> = {
    ':443': 'fd@3',
    'proxy-server-eu-1.culvert.svc:8091': `127.0.0.1:${server.agentPort}`,
    'proxy-server-eu-1.culvert.svc:8090': `127.0.0.1:${server.frontendPort}`,
    'proxy-server-eu-2.culvert.svc:8091': await closedPort(),
    'proxy-server-eu-2.culvert.svc:8090': await closedPort(),
    'eu-1.hub.example': AGENTS_NAME,
  }
  const text = Object.entries(places).reduce((whole, [from, to]) => {
    t.ok(whole.includes(from), `the document has ${from}`)
    return whole.replaceAll(from, to)
  }, configuration)
  const port = await startHaproxy(t, text)
  await tunnelThrough(t, server, port, AGENTS_NAME)
  await t.rejects(handshake(t, port, { servername: 'other.example' }))
})
