/** Ours, started by the launchers in bin/ as an operator would, at its defaults. */
import { readFile, readlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { answersOk, type RunningProgram, startProgram, untilReady } from '../processes.ts'
import { agentFlags, frontendOf, serverFlags } from './flags.ts'
import type { Peer, PeerStart, RunningPeer } from './peer.ts'

const bin = join(import.meta.dirname, '../../bin')
/** Long enough for a profile to be written (NODE_OPTIONS=--cpu-prof). */
const GRACE_MS = 5_000

export const culvert: Peer = {
  name: 'ours',
  what: 'proxy-server and proxy-agent of this checkout',
  prepare: async () => undefined,
  start,
}

type Ports = Partial<Record<'server' | 'agent' | 'health' | 'admin', number>>

async function start(how: PeerStart): Promise<RunningPeer> {
  const serverPorts = join(how.folder, 'server-ports.json')
  const agentPorts = join(how.folder, 'agent-ports.json')
  await using stack = new AsyncDisposableStack()
  const server = stack.use(
    startProgram({
      name: 'proxy-server',
      command: join(bin, 'proxy-server'),
      args: [
        ...serverFlags(how, '--server-listen-any'),
        '--agent-port=0',
        '--health-port=0',
        '--admin-port=0',
        `--ports-file=${serverPorts}`,
      ],
      logFile: join(how.folder, 'server.log'),
      graceMs: GRACE_MS,
    }),
  )
  const ports = await readPorts(server, 'proxy-server', serverPorts)
  const agent = stack.use(
    startProgram({
      name: 'proxy-agent',
      command: join(bin, 'proxy-agent'),
      args: [
        ...agentFlags(how, ports.agent!),
        '--health-server-port=0',
        '--admin-server-port=0',
        `--ports-file=${agentPorts}`,
      ],
      logFile: join(how.folder, 'agent.log'),
      graceMs: GRACE_MS,
    }),
  )
  const { health } = await readPorts(agent, 'proxy-agent', agentPorts)
  await untilReady(agent, 'proxy-agent', () => answersOk(health!, '/readyz'))
  await untilReady(server, 'proxy-server', () => answersOk(ports.health!, '/readyz'))
  await assertNode(server)
  await assertNode(agent)
  const running = stack.move()
  return {
    frontend: frontendOf(how, ports.server ?? 0),
    server: server.pid,
    agent: agent.pid,
    assertRunning: () => {
      server.assertRunning()
      agent.assertRunning()
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

/** The launchers become Node (exec): otherwise the memory of a shell would be reported. */
async function assertNode({ pid }: RunningProgram): Promise<void> {
  const executable = await readlink(`/proc/${pid}/exe`)
  if (!basename(executable).startsWith('node')) throw new Error(`the launcher did not become Node but ${executable}`)
}

async function readPorts(program: RunningProgram, name: string, file: string): Promise<Ports> {
  let ports: Ports = {}
  await untilReady(program, name, async () => {
    const text = await readFile(file, 'utf8').catch(() => '')
    if (!text.trimEnd().endsWith('}')) return false
    ports = JSON.parse(text) as Ports
    return true
  })
  return ports
}
