/**
 * A path that drops everything from one moment on, with the programs' own times: both ends notice within 15 s, on the stream and on
 * lanes, break what is open, say why, and find each other again.
 */
import { join } from 'node:path'
import t from 'tap'
import { auditHas } from './audit-log.ts'
import { openLanes } from './both-ways.ts'
import { makePki, temporaryFolder } from './certificates.ts'
import { askFor, echoOver, endOf, openTunnel } from './client.ts'
import { within } from './deadline.ts'
import { figureBecomes } from './figures.ts'
import { startSilentWire } from './silent-wire.ts'
import { echo, listenTarget } from './target.ts'
import { startAgent, startServer } from './tunnel.ts'

const NOTICED_MS = 15_000
const LANES = 2

const pki = await makePki(t)
const target = await listenTarget(t, echo)

t.test('a silent drop is noticed within 15 s on both ends, lanes included', async (t) => {
  const folder = temporaryFolder(t)
  const [hub, cell] = [join(folder, 'hub.log'), join(folder, 'cell.log')]
  const server = await startServer(t, { pki, flags: [`--audit-log-file=${hub}`] })
  const wire = await startSilentWire(t, () => server.agentPort)
  const flags = [`--lanes=${LANES}`, `--audit-log-file=${cell}`]
  const agent = await startAgent(t, { ...server, agentPort: wire.port }, { flags })
  await openLanes(t, { server, agent }, LANES)
  const accepted = target.next()
  const socket = await openTunnel(server, target.address)
  await echoOver(socket, 'before')
  const ends = Promise.all([endOf(socket), endOf(await accepted)])

  t.equal(wire.silence(), 1 + LANES)
  const noticed = Promise.all([server.logged('agent stream ended by the server'), agent.logged('disconnected'), ends])
  const [atServer, atAgent] = await within(noticed, 'both ends notice', NOTICED_MS)
  t.equal(atServer.reason, 'nothing heard from the agent for too long')
  t.equal(atAgent.reason, 'nothing heard from the server for too long')
  t.equal((await auditHas(hub, { event: 'agent-end' }))[0]?.reason, 'heartbeat_timeout')
  const [broken] = await auditHas(hub, { event: 'end', destination: target.address, outcome: 'reset' })
  await auditHas(cell, { event: 'end', id: broken?.id, outcome: 'reset' })

  await server.logged('agent connected', 2)
  await figureBecomes(server, 'culvert_server_open_lanes', 0)
  await figureBecomes(agent, 'culvert_agent_open_lanes', 0)
  const again = await openTunnel(server, target.address)
  await echoOver(again, 'after')
  again.destroy()
})

t.test('a dial that falls into a silent drop fails within 15 s', async (t) => {
  const server = await startServer(t, { pki })
  const wire = await startSilentWire(t, () => server.agentPort)
  await startAgent(t, { ...server, agentPort: wire.port })
  wire.silence()
  const answer = await within(askFor(server, target.address), 'the dial fails', NOTICED_MS)
  t.ok([500, 502].includes(answer.status), String(answer.status))
})
