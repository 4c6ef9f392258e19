/** The reference: the stock server and agent, logging nothing (`--v=0`), all else at its defaults. */
import { join } from 'node:path'
import { freePort } from '../../test/programs/free-port.ts'
import { program } from '../../test/programs/programs.ts'
import { answersOk, startProgram, untilReady } from '../processes.ts'
import { agentFlags, serverFlags } from './flags.ts'
import type { AgentEnd, ServerEnd } from './pair.ts'

const server: ServerEnd = {
  name: 'konnectivity server',
  prepare: async () => void (await program('konnectivity-server')),
  async start(how) {
    const port = await freePort()
    const agentPort = await freePort()
    const health = await freePort()
    const admin = await freePort()
    await using stack = new AsyncDisposableStack()
    const running = stack.use(
      startProgram({
        name: server.name,
        place: how.places.hub,
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
    await untilReady(running, server.name, () => answersOk(how.places.hub, health, '/healthz'))
    stack.move()
    return {
      ...running,
      port,
      agentPort,
      healthPort: health,
      isReady: () => answersOk(how.places.hub, health, '/readyz'),
    }
  },
}

const agent: AgentEnd = {
  name: 'konnectivity agent',
  prepare: async () => void (await program('konnectivity-agent')),
  async start(how, agentPort) {
    const health = await freePort()
    const admin = await freePort()
    await using stack = new AsyncDisposableStack()
    const running = stack.use(
      startProgram({
        name: agent.name,
        place: how.places.cell,
        command: await program('konnectivity-agent'),
        args: [
          ...agentFlags(how, agentPort),
          `--health-server-port=${health}`,
          `--admin-server-port=${admin}`,
          '--v=0',
        ],
        logFile: join(how.folder, 'agent.log'),
        graceMs: 0, // at the first SIGTERM it would drain without end
      }),
    )
    await untilReady(running, agent.name, () => answersOk(how.places.cell, health, '/readyz'))
    stack.move()
    return { ...running, healthPort: health }
  },
}

export const konnectivity = { server, agent }
