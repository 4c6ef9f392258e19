/** The cases in which something is not there, or goes away. What a client is told is part of the interface. */
import type { Socket } from 'node:net'
import type { Test } from 'tap'
import { echoOver, endOf, readAll, readAnswer, readBytes } from '../integration/client.ts'
import { DEADLINE_MS, eventually, within } from '../integration/deadline.ts'
import { closedPort, dialsUnderWay, echo, listenTarget, stuckTarget } from '../integration/target.ts'
import { type Answer, type Ask, open } from './frontend.ts'
import type { Pairing } from './pairing.ts'
import type { Peers } from './peers.ts'
import { type Running, statusOf } from './process.ts'

const FLOWING_BYTES = 4 * 1024 * 1024
/** How long it is worth waiting for an answer that konnectivity's server does not give. */
const NO_ANSWER_MS = 1_000

/** What a status and a text must be, by the mode in which a client asks. */
type Refusal = { readonly status: number; readonly text: RegExp }

const REFUSED: Refusal = { status: 502, text: /^dial tcp 127\.0\.0\.1:\d+: connect: connection refused$/ }
const SILENT: Refusal = { status: 504, text: /^dial tcp 127\.0\.0\.1:\d+: i\/o timeout$/ }
// What follows "lookup" is up to the machine's resolver.
const UNKNOWN: Refusal = { status: 502, text: /^dial tcp: lookup nosuch\.invalid\b.*: no such host$/ }
const AGENT_LOST: Refusal = { status: 502, text: /./ }
const NO_AGENT: Refusal = { status: 500, text: /^(currently no tunnels available: )?No agent available$/ }

export const refuses = async (ask: Ask, { way }: Pairing): Promise<string> =>
  judge(await ask(await closedPort()), way.mode, REFUSED)

export const isUnknown = async (ask: Ask, { way }: Pairing): Promise<string> =>
  judge(await ask('nosuch.invalid:80'), way.mode, UNKNOWN)

/** The agent gives up after 5 s. */
export async function isSilent(t: Test, ask: Ask, { way }: Pairing): Promise<string> {
  const target = await stuckTarget(t)
  return judge(await ask(target.address), way.mode, SILENT, DEADLINE_MS)
}

/** @param waitMs for what may come behind a 200 */
async function judge(
  answer: Answer,
  mode: Pairing['way']['mode'],
  { status, text }: Refusal,
  waitMs = NO_ANSWER_MS,
): Promise<string> {
  if (answer.kind === 'open') return openedAnyway(answer.socket, waitMs)
  const [, given, said] = /^(?:(\d{3}) )?(.*)$/s.exec(answer.says)!
  const right = text.test(said!) && (mode === 'grpc' || Number(given) === status)
  return right ? 'ok' : JSON.stringify(answer.says)
}

/** A 200 for a connection that cannot be: what comes behind it. */
async function openedAnyway(socket: Socket, waitMs: number): Promise<string> {
  const behind = await readAll(socket, waitMs).then(
    (bytes) => readAnswer(bytes.toString('latin1').replace('HTTP/0.0', 'HTTP/1.1')).status || 'the end',
    () => 'nothing',
  )
  socket.destroy()
  return `200, then ${behind}`
}

export type AgentKilled = {
  readonly inTransfer: string
  readonly pending: string
  readonly without: string
  /** The agent that took its place. */
  readonly agent: Running
}

/** Kills the agent while bytes flow and a dial is under way, asks without one, and starts another. */
export async function survivesAgent(
  t: Test,
  ask: Ask,
  pairing: Pairing,
  peers: Peers,
  server: Running,
  agent: Running,
): Promise<AgentKilled> {
  const { way } = pairing
  const stuck = await stuckTarget(t)
  const flowing = await openFlowing(t, ask)
  const ended = endOf(flowing)
  const pendingDial = ask(stuck.address) // last: the agent gives it up after 5 s
  pendingDial.catch(() => undefined) // told below
  await eventually(
    'the agent dials',
    () => dialsUnderWay(stuck.port).length,
    (count) => count > 0,
  )
  await agent.kill('SIGKILL')
  const inTransfer = await ended.then(
    () => 'ok',
    () => 'it goes on',
  )
  flowing.destroy()
  await eventually(
    'the server knows that it has no agent',
    () => statusOf(peers.serverHealthPort, '/readyz'),
    (status) => status === 500,
  )
  const without = await judge(await ask(await closedPort()), way.mode, NO_AGENT)
  const waits = pairing.server !== 'ours' && way.mode === 'grpc'
  const pending = await within(pendingDial, 'an answer', waits ? NO_ANSWER_MS : DEADLINE_MS).then(
    (answer) => judge(answer, way.mode, AGENT_LOST),
    () => 'no answer',
  )
  const another = await peers.startAgent()
  await peers.joined(server, another)
  return { inTransfer, pending, without, agent: another }
}

/** Kills the server while bytes flow, and starts it again: the agent comes back by itself. */
export async function survivesServer(
  t: Test,
  ask: Ask,
  peers: Peers,
  server: Running,
  agent: Running,
): Promise<string> {
  const target = await listenTarget(t, echo)
  const flowing = await openFlowing(t, ask)
  const ended = endOf(flowing)
  await server.kill('SIGKILL')
  await ended
  flowing.destroy()
  await peers.joined(await peers.startServer(), agent)
  const socket = await open(ask, target.address)
  await echoOver(socket, 'again')
  socket.destroy()
  return 'ok'
}

/** A connection on which the target sends without end, and of which much has come. */
async function openFlowing(t: Test, ask: Ask): Promise<Socket> {
  const target = await listenTarget(t, (socket) => {
    const piece = Buffer.alloc(64 * 1024)
    const write = (): void => {
      while (socket.writable && socket.write(piece));
    }
    socket.on('drain', write).once('data', write)
  })
  const socket = await open(ask, target.address)
  socket.write('?')
  await readBytes(socket, FLOWING_BYTES)
  return socket
}
