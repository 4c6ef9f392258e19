/** Honest calls of gRPC mode beside those of somebody who is not: whatever that one does, they must not notice. */
import { createHash } from 'node:crypto'
import type { ClientHttp2Session } from 'node:http2'
import { eventually } from './deadline.ts'
import { type Figures, readFigures, SERVER } from './figures.ts'
import type { Target } from './target.ts'
import { expectedHash } from './transfer.ts'
import type { Tunnel } from './tunnel.ts'
import { echoOver, openCall } from './wire-call.ts'

const ROUND_TRIPS = 5

export type Witness = {
  /** Round trips over a connection that stays, and a transfer by its hash over one of its own. @throws Error when one fails */
  readonly isWell: () => Promise<void>
}

export type WitnessTargets = {
  readonly echo: Target
  /** Sends so many bytes of the pattern to everybody. */
  readonly source: Target
  readonly sourceBytes: number
}

export async function joinWitness(http: ClientHttp2Session, targets: WitnessTargets): Promise<Witness> {
  const { echo, source, sourceBytes } = targets
  const call = openCall(http)
  const id = await call.dial(echo.address)
  const hash = expectedHash(sourceBytes)
  let round = 0
  let sent = 0
  return {
    async isWell() {
      for (const end = round + ROUND_TRIPS; round < end; round++) {
        const text = `witness ${round}`
        await echoOver(call, id, text)
        sent += text.length
      }
      if (call.bytesOf(id).length !== sent) throw new Error(`${call.bytesOf(id).length} bytes came back for ${sent}`)
      if (call.received.length !== 1) throw new Error(`strange packets: ${JSON.stringify(call.received)}`)
      const bulk = openCall(http)
      const bytes = await bulk.data(await bulk.dial(source.address), sourceBytes)
      if (createHash('sha256').update(bytes).digest('hex') !== hash) throw new Error('a transfer came out changed')
      bulk.stream.end()
      await bulk.closed
    },
  }
}

/** What the server holds for clients of gRPC mode, by its own figures. */
function heldBy(figures: Figures): Record<string, number> {
  const names = {
    calls: `${SERVER}grpc_connections{service_method="Proxy"}`,
    connections: `${SERVER}established_connections`,
    dials: `${SERVER}pending_backend_dials`,
    bytes: 'culvert_server_buffered_bytes',
    unread: `${SERVER}full_receive_channels{service_method="Proxy"}`,
  }
  return Object.fromEntries(Object.entries(names).map(([name, series]) => [name, figures.of(series)]))
}

/** Waits until both programs have nothing but so many connections, each with a call of its own. */
export async function onlyLeft(
  { server, agent }: Pick<Tunnel, 'server'> & Partial<Tunnel>,
  open: number,
): Promise<void> {
  await eventually(
    `the server has ${open} calls and connections, and nothing else`,
    async () => heldBy(await readFigures(server)),
    ({ calls, connections, dials, bytes, unread }) =>
      calls === open && connections === open && dials === 0 && bytes === 0 && unread === 0,
  )
  if (!agent) return
  await eventually(
    `the agent has ${open} connections, and nothing else`,
    async () => {
      const figures = await readFigures(agent)
      return {
        connections: figures.of('konnectivity_network_proxy_agent_open_endpoint_connections'),
        bytes: figures.of('culvert_agent_buffered_bytes'),
      }
    },
    ({ connections, bytes }) => connections === open && bytes === 0,
  )
}
