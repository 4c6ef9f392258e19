/**
 * A floor, not a tunnel: two Node processes that join TLS connections one to one, so nothing is multiplexed and the
 * "agent" accepts a connection per tunnel. What Node's own streams and TLS cost, without any protocol of ours.
 */
import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { NODE_FLAGS } from '../node-flags.ts'
import { oneMachine } from '../places.ts'
import { Skipped } from '../skipped.ts'
import { frontendOf } from './flags.ts'
import type { PipeConfig } from './floor-pipe.ts'
import type { Peer, PeerStart, RunningPeer } from './peer.ts'

export const floor: Peer = {
  name: 'floor',
  what: 'two plain TLS pipes in Node',
  prepare: async () => undefined,
  start,
}

async function start(how: PeerStart): Promise<RunningPeer> {
  const { certificates } = how
  if (how.frontend === 'grpc') throw new Skipped('plain pipes speak no gRPC')
  if (how.places !== oneMachine) throw new Skipped('plain pipes stay on one machine')
  await using stack = new AsyncDisposableStack()
  const back = stack.adopt(startPipe(), stop)
  const next = await configure(back, { listen: { kind: 'tls' }, certificates })
  const front = stack.adopt(startPipe(), stop)
  const unix = { kind: 'unix', path: join(how.folder, 'frontend.sock') } as const
  const listen = how.frontend === 'unix' ? unix : ({ kind: 'tls' } as const)
  const port = await configure(front, { listen, next, certificates })
  const running = stack.move()
  return {
    frontend: frontendOf(how, port),
    agentPort: next,
    certificates,
    server: front.pid ?? 0,
    agent: back.pid ?? 0,
    assertRunning: () => undefined,
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}

function startPipe(): ChildProcess {
  return fork(join(import.meta.dirname, 'floor-pipe.ts'), { execArgv: [...NODE_FLAGS] })
}

async function configure(pipe: ChildProcess, config: PipeConfig): Promise<number> {
  const bound = once(pipe, 'message', { signal: AbortSignal.timeout(10_000) })
  pipe.send(config)
  const [port] = (await bound) as [number]
  return port
}

async function stop(pipe: ChildProcess): Promise<void> {
  if (pipe.exitCode !== null || pipe.signalCode !== null) return
  const ended = once(pipe, 'exit')
  pipe.kill('SIGKILL')
  await ended
}
