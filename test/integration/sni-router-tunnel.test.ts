/** A tunnel through the front door: agents with their lanes, and frontends, come to their ports by name and protocol. */
import t from 'tap'
import { makePki } from './certificates.ts'
import { connectHead, readBytes } from './client.ts'
import { within } from './deadline.ts'
import { figure, figureBecomes } from './figures.ts'
import { handshake, startFrontDoor } from './front-door.ts'
import { echo, listenTarget } from './target.ts'
import { expectedHash, receiveAll, sendAll } from './transfer.ts'
import { launchAgent, startServer } from './tunnel.ts'

/** Resolved by every machine, so that the agent's own name lookup and its SNI are those of any name. */
const NAME = 'localhost'
const BULK_BYTES = 30 * 2 ** 20
const ESTABLISHED = 'HTTP/1.1 200 Connection Established\r\n\r\n'

t.test('a tunnel through the front door works, with lanes, and by tlsServerName', async (t) => {
  const made = await makePki(t)
  const server = await made.issue('front', {
    identity: { role: 'server', id: 'hub-0' },
    dnsNames: [NAME, 'hub.example'],
  })
  const pki = { ...made, server }
  const proxyServer = await startServer(t, { pki })
  const router = await startFrontDoor(t, {
    routes: [
      {
        name: 'agents',
        hosts: [NAME],
        alpn: ['h2', 'culvert-lane/1'],
        backends: [`127.0.0.1:${proxyServer.agentPort}`],
      },
      { name: 'frontends', hosts: ['hub.example'], backends: [`127.0.0.1:${proxyServer.frontendPort}`] },
    ],
  })
  const agent = await launchAgent(
    t,
    { pki, agentPort: router.port },
    { flags: [`--proxy-server-host=${NAME}`, '--lanes=2'] },
  )
  await Promise.all([agent.logged('connected'), proxyServer.logged('agent connected')])
  t.equal(await figure(router, 'culvert_router_open_connections{route="agents"}'), 1)

  const target = await listenTarget(t, echo)
  const { cert, key } = pki.apiserver
  const client = await handshake(t, router.port, {
    ca: pki.authority.certificatePem,
    cert,
    key,
    servername: 'hub.example',
  })
  const head = readBytes(client, ESTABLISHED.length)
  client.write(connectHead(target.address))
  t.equal((await head).toString(), ESTABLISHED)
  const received = receiveAll(client)
  await sendAll(client, BULK_BYTES)
  t.strictSame(await received, { bytes: BULK_BYTES, hash: expectedHash(BULK_BYTES) })
  await figureBecomes(proxyServer, 'culvert_server_open_lanes', 2)
  await figureBecomes(router, 'culvert_router_open_connections{route="agents"}', 3)

  client.destroy()
  agent.signal('SIGTERM')
  await within(agent.ended, 'its end')
  await figureBecomes(router, 'culvert_router_open_connections{route="agents"}', 0)
})
