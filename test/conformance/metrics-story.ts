/**
 * One course of events, the same for every pairing, and what server and agent show at chosen moments of it. Whatever is
 * compared is first waited for: a moment is looked at when nothing has changed for a while.
 */
import { Buffer } from 'node:buffer'
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import { type Pki, temporaryFolder } from '../integration/certificates.ts'
import { eventually } from '../integration/deadline.ts'
import { fetchFrom } from '../integration/figures.ts'
import { closedPort, echo, listenTarget, type Stuck } from '../integration/target.ts'
import { type Exposition, readExposition } from './exposition.ts'
import { type Client, grpcModeClient, httpConnectClient } from './metrics-client.ts'
import type { Pairing } from './pairing.ts'
import { makePeers } from './peers.ts'

export type Side = 'server' | 'agent'

/** In this order. */
export const moments = [
  'without a server',
  'without an agent',
  'before the first dial',
  'after small exchanges',
  'while a client does not read',
  'after the rest',
  'agent killed',
  'server killed',
  'server stopped',
] as const
export type Moment = (typeof moments)[number]
export type Story = ReadonlyMap<`${Side}, ${Moment}`, Exposition>

export type Scene = { readonly pki: Pki; readonly stuck: Stuck }

type Look = () => Promise<Exposition>

/**
 * Shorter than the agent's own limit of 5 s, so that a target which does not answer runs into both, one after the other; and long, as a
 * client that gives up has to be seen pending and to go before it, on a machine that runs eight programs at once.
 */
const DIAL_TIMEOUT_MS = 3_000
const clients = { 'http-connect': httpConnectClient, grpc: grpcModeClient }
const GREETING = 'answer of the target'
const BULK_BYTES = 4 * 1024 * 1024
const PIECE_BYTES = 32 * 1024
/** How long nothing may have changed: milliseconds, asked that often in between. */
const QUIET_MS = 400
const LOOKS = 4
const PREFIX = 'konnectivity_network_proxy_'

export async function play(t: Test, pairing: Pairing, { pki, stuck }: Scene): Promise<Story> {
  const story = new Map<`${Side}, ${Moment}`, Exposition>()
  const flags = [`--backend-dial-timeout=${DIAL_TIMEOUT_MS}ms`]
  const peers = await makePeers(t, pki, temporaryFolder(t), pairing, flags)
  const look = { server: lookAt(peers.serverHealthPort), agent: lookAt(peers.agentHealthPort) }
  const note = async (moment: Moment, ...sides: Side[]): Promise<void> => {
    for (const side of sides) story.set(`${side}, ${moment}`, await settled(look[side]))
  }

  const server = await peers.startServer()
  await note('without an agent', 'server')
  const client = clients[pairing.way.mode](t, peers.socketPath, pki)
  t.match(await client.refusal('127.0.0.1:1'), /No agent available/)

  const agent = await peers.startAgent()
  await peers.joined(server, agent)
  await note('before the first dial', 'server', 'agent')

  await smallExchanges(t, client)
  await note('after small exchanges', 'server', 'agent')

  const flood = await listenTarget(t, (socket) => void socket.once('data', () => pour(socket)))
  const stalled = await client.open(flood.address)
  stalled.stall()
  stalled.send('ten bytes!')
  const leave = await client.idle()
  await eventually(
    'the target can send no more',
    () => stillPouring(flood.sockets),
    (more) => !more,
  )
  await note('while a client does not read', 'server', 'agent')
  await stalled.close()
  leave()

  await bulk(t, client)
  await slowDials(t, client, stuck, look.server)
  // An agent of ours has heard from a server of ours that nobody waits any more.
  const heard = pairing.server === 'ours' && pairing.agent === 'ours'
  if (!heard) await becomes(look.agent, 'agent_endpoint_dial_failure_total{reason="timeout"}', 2)
  await becomes(look.agent, 'agent_open_endpoint_connections', 0)
  await note('after the rest', 'server', 'agent')

  await loseAgent(t, client, stuck, look.server, () => agent.kill('SIGKILL'))
  await note('agent killed', 'server')

  const other = await peers.startAgent()
  await peers.joined(server, other)
  await server.kill('SIGKILL')
  await becomes(look.agent, 'agent_open_server_connections', 0)
  await note('server killed', 'agent')
  return story
}

