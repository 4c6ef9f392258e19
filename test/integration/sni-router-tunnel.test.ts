/** A tunnel through the front door: agents with their lanes, and frontends, come to their ports by name and protocol. */
import t from 'tap'
import { within } from './deadline.ts'
import { figureBecomes } from './figures.ts'
import { startFrontDoor } from './front-door.ts'
import { AGENTS_NAME, startNamedServer, tunnelThrough } from './through-front-door.ts'
import { launchAgent } from './tunnel.ts'

for (const [what, servername] of [
  ['a name of its own for frontends', 'hub.example'],
  ['one name for agents and frontends', AGENTS_NAME],
] as const) {
  t.test(`a tunnel through the front door works, with lanes, and by tlsServerName: ${what}`, async (t) => {
    const server = await startNamedServer(t)
    const agents = { name: 'agents', hosts: [AGENTS_NAME], alpn: ['h2', 'culvert-lane/1'] }
    const router = await startFrontDoor(t, {
      routes: [
        { ...agents, backends: [`127.0.0.1:${server.agentPort}`] },
        { name: 'frontends', hosts: [servername], backends: [`127.0.0.1:${server.frontendPort}`] },
      ],
    })
    const agent = await tunnelThrough(t, server, router.port, servername)
    await figureBecomes(router, 'culvert_router_open_connections{route="agents"}', 3)
    agent.signal('SIGTERM')
    await within(agent.ended, 'its end')
    await figureBecomes(router, 'culvert_router_open_connections{route="agents"}', 0)
  })
}

t.test('an agent that the front door turns away says why', async (t) => {
  const server = await startNamedServer(t)
  const router = await startFrontDoor(t, {
    routes: [{ name: 'others', hosts: ['others.example'], backends: [`127.0.0.1:${server.agentPort}`] }],
  })
  const agent = await launchAgent(t, { ...server, agentPort: router.port })
  t.match(await agent.logged('could not connect'), {
    reason:
      'the server ended the TLS handshake: unrecognized_name: it, or the front door before it, serves nobody by the name that we asked for',
  })
})
