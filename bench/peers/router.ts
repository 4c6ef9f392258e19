/**
 * Our server and agent with our sni-router between them and all who connect: agents by their name, clients over TLS by the default.
 * What it costs shows beside `ours`; its own processor time is in neither figure of the two programs.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { oneMachine } from '../places.ts'
import { answersOk, type RunningProgram, startProgram, untilReady } from '../processes.ts'
import { Skipped } from '../skipped.ts'
import { assertNode, culvert, readPorts } from './culvert.ts'
import { frontendOf } from './flags.ts'
import type { Peer, PeerStart, RunningPeer } from './peer.ts'

const NAME = 'sni-router'
/** In the certificate of the server; a client that connects to an address names none. */
const AGENTS_NAME = 'localhost'
const GRACE_MS = 1_000
/** The router's own limits: all load comes from one address and goes to one route, each of which has a share only. */
const CONNECTIONS = 20_000
const PENDING_HELLOS = 1_000

export const throughRouter: Peer = {
  name: 'ours+router',
  what: 'ours, all connections over TLS through our sni-router',
  async prepare(folder) {
    await culvert.server.prepare(folder)
    await culvert.agent.prepare(folder)
  },
  start,
}

async function start(how: PeerStart): Promise<RunningPeer> {
  if (how.places !== oneMachine) throw new Skipped('the router stays on one machine')
  const { hub } = how.places
  await using stack = new AsyncDisposableStack()
  const server = stack.use(await culvert.server.start(how))
  const router = await startRouter(how, `${hub.address}:${server.agentPort}`, `127.0.0.1:${server.port}`)
  stack.use(router)
  const byName = { ...how, places: { ...how.places, hub: { ...hub, address: AGENTS_NAME } } }
  const agent = stack.use(await culvert.agent.start(byName, router.port))
  await untilReady(server, culvert.server.name, server.isReady)
  const running = stack.move()
  return {
    frontend: frontendOf(how, router.port),
    agentPort: router.port,
    certificates: how.certificates,
    server: server.pid,
    agent: agent.pid,
    assertRunning() {
      for (const program of [server, router, agent]) program.assertRunning()
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

async function startRouter(
  { folder, places, frontend }: PeerStart,
  agents: string,
  clients: string,
): Promise<RunningProgram & { readonly port: number }> {
  const [config, portsFile] = [join(folder, `${NAME}.yaml`), join(folder, `${NAME}-ports.json`)]
  const routes = [{ name: 'agents', hosts: [AGENTS_NAME], backends: [agents] }]
  const fallback = frontend === 'tls' ? { default: { backends: [clients], maxConnections: CONNECTIONS } } : {}
  const limits = { connections: CONNECTIONS, connectionsPerSource: CONNECTIONS, pendingHellosPerSource: PENDING_HELLOS }
  writeFileSync(config, JSON.stringify({ listen: [{ port: 0 }], routes, ...fallback, limits }))
  await using stack = new AsyncDisposableStack()
  const program = stack.use(
    startProgram({
      name: NAME,
      place: places.hub,
      command: join(import.meta.dirname, '../../bin/culvert'),
      args: [
        NAME,
        `--config=${config}`,
        '--health-bind-address=127.0.0.1',
        '--health-port=0',
        `--ports-file=${portsFile}`,
      ],
      logFile: join(folder, `${NAME}.log`),
      graceMs: GRACE_MS,
    }),
  )
  const ports = await readPorts(program, NAME, portsFile)
  await assertNode(program)
  await untilReady(program, NAME, () => answersOk(places.hub, ports.health!, '/readyz'))
  stack.move()
  return { ...program, port: ports.listen! }
}
