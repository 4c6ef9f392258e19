/**
 * Our server behind a front door: agents and clients over TLS come to the door's one port and ask for the server by name, and the
 * door passes them on by name and protocol as docs/front-door.md has it. Frontends over a Unix socket do not pass it. What a
 * door costs shows beside `ours`; its own processor time is in neither figure of the two programs.
 */
import type { RunningProgram } from '../processes.ts'
import { culvert } from './culvert.ts'
import { pair, type RunningServer } from './pair.ts'
import type { Peer, PeerStart } from './peer.ts'

/** Where nobody listens. */
export const NOBODY = '127.0.0.1:9'

/** `host:port` of the server. */
export type Behind = { readonly agents: string; readonly clients: string }
export type Door = RunningProgram & { readonly port: number }
/** Takes connections when it resolves. @throws Skipped where it is not installed */
export type StartDoor = (how: PeerStart, behind: Behind) => Promise<Door>

export function through(name: string, what: string, startDoor: StartDoor): Peer {
  const { prepare } = culvert.server
  const start = (how: PeerStart): Promise<RunningServer> => serveBehind(how, startDoor)
  return pair(name, what, { name: `${culvert.server.name} behind its front door`, prepare, start }, culvert.agent)
}

async function serveBehind(how: PeerStart, startDoor: StartDoor): Promise<RunningServer> {
  await using stack = new AsyncDisposableStack()
  const server = stack.use(await culvert.server.start(how))
  const clients = server.port === 0 ? NOBODY : `127.0.0.1:${server.port}`
  const door = stack.use(await startDoor(how, { agents: `${how.places.hub.address}:${server.agentPort}`, clients }))
  const running = stack.move()
  return {
    ...server,
    port: door.port,
    agentPort: door.port,
    hubName: how.places.hubName,
    assertRunning() {
      server.assertRunning()
      door.assertRunning()
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}
