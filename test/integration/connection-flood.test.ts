/** One address from which connections come without end, and agents from others. Source: docs/adr/0034. */
import { connect, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { eventually } from './deadline.ts'
import { figure } from './figures.ts'
import { agentLeaf, startHub } from './hub.ts'
import { launchAgent, startAgent, startServer } from './tunnel.ts'

/** Connections of the flood, and how soon each comes again: milliseconds. */
const FLOOD = 200
const FLOOD_AGAIN_MS = 200

t.test('an address from which connections come without end keeps nobody out', async (t) => {
  const flags = ['--handshakes-per-second=20', '--tls-handshake-timeout=3s']
  const hub = await startHub(t, () => 'id: one\n---\nid: two\n---\nid: three\n', flags)
  const stop = flood(t, hub.agentPort)
  await eventually(
    'the flood is there',
    () => figure(hub, 'culvert_server_failed_handshakes_total{port="agent",why="too_many"}'),
    (count) => count > 500,
  )
  const startedMs = performance.now()
  await Promise.all(
    ['one', 'two', 'three'].map(async (cluster) => {
      const leaf = await agentLeaf(hub, cluster)
      const agent = await launchAgent(t, { ...hub, pki: { ...hub.pki, agent: leaf } })
      await agent.logged('connected')
      t.equal(agent.log.filter(({ msg }) => msg === 'could not connect').length, 0, 'none was turned away')
    }),
  )
  t.comment(`in after ${Math.round(performance.now() - startedMs)} ms`)
  stop()
})

t.test('connections that break while they wait for their turn end no worker', async (t) => {
  const server = await startServer(t, { flags: ['--workers=2', '--handshakes-per-second=2'] })
  const waiting = Array.from({ length: 20 }, () => connect({ host: '127.0.0.1', port: server.agentPort }))
  for (const socket of waiting) socket.on('error', () => undefined)
  // Each worker begins with one and has three wait, until one of those has waited for too long.
  await eventually(
    'all others are turned away',
    () => figure(server, 'culvert_server_failed_handshakes_total{port="agent",why="too_many"}'),
    (count) => count >= 12,
  )
  for (const socket of waiting) socket.resetAndDestroy()
  await startAgent(t, server)
  await server.logged('agent connected', 2)
  t.equal(await figure(server, 'culvert_server_worker_crashes_total'), 0)
})

/** Silent connections from one address, and others at once for those that are ended. @returns ends it */
function flood(t: Test, port: number): () => void {
  const open = new Set<Socket>()
  let isOver = false
  const come = (): void => {
    if (isOver) return
    const socket = connect({ host: '127.0.0.1', port, localAddress: '127.0.2.1' })
    open.add(socket)
    socket.on('error', () => undefined).resume()
    socket.once('close', () => {
      open.delete(socket)
      setTimeout(come, FLOOD_AGAIN_MS)
    })
  }
  for (let count = 0; count < FLOOD; count++) come()
  const stop = (): void => {
    isOver = true
    for (const socket of open) socket.destroy()
  }
  t.teardown(stop)
  return stop
}
