/** A peer that makes the server answer on and on, and does not read: it costs itself, and neither memory nor anybody else. */
import t from 'tap'
import { encodePacket } from '../../src/tunnel/packet-codec.ts'
import { makePki } from './certificates.ts'
import { echoOver, openTunnel } from './client.ts'
import { counts, figureBecomes } from './figures.ts'
import { echo, listenTarget } from './target.ts'
import { startTunnel } from './tunnel.ts'
import { grpcMessage } from './wire.ts'
import { allExtensions, joinWireAgent } from './wire-agent.ts'

/** Their answers are no more than three megabytes on the wire: as packets that wait they are ten times that. */
const PINGS = 250_000
const BURST = 10_000

const pki = await makePki(t)
const { server, agent } = await startTunnel(t, { pki, transport: 'uds' })
const target = await listenTarget(t, echo)

t.test('an agent that pings and does not read what it is answered is hung up on', async (t) => {
  const beside = await openTunnel(server, target.address)
  const peer = await joinWireAgent(t, server, allExtensions)
  peer.stream.pause()
  const burst = Buffer.concat(Array(BURST).fill(grpcMessage(encodePacket({ type: 'PING', nonce: 1 }))))
  await counts(server, 'culvert_server_agent_stream_ends_total{how="protocol_error"}', 1, async () => {
    for (let sent = 0; sent < PINGS; sent += BURST) peer.sendRaw(burst)
    t.match(await server.logged('agent stream ended by the server'), {
      status: 'RESOURCE_EXHAUSTED',
      reason: 'the agent does not read what it has to be told',
    })
  })
  await figureBecomes(server, 'culvert_server_buffered_bytes', 0)
  await echoOver(beside, 'still there')
  beside.destroy()
  t.equal(agent.log.filter(({ msg }) => msg === 'connected').length, 1, 'the other agent noticed nothing')
})
