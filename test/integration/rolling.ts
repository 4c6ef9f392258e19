/** Restarts of one program after the other under load, as a supervisor does them, of which no client notices anything. */
import type { Test } from 'tap'
import type { Pki } from './certificates.ts'
import { eventually, within } from './deadline.ts'
import { fetchFrom } from './figures.ts'
import type { SteadyLoad } from './steady-load.ts'
import { ownPort } from './target.ts'
import { type Agent, type Server, startServer } from './tunnel.ts'

/** Longer than the longest drain, on a machine that does other things. */
export const RESTART_MS = 60_000
export const SERVER_IDS = ['s-0', 's-1', 's-2']

export type Mode = 'http-connect' | 'grpc'

/** Servers of ours that know how many they are, by the place of their names in SERVER_IDS. */
export const startServers = (t: Test, pki: Pki, mode: Mode = 'http-connect'): Promise<Server[]> =>
  Promise.all(SERVER_IDS.map(async (id) => startOne(t, pki, id, mode, ...portFlags(await ownPorts()))))

/** Of one server, which are its own also while it is down. */
const PORTS = ['agent', 'health', 'admin', 'frontend'] as const
type Ports = Readonly<Record<`${(typeof PORTS)[number]}Port`, number>>
const ownPorts = async (): Promise<Ports> =>
  Object.fromEntries(await Promise.all(PORTS.map(async (name) => [`${name}Port`, await ownPort()])))
const portFlags = (ports: Ports): string[] => [
  '--server-listen-any=false',
  ...PORTS.map((name) => `--${name === 'frontend' ? 'server' : name}-port=${ports[`${name}Port`]}`),
]

const startOne = (t: Test, pki: Pki, id: string, mode: Mode, ...flags: readonly string[]): Promise<Server> =>
  startServer(t, {
    pki,
    flags: [`--mode=${mode}`, `--server-id=${id}`, `--server-count=${SERVER_IDS.length}`, ...flags],
  })

/** In `servers` as well: each has ended before the next one of its name takes its ports, and is ready before another goes. */
export async function restartServers(
  t: Test,
  servers: Server[],
  load: SteadyLoad,
  mode: Mode = 'http-connect',
): Promise<void> {
  for (const [index, server] of servers.entries()) {
    await stopInOrder(t, server, 'the end of a server')
    const next = await startOne(t, server.pki, SERVER_IDS[index]!, mode, ...portFlags(server))
    servers[index] = next
    await isReady(next)
    await load.goesOn(20, 1)
  }
}

export async function stopInOrder(t: Test, program: Server | Agent, what: string): Promise<void> {
  program.signal('SIGTERM')
  t.strictSame(await within(program.ended, what, RESTART_MS), { code: 0, signal: null }, what)
}

/** It holds one of the other end at least. */
export const isReady = ({ healthPort }: Server | Agent): Promise<unknown> =>
  eventually(
    'the program is ready',
    async () => (await fetchFrom(healthPort, '/readyz')).status,
    (status) => status === 200,
  )

export async function nobodyNoticed(t: Test, load: SteadyLoad): Promise<void> {
  await load.stop()
  t.strictSame(load.failures, [])
  const { requests, transfers } = load.count()
  t.comment(`${requests} requests and ${transfers} transfers`)
}
