/** Our sni-router as the front door. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { answersOk, startProgram, untilReady } from '../processes.ts'
import { assertNode, readPorts } from './culvert.ts'
import { type Behind, type Door, through } from './front-door.ts'
import type { PeerStart } from './peer.ts'

const NAME = 'sni-router'
const GRACE_MS = 1_000
/** The router's own limits: all load comes from one address and goes to one route, each of which has a share only. */
const CONNECTIONS = 20_000
const PENDING_HELLOS = 1_000

export const throughRouter = through(
  'ours+router',
  'ours, all connections over TLS through our sni-router',
  startRouter,
)

async function startRouter({ folder, places }: PeerStart, { agents, clients }: Behind): Promise<Door> {
  const [config, portsFile] = [join(folder, `${NAME}.yaml`), join(folder, `${NAME}-ports.json`)]
  const shared = { hosts: [places.hubName], maxConnections: CONNECTIONS }
  const routes = [
    { name: 'agents', alpn: ['h2', 'culvert-lane/1'], backends: [agents], ...shared },
    { name: 'frontends', backends: [clients], ...shared },
  ]
  const limits = { connections: CONNECTIONS, connectionsPerSource: CONNECTIONS, pendingHellosPerSource: PENDING_HELLOS }
  writeFileSync(config, JSON.stringify({ listen: [{ port: 0 }], routes, limits }))
  await using stack = new AsyncDisposableStack()
  const program = stack.use(
    startProgram({
      name: NAME,
      place: places.door,
      command: join(import.meta.dirname, '../../bin/culvert'),
      args: [NAME, `--config=${config}`, '--health-port=0', `--ports-file=${portsFile}`],
      logFile: join(folder, `${NAME}.log`),
      graceMs: GRACE_MS,
    }),
  )
  const ports = await readPorts(program, NAME, portsFile)
  await assertNode(program)
  await untilReady(program, NAME, () => answersOk(places.door, ports.health!, '/readyz'))
  stack.move()
  return { ...program, port: ports.listen! }
}
