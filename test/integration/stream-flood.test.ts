/** A peer on the agent port that opens stream after stream on one connection: each costs memory until it is closed. */
import { once } from 'node:events'
import t from 'tap'
import { within } from './deadline.ts'
import { figureBecomes } from './figures.ts'
import { startServer } from './tunnel.ts'
import { joinWireAgent, openStream } from './wire-agent.ts'

const STREAMS = 16

t.test(
  'a connection whose streams are opened again and again is hung up on, and the server takes the next one',
  async (t) => {
    const server = await startServer(t)
    const agent = await joinWireAgent(t, server)
    const closed = once(agent.http, 'close')
    const refused = Array.from({ length: STREAMS - 1 }, () => openStream(agent.http))
    for (const { ended } of refused) t.match(await ended(), { code: 8, message: 'one stream per connection' })
    t.notOk(agent.http.destroyed, 'so far it is only refused')
    openStream(agent.http)
    await within(closed, 'the end of the connection')
    await figureBecomes(server, 'culvert_server_refused_agents_total{why="second_stream"}', STREAMS)
    await joinWireAgent(t, server)
  },
)
