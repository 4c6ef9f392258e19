/**
 * Ten thousand clients that never read, with the budgets as they are by default: these hold, a healthy client is served all the
 * while, and everything comes back when they go. They come over the Unix socket: over TCP the kernel would keep more of what waits
 * than it has for all of TCP, and drop what the tunnel carries.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { makePki } from '../integration/certificates.ts'
import { echoOver, openTunnel } from '../integration/client.ts'
import { AGENT, figure, figureBecomes, SERVER } from '../integration/figures.ts'
import { startStoppable } from '../integration/stoppable.ts'
import { echo, listenTarget } from '../integration/target.ts'
import { type Agent, type Server, startAgent, startServer } from '../integration/tunnel.ts'

const CLIENTS = 10_000
/** More than five may hold is more than the process may: both limits come into play. */
const AGENTS = 5
const KIBIBYTE = 1024
const MEBIBYTE = 1024 * KIBIBYTE
const STREAM_BYTES = 64 * MEBIBYTE
const PROCESS_BYTES = 256 * MEBIBYTE
/** What each target sends: the kernel's buffer of a Unix socket, and at least a window more. */
const FLOOD_BYTES = 320 * KIBIBYTE
/** What waits takes up to twice its bytes, and memory that was free for a moment is not given back (docs/performance.md). */
const RESIDENT_FACTOR = 2
/** Of a tunnel, whether or not anything waits: a generous half more than docs/performance.md says. */
const TUNNEL_BYTES = 16 * KIBIBYTE
/** A busy machine opens a hundred a second. */
const OPEN_DEADLINE_MS = 240_000
const CLOSE_DEADLINE_MS = 60_000
const BUFFERED = 'culvert_server_buffered_bytes'
const FORCED = 'culvert_server_forced_closes_total{reason="over_budget"}'
const INTEGRATION = join(import.meta.dirname, '../integration')

/** Node has raised the soft limit to the hard one. */
function checkDescriptors(): void {
  const [, most = '0'] = /^Max open files +(\S+)/m.exec(readFileSync('/proc/self/limits', 'utf8')) ?? []
  const needed = CLIENTS + 500
  if (most !== 'unlimited' && Number(most) < needed) {
    throw new Error(
      `needs ${needed} descriptors for each process and may have ${most}: raise the hard limit (ulimit -Hn)`,
    )
  }
}

/** The most that it ever had resident. */
const mostResident = ({ pid }: { readonly pid: number }): number =>
  Number(/^VmHWM:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]) * KIBIBYTE

const descriptors = ({ pid }: { readonly pid: number }): number => readdirSync(`/proc/${pid}/fd`).length

/** A client that goes on exchanging, and looks at what the server holds. @returns what it found, once told to stop */
function neighbour(
  server: Server,
  address: string,
): { readonly stop: () => Promise<{ exchanges: number; most: number }> } {
  let goesOn = true
  const done = (async () => {
    let exchanges = 0
    let most = 0
    const socket = await openTunnel(server, address)
    while (goesOn) {
      await echoOver(socket, `exchange ${exchanges++}`)
      const fresh = await openTunnel(server, address)
      await echoOver(fresh, 'a new one')
      fresh.destroy()
      most = Math.max(most, await figure(server, BUFFERED))
    }
    socket.destroy()
    return { exchanges, most }
  })()
  done.catch(() => undefined) // heard of by whoever stops it
  return {
    stop() {
      goesOn = false
      return done
    },
  }
}

t.test(`${CLIENTS} clients that never read are held within the budgets, beside one that does`, async (t) => {
  checkDescriptors()
  const server = await startServer(t, { pki: await makePki(t), transport: 'uds' })
  const agents: Agent[] = []
  while (agents.length < AGENTS) agents.push(await startAgent(t, server))
  const healthy = await listenTarget(t, echo)
  const floods = await startStoppable(
    t,
    [join(INTEGRATION, 'flooding-target.ts'), `${FLOOD_BYTES}`],
    'a target listens',
  )
  const atStart = { server: mostResident(server), agents: agents.map(mostResident), descriptors: descriptors(server) }

  const beside = neighbour(server, healthy.address)
  const crowd = await startStoppable(
    t,
    [join(INTEGRATION, 'stalled-clients.ts'), server.socketPath, `127.0.0.1:${floods.line}`, `${CLIENTS}`],
    `${CLIENTS} clients are answered`,
    OPEN_DEADLINE_MS,
  )
  const { exchanges, most } = await beside.stop()
  const [held, closed] = [await figure(server, BUFFERED), await figure(server, FORCED)]
  t.comment(`${exchanges} exchanges beside them; ${most} bytes held at most, ${held} now; ${closed} closed`)
  t.ok(exchanges > 0, 'the healthy one was served')
  t.ok(most <= PROCESS_BYTES, `${most} bytes are within the limit`)
  t.ok(held > PROCESS_BYTES / 2, `${held} bytes are held: no more were closed than had to be`)
  t.ok(closed > 0 && closed < CLIENTS, `${closed} were closed`)

  const serverGrew = mostResident(server) - atStart.server
  t.comment(`the server grew by ${serverGrew} bytes at most`)
  t.ok(serverGrew < CLIENTS * TUNNEL_BYTES + RESIDENT_FACTOR * PROCESS_BYTES, `the server grew by ${serverGrew} bytes`)
  for (const [index, agent] of agents.entries()) {
    const grew = mostResident(agent) - atStart.agents[index]!
    t.comment(`an agent grew by ${grew} bytes at most`)
    t.ok(
      grew < (CLIENTS / AGENTS) * 2 * TUNNEL_BYTES + RESIDENT_FACTOR * STREAM_BYTES,
      `an agent grew by ${grew} bytes`,
    )
  }

  crowd.kill()
  await figureBecomes(server, `${SERVER}http_connections`, 0, CLOSE_DEADLINE_MS)
  await figureBecomes(server, `${SERVER}established_connections`, 0, CLOSE_DEADLINE_MS)
  await figureBecomes(server, BUFFERED, 0)
  for (const agent of agents) {
    await figureBecomes(agent, `${AGENT}open_endpoint_connections`, 0, CLOSE_DEADLINE_MS)
    await figureBecomes(agent, 'culvert_agent_buffered_bytes', 0)
  }
  t.ok(descriptors(server) <= atStart.descriptors + AGENTS, 'its descriptors are given back') // those of a scrape stay for a while
  const after = await openTunnel(server, healthy.address)
  await echoOver(after, 'as before')
  after.destroy()
})
