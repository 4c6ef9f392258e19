/** A server and an agent as one peer: both ours, both stock, or one of each. */
import type { RunningProgram } from '../processes.ts'
import { untilReady } from '../processes.ts'
import { frontendOf } from './flags.ts'
import type { Peer, PeerStart } from './peer.ts'

export type RunningServer = RunningProgram & {
  /** Of the frontend; 0 on a Unix socket. */
  readonly port: number
  readonly agentPort: number
  /** By which agents and clients ask for it; absent: by its address. */
  readonly hubName?: string
  readonly healthPort: number
  readonly isReady: () => Promise<boolean>
}
export type RunningAgent = RunningProgram & { readonly healthPort: number }
export type ServerEnd = {
  readonly name: string
  readonly prepare: Peer['prepare']
  /** Takes agents when it resolves. */
  readonly start: (how: PeerStart) => Promise<RunningServer>
}
export type AgentEnd = {
  readonly name: string
  readonly prepare: Peer['prepare']
  /** Connected when it resolves. */
  readonly start: (how: PeerStart, agentPort: number) => Promise<RunningAgent>
}

export function pair(name: string, what: string, serverEnd: ServerEnd, agentEnd: AgentEnd): Peer {
  return {
    name,
    what,
    async prepare(folder) {
      await serverEnd.prepare(folder)
      await agentEnd.prepare(folder)
    },
    async start(how) {
      await using stack = new AsyncDisposableStack()
      const server = stack.use(await serverEnd.start(how))
      const agent = stack.use(await agentEnd.start(askingFor(server.hubName, how), server.agentPort))
      await untilReady(server, serverEnd.name, server.isReady)
      const running = stack.move()
      return {
        frontend: frontendOf(how, server.port, server.hubName),
        agentPort: server.agentPort,
        certificates: how.certificates,
        server: server.pid,
        agent: agent.pid,
        assertRunning() {
          server.assertRunning()
          agent.assertRunning()
        },
        [Symbol.asyncDispose]: () => running.disposeAsync(),
      }
    },
  }
}

function askingFor(address: string | undefined, how: PeerStart): PeerStart {
  if (address === undefined) return how
  return { ...how, places: { ...how.places, hub: { ...how.places.hub, address } } }
}
