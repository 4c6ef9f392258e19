/** Tunnels for suites that hold whether bulk stays on the stream or goes over lanes, with the proof that it went there. */
import type { Test } from 'tap'
import { openTunnel } from './client.ts'
import { figure, figureBecomes, readFigures, SERVER } from './figures.ts'
import { listenTarget } from './target.ts'
import { expectedHash, receiveAll, sendAll } from './transfer.ts'
import { type ServerOptions, startTunnel, TRANSPORTS, type Tunnel } from './tunnel.ts'

/** As many as an agent opens by itself on a long path; on loopback it has to be told. */
const LANES = 4
const OPENING_BYTES = 4 * 1024 * 1024

/** @property over for the names of tests */
export type Way = { readonly lanes: number; readonly over: string }
export const onStream: Way = { lanes: 0, over: '' }
export const overLanes: Way = { lanes: LANES, over: ', over lanes' }
export const WAYS: readonly Way[] = [onStream, overLanes]

/** Makes a connection to the target carry to its client what the target sends. */
export type Carry = (server: Tunnel['server'], address: string) => Promise<unknown>

export type TunnelOnWay = Tunnel &
  Way & {
    readonly name: string
    /** What that end has added to the series since the tunnel was ready. */
    readonly since: (end: 'server' | 'agent', series: string) => Promise<number>
    /** How often bulk has been moved to a lane or back since then. */
    readonly moves: (segment: 'to_agent' | 'from_agent') => Promise<number>
  }

/** Its lanes are open. */
export async function startTunnelOnWay(
  t: Test,
  { lanes, over }: Way,
  options: ServerOptions = {},
  { flags = [], carry = downloadOpening }: { readonly flags?: readonly string[]; readonly carry?: Carry } = {},
): Promise<TunnelOnWay> {
  const tunnel = await startTunnel(t, options, { flags: [`--lanes=${lanes}`, ...flags] })
  const { server, agent } = tunnel
  await openLanes(t, tunnel, lanes, carry)
  const before = { server: await readFigures(server), agent: await readFigures(agent) }
  const since: TunnelOnWay['since'] = async (end, series) =>
    (await figure(tunnel[end], series)) - before[end].of(series)
  return {
    ...tunnel,
    lanes,
    over,
    name: `${server.transport}${over}`,
    since,
    moves: (segment) => since('server', `${SERVER}stream_packets_total{segment="${segment}",packet_type="MOVE"}`),
  }
}

/** Has one connection carry so much that the agent opens its lanes; waits for them, and for its end. */
export async function openLanes(t: Test, { server, agent }: Tunnel, lanes: number, carry: Carry = downloadOpening) {
  // A stranger may knock here, an agent of another test whose server's port this was: what becomes of that is no concern of ours.
  const source = await listenTarget(t, (socket) => void sendAll(socket, OPENING_BYTES).catch(() => undefined))
  await carry(server, source.address)
  await figureBecomes(server, 'culvert_server_open_lanes', lanes)
  await figureBecomes(agent, 'culvert_agent_open_lanes', lanes)
  await figureBecomes(server, `${SERVER}established_connections`, 0)
}

/** Over each frontend one without lanes and one with them. */
export const startTunnelsOnBothWays = (t: Test, options: ServerOptions = {}): Promise<TunnelOnWay[]> =>
  Promise.all(WAYS.flatMap((way) => TRANSPORTS.map((transport) => startTunnelOnWay(t, way, { ...options, transport }))))

/** The last test of such a tunnel. */
export function proveWay(t: Test, { server, name, lanes, moves }: TunnelOnWay): void {
  t.test(`${name}: ${lanes === 0 ? 'nothing went over a lane' : 'bulk went over lanes, both ways'}`, async (t) => {
    t.equal(await figure(server, 'culvert_server_open_lanes'), lanes)
    t.equal((await moves('to_agent')) > 0, lanes > 0)
    t.equal((await moves('from_agent')) > 0, lanes > 0)
  })
}

/** @throws Error when not all of the bytes arrive: over TLS and a Unix socket a break looks like an end */
export async function download(server: Tunnel['server'], address: string, bytes: number): Promise<void> {
  const socket = await openTunnel(server, address)
  const received = await receiveAll(socket)
  socket.destroy()
  if (received.hash !== expectedHash(bytes))
    throw new Error(`${received.bytes} of ${bytes} bytes arrived, or other ones`)
}

const downloadOpening: Carry = (server, address) => download(server, address, OPENING_BYTES)
