/** Ours, started by the launchers in bin/ of a checkout as an operator would, at its defaults. */
import { readFile, readlink } from 'node:fs/promises'
import { basename, join } from 'node:path'
import type { Place } from '../places.ts'
import { answersOk, type RunningProgram, startProgram, untilReady } from '../processes.ts'
import { agentFlags, serverFlags } from './flags.ts'
import type { AgentEnd, ServerEnd } from './pair.ts'
import type { Peer } from './peer.ts'

/** Long enough for a profile to be written (NODE_OPTIONS=--cpu-prof). */
const GRACE_MS = 5_000

type Ports = Partial<Record<'server' | 'agent' | 'health' | 'admin' | 'listen', number>>
type Ends = { readonly server: ServerEnd; readonly agent: AgentEnd }

/**
 * @param checkout its folder, which may be made by `prepare`
 * @param moreFlags of the server
 */
export function culvertOf(
  checkout: string,
  prepare: Peer['prepare'] = async () => undefined,
  moreFlags: readonly string[] = [],
): Ends {
  /** Waits until it has become Node and listens. */
  async function launch(
    name: 'proxy-server' | 'proxy-agent',
    folder: string,
    place: Place,
    flags: readonly string[],
  ): Promise<{ readonly program: RunningProgram; readonly ports: Ports }> {
    const portsFile = join(folder, `${name}-ports.json`)
    await using stack = new AsyncDisposableStack()
    const program = stack.use(
      startProgram({
        name,
        place,
        command: join(checkout, 'bin', name),
        args: [...flags, `--ports-file=${portsFile}`],
        logFile: join(folder, `${name}.log`),
        graceMs: GRACE_MS,
      }),
    )
    const ports = await readPorts(program, name, portsFile)
    await assertNode(program)
    stack.move()
    return { program, ports }
  }

  return {
    server: {
      name: 'proxy-server',
      prepare,
      async start(how) {
        const flags = [
          ...serverFlags(how, '--server-listen-any'),
          ...['agent', 'health', 'admin'].map((it) => `--${it}-port=0`),
          ...moreFlags,
        ]
        const { program, ports } = await launch('proxy-server', how.folder, how.places.hub, flags)
        const isReady = (): Promise<boolean> => answersOk(how.places.hub, ports.health!, '/readyz')
        return { ...program, port: ports.server ?? 0, agentPort: ports.agent!, healthPort: ports.health!, isReady }
      },
    },
    agent: {
      name: 'proxy-agent',
      prepare,
      async start(how, agentPort) {
        const flags = [...agentFlags(how, agentPort), '--health-server-port=0', '--admin-server-port=0']
        await using stack = new AsyncDisposableStack()
        const { program, ports } = await launch('proxy-agent', how.folder, how.places.cell, flags)
        stack.use(program)
        await untilReady(program, 'proxy-agent', () => answersOk(how.places.cell, ports.health!, '/readyz'))
        stack.move()
        return { ...program, healthPort: ports.health! }
      },
    },
  }
}

export const culvert = culvertOf(join(import.meta.dirname, '../..'))

/** The launchers become Node (exec): otherwise the memory of a shell would be reported. */
export async function assertNode({ pid }: RunningProgram): Promise<void> {
  const executable = await readlink(`/proc/${pid}/exe`)
  if (!basename(executable).startsWith('node')) throw new Error(`the launcher did not become Node but ${executable}`)
}

/** Of one of our programs, when it listens. */
export async function readPorts(program: RunningProgram, name: string, file: string): Promise<Ports> {
  let ports: Ports = {}
  await untilReady(program, name, async () => {
    const text = await readFile(file, 'utf8').catch(() => '')
    if (!text.trimEnd().endsWith('}')) return false
    ports = JSON.parse(text) as Ports
    return true
  })
  return ports
}
