/** Ours, started by the launchers in bin/ of a checkout as an operator would, at its defaults. */
import { readFile, readlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import { answersOk, type RunningProgram, startProgram, untilReady } from '../processes.ts'
import { agentFlags, serverFlags } from './flags.ts'
import type { AgentEnd, ServerEnd } from './pair.ts'
import type { Peer } from './peer.ts'

/** Long enough for a profile to be written (NODE_OPTIONS=--cpu-prof). */
const GRACE_MS = 5_000

type Ports = Partial<Record<'server' | 'agent' | 'health' | 'admin', number>>
type Ends = { readonly server: ServerEnd; readonly agent: AgentEnd }

/** @param checkout its folder, which may be made by `prepare` */
export function culvertOf(checkout: string, prepare: Peer['prepare'] = async () => undefined): Ends {
  const bin = join(checkout, 'bin')
  return {
    server: {
      name: 'proxy-server',
      prepare,
      async start(how) {
        const portsFile = join(how.folder, 'server-ports.json')
        await using stack = new AsyncDisposableStack()
        const program = stack.use(
          startProgram({
            name: 'proxy-server',
            command: join(bin, 'proxy-server'),
            args: [
              ...serverFlags(how, '--server-listen-any'),
              '--agent-port=0',
              '--health-port=0',
              '--admin-port=0',
              `--ports-file=${portsFile}`,
            ],
            logFile: join(how.folder, 'server.log'),
            graceMs: GRACE_MS,
          }),
        )
        const { server = 0, agent, health } = await readPorts(program, 'proxy-server', portsFile)
        await assertNode(program)
        stack.move()
        return { ...program, port: server, agentPort: agent!, isReady: () => answersOk(health!, '/readyz') }
      },
    },
    agent: {
      name: 'proxy-agent',
      prepare,
      async start(how, agentPort) {
        const portsFile = join(how.folder, 'agent-ports.json')
        await using stack = new AsyncDisposableStack()
        const program = stack.use(
          startProgram({
            name: 'proxy-agent',
            command: join(bin, 'proxy-agent'),
            args: [
              ...agentFlags(how, agentPort),
              '--health-server-port=0',
              '--admin-server-port=0',
              `--ports-file=${portsFile}`,
            ],
            logFile: join(how.folder, 'agent.log'),
            graceMs: GRACE_MS,
          }),
        )
        const { health } = await readPorts(program, 'proxy-agent', portsFile)
        await untilReady(program, 'proxy-agent', () => answersOk(health!, '/readyz'))
        await assertNode(program)
        stack.move()
        return program
      },
    },
  }
}

export const culvert = culvertOf(join(import.meta.dirname, '../..'))

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
