/** The reference: the stock server and agent, logging nothing (`--v=0`), all else at its defaults. */
import { join } from 'node:path'
import { freePort } from '../../test/programs/free-port.ts'
import { program } from '../../test/programs/programs.ts'
import { answersOk, startProgram, untilReady } from '../processes.ts'
import { agentFlags, frontendOf, serverFlags } from './flags.ts'
import type { Peer, PeerStart, RunningPeer } from './peer.ts'

export const konnectivity: Peer = {
  name: 'stock',
  what: 'konnectivity v0.36.0 server and agent',
  prepare: async () => {
    await program('konnectivity-server')
    await program('konnectivity-agent')
  },
  start,
}

async function start(how: PeerStart): Promise<RunningPeer> {
  const port = await freePort()
  const agentPort = await freePort()
  const health = await freePort()
  const admin = await freePort()
  const agentHealth = await freePort()
  const agentAdmin = await freePort()
  await using stack = new AsyncDisposableStack()
  const server = stack.use(
    startProgram({
      name: 'konnectivity server',
      command: await program('konnectivity-server'),
      args: [
        ...serverFlags(how, `--server-port=${port}`),
        `--agent-port=${agentPort}`,
        `--health-port=${health}`,
        `--admin-port=${admin}`,
        '--v=0',
      ],
      logFile: join(how.folder, 'server.log'),
      graceMs: 0,
    }),
  )
  await untilReady(server, 'konnectivity server', () => answersOk(health, '/healthz'))
  const agent = stack.use(
    startProgram({
      name: 'konnectivity agent',
      command: await program('konnectivity-agent'),
      args: [
        ...agentFlags(how, agentPort),
        `--health-server-port=${agentHealth}`,
        `--admin-server-port=${agentAdmin}`,
        '--v=0',
      ],
      logFile: join(how.folder, 'agent.log'),
      graceMs: 0, // at the first SIGTERM it would drain without end
    }),
  )
  await untilReady(agent, 'konnectivity agent', () => answersOk(agentHealth, '/readyz'))
  await untilReady(server, 'konnectivity server', () => answersOk(health, '/readyz'))
  const running = stack.move()
  return {
    frontend: frontendOf(how, port),
    server: server.pid,
    agent: agent.pid,
    assertRunning: () => {
      server.assertRunning()
      agent.assertRunning()
    },
    [Symbol.asyncDispose]: () => running.disposeAsync(),
  }
}
