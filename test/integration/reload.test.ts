/**
 * Certificates that are renewed while the programs run: new handshakes use them, broken ones are not used and raise an
 * alarm. The programs look at their files every five seconds, so all waits here overlap.
 */

import { X509Certificate } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import type { TLSSocket } from 'node:tls'
import t from 'tap'
import { type Leaf, makePki, saveLeaf } from './certificates.ts'
import { connectFrontend, echoOver, openTunnel } from './client.ts'
import { eventually } from './deadline.ts'
import { fetchFrom, figure } from './figures.ts'
import { echo, listenTarget } from './target.ts'
import { type Server, startTunnel } from './tunnel.ts'
import { connectAgentPort } from './wire-agent.ts'

/** Two looks at the files, and what a busy machine adds. */
const NOTICED_MS = 30_000

/** Nearly all of it is waiting. */
t.jobs = 3
const together = { buffered: true }

const target = await listenTarget(t, echo)
const serialOf = (leaf: Leaf): string => new X509Certificate(leaf.cert).serialNumber
const served = (socket: TLSSocket): string | undefined => socket.getPeerX509Certificate()?.serialNumber

async function frontendServes(server: Server): Promise<string | undefined> {
  const socket = (await connectFrontend(server)) as TLSSocket
  const serial = served(socket)
  socket.destroy()
  return serial
}

const alarms = async (server: Server): Promise<number[]> => [
  await figure(server, 'culvert_server_tls_files_broken{port="frontend"}'),
  await figure(server, 'culvert_server_tls_files_broken{port="agent"}'),
]

t.test('new certificates are used by new handshakes, and what is open goes on', together, async (t) => {
  const pki = await makePki(t)
  const beats = ['--heartbeat-interval=500ms', '--heartbeat-timeout=5s']
  const { server, agent } = await startTunnel(t, { pki, flags: ['--heartbeat-timeout=5s'] }, { flags: beats })
  const open = await openTunnel(server, target.address)
  t.equal(await frontendServes(server), serialOf(pki.server))

  const renewed = await pki.issue('server', { identity: { role: 'server', id: 'hub-0' }, ipAddresses: ['127.0.0.1'] })
  await pki.issue('agent', { identity: { role: 'agent', cluster: 'eu-1', name: 'renewed' } })
  await Promise.all([
    server.logged('TLS files changed, new handshakes use them', 2),
    agent.logged('TLS files changed, the next connection uses them'),
  ])
  t.equal(await frontendServes(server), serialOf(renewed))
  t.equal(served(await connectAgentPort(t, server)), serialOf(renewed))
  await echoOver(open, 'open since before')
  open.destroy()

  agent.signal('SIGSTOP') // a server that hears nothing hangs up, and the agent comes back with what it has now
  await server.logged('agent stream ended by the server')
  agent.signal('SIGCONT')
  await server.logged('agent connected', 2)
  const fleet = await (await fetchFrom(server.adminPort, '/v1/clusters')).text()
  t.match(fleet, /"principal": "cluster\/eu-1\/agent\/renewed"/)
})

t.test('broken files are not used, raise an alarm, and mended ones end it', together, async (t) => {
  const pki = await makePki(t)
  const { server, agent } = await startTunnel(t, { pki })
  const good = { server: readFileSync(pki.server.certFile), agent: readFileSync(pki.agent.certFile) }
  t.strictSame(await alarms(server), [0, 0])

  writeFileSync(pki.server.certFile, 'half a certif')
  writeFileSync(pki.agent.certFile, '')
  await eventually(
    'both ports raise an alarm',
    () => alarms(server),
    ([a, b]) => a === 1 && b === 1,
    NOTICED_MS,
  )
  await eventually(
    'the agent raises one',
    () => figure(agent, 'culvert_agent_tls_files_broken'),
    (up) => up === 1,
    NOTICED_MS,
  )
  t.match(await server.logged('TLS files are broken, the ones before stay in use'), { reason: /holds no certificate/ })
  t.equal(await frontendServes(server), serialOf(pki.server), 'the one before is served')
  const socket = await openTunnel(server, target.address)
  await echoOver(socket, 'all goes on')
  socket.destroy()

  writeFileSync(pki.server.certFile, good.server)
  writeFileSync(pki.agent.certFile, good.agent)
  await eventually(
    'both alarms end',
    () => alarms(server),
    ([a, b]) => a === 0 && b === 0,
    NOTICED_MS,
  )
  await eventually(
    'the agent’s ends',
    () => figure(agent, 'culvert_agent_tls_files_broken'),
    (up) => up === 0,
    NOTICED_MS,
  )
})

t.test('a key that does not belong to its new certificate is not used', together, async (t) => {
  const pki = await makePki(t)
  const { server } = await startTunnel(t, { pki })
  const other = await pki.issue('other', { identity: { role: 'server', id: 'hub-1' }, ipAddresses: ['127.0.0.1'] })
  writeFileSync(pki.server.certFile, other.cert)
  t.match(await server.logged('TLS files are broken, the ones before stay in use'), { reason: /is not the key of/ })
  t.equal(await frontendServes(server), serialOf(pki.server))
  saveLeaf(pki.folder, 'server', { certificatePem: other.cert, keyPem: other.key })
  await server.logged('TLS files changed, new handshakes use them', 2)
  t.equal(await frontendServes(server), serialOf(other))
})