export const lookAt = (port: number) => async (): Promise<Exposition> =>
  readExposition(await (await fetchFrom(port, '/metrics')).text())

async function smallExchanges(t: Test, client: Client): Promise<void> {
  const echoing = await listenTarget(t, echo)
  // It waits for a word: what a target says first may overtake the 200 of a stock server.
  const answering = await listenTarget(t, (socket) => void socket.once('data', () => socket.end(GREETING)))
  for (let count = 0; count < 3; count++) {
    const exchange = await client.open(echoing.address)
    exchange.send('ten bytes!')
    await exchange.read(10)
    await exchange.close()
  }
  for (let count = 0; count < 3; count++) {
    const exchange = await client.open(answering.address)
    exchange.send('ten bytes!')
    await exchange.read(GREETING.length)
    await exchange.ended()
    await exchange.close()
  }
  const refusing = await closedPort()
  for (let count = 0; count < 2; count++) t.match(await client.refusal(refusing), /connection refused/)
  t.match(await client.refusal('nosuch.invalid:80'), /lookup nosuch\.invalid/)
  await client.nonsense()
}

async function bulk(t: Test, client: Client): Promise<void> {
  const echoing = await listenTarget(t, echo)
  const exchange = await client.open(echoing.address)
  const back = exchange.read(BULK_BYTES)
  for (let bytes = 0; bytes < BULK_BYTES; bytes += PIECE_BYTES) exchange.send('x'.repeat(PIECE_BYTES))
  await back
  await exchange.close()
}

/** One dial that the server gives up, and one whose client goes first. */
async function slowDials(t: Test, client: Client, stuck: Stuck, server: Look): Promise<void> {
  t.match(await client.refusal(stuck.address), /timed out|timeout/i)
  await becomes(server, 'server_pending_backend_dials', 0)
  await client.abandon(stuck.address, () => becomes(server, 'server_pending_backend_dials', 1))
  await becomes(server, 'server_pending_backend_dials', 0)
}

/** It dies with a connection open and a dial pending. */
async function loseAgent(
  t: Test,
  client: Client,
  stuck: Stuck,
  server: Look,
  kill: () => Promise<unknown>,
): Promise<void> {
  const echoing = await listenTarget(t, echo)
  const exchange = await client.open(echoing.address)
  exchange.send('ten bytes!')
  await exchange.read(10)
  const ended = exchange.ended()
  // A stock server in gRPC mode answers no dial whose agent is lost: its client gives up.
  await client.abandon(stuck.address, async () => {
    await becomes(server, 'server_pending_backend_dials', 1)
    await kill()
    await ended
  })
  await exchange.close()
  await becomes(server, 'server_ready_backends{proxy_strategy="default"}', 0)
}

export async function becomes(look: Look, series: string, value: number): Promise<void> {
  await eventually(
    `${series} is ${value}`,
    async () => (await look()).series.get(PREFIX + series),
    (found) => found === value,
  )
}

/** What it shows once that has stayed the same for a while. */
export async function settled(look: Look): Promise<Exposition> {
  let last = await look()
  let same = 0
  await eventually(
    'the figures stay as they are',
    async () => {
      await new Promise((resolve) => setTimeout(resolve, QUIET_MS / LOOKS))
      const now = await look()
      same = fingerprint(now) === fingerprint(last) ? same + 1 : 0
      last = now
      return same
    },
    (count) => count >= LOOKS,
  )
  return last
}

/** Heartbeats go on in the quietest of times. */
const fingerprint = ({ series }: Exposition): string =>
  JSON.stringify([...series].filter(([name]) => name.startsWith(PREFIX) && !name.includes('HEARTBEAT')))

function pour(socket: Socket): void {
  const block = Buffer.alloc(64 * 1024)
  const more = (): void => {
    while (!socket.destroyed && socket.write(block));
  }
  socket.on('drain', more)
  more()
}

/** Whether any of them has sent something since it was asked last. */
const sent = new WeakMap<Socket, number>()
async function stillPouring(sockets: ReadonlySet<Socket>): Promise<boolean> {
  await new Promise((resolve) => setTimeout(resolve, QUIET_MS))
  const total = (socket: Socket): number => socket.bytesWritten - socket.writableLength
  const more = [...sockets].some((socket) => sent.get(socket) !== total(socket))
  for (const socket of sockets) sent.set(socket, total(socket))
  return more
}
