/**
 * `npm run bench -- soak --minutes 30`: mixed traffic on our server and agent with all their connections cut again and again,
 * and after each cycle, at rest, a look at heap, memory, descriptors and tables. What is flat there has no leak.
 */
import { mkdtempSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeCertificates } from './certificates.ts'
import { startRemote } from './load/control.ts'
import { type Load, startLoad } from './load/load.ts'
import type { RelayCommands } from './load/relay.ts'
import type { Frontend } from './load/tunnel.ts'
import { ANSWER_DEADLINE_MS } from './load/tunnel-set.ts'
import { culvert } from './peers/culvert.ts'
import { frontendOf } from './peers/flags.ts'
import { oneMachine } from './places.ts'
import { removeAtExit, untilReady } from './processes.ts'

/** At rest. Tables are what must be empty then. */
export type Figures = {
  readonly heapMiB: number
  readonly residentMiB: number
  readonly descriptors: number
  readonly tables: number
}
export type Sample = {
  readonly minutes: number
  readonly server: Figures
  readonly agent: Figures
  /** Since the sample before. */
  readonly tunnels: number
  readonly megabytes: number
}

const MIB = 1024 * 1024
const TRAFFIC_MS = 5_000
const WARM_UP_MS = 200
const STALLED = 20
const HELD = 50
/** The same in each cycle, spread over three orders of magnitude. */
const TRANSFER_BYTES = Array.from({ length: 50 }, (_, index) => Math.round(1_024 * 1_024 ** (index / 49)))
const REST_DEADLINE_MS = 10_000
const SERVER = 'konnectivity_network_proxy_server_'
const AGENT = 'konnectivity_network_proxy_agent_'
const serverTables = [
  `${SERVER}established_connections`,
  `${SERVER}pending_backend_dials`,
  `${SERVER}http_connections`,
  'culvert_server_buffered_bytes',
]
const agentTables = [`${AGENT}open_endpoint_connections`, 'culvert_agent_buffered_bytes']

/** @throws Error when a byte is lost or a program ends */
export async function soak(minutes: number, progress: (line: string) => void): Promise<Sample[]> {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-soak-'))
  removeAtExit(folder)
  const certificates = await makeCertificates(folder)
  await using stack = new AsyncDisposableStack()
  const load = stack.use(await startLoad())
  const relay = startRemote<RelayCommands>(join(import.meta.dirname, 'load/relay.ts'))
  stack.defer(relay.stop)
  const how = { frontend: 'tls', folder, certificates, places: oneMachine } as const
  const server = stack.use(await culvert.server.start(how))
  const agent = stack.use(await culvert.agent.start(how, await relay.call('open', server.agentPort)))
  const connected = (): Promise<void> => untilReady(server, 'proxy-server', server.isReady)
  const frontend = frontendOf(how, server.port)
  const samples: Sample[] = []
  const started = performance.now()
  const sinceMinutes = (): number => (performance.now() - started) / 60_000
  do {
    await connected()
    const traffic = await cycle(frontend, load)
    const breaking = interrupted(frontend, load)
    await breaking.underWay
    await relay.call('cut', undefined as never)
    await breaking.over
    await connected()
    await load.light.target.call('connections', { most: 0, deadlineMs: REST_DEADLINE_MS })
    await load.heavy.target.call('connections', { most: 0, deadlineMs: REST_DEADLINE_MS })
    const sample: Sample = {
      minutes: sinceMinutes(),
      server: await look(server.healthPort, serverTables),
      agent: await look(agent.healthPort, agentTables),
      ...traffic,
    }
    server.assertRunning()
    agent.assertRunning()
    samples.push(sample)
    progress(line(sample))
  } while (sinceMinutes() < minutes)
  return samples
}

/** Samples in which a table was not empty at rest: a leak, or an end that nobody noticed. */
export function leftOver(samples: readonly Sample[]): Sample[] {
  return samples.filter(({ server, agent }) => server.tables !== 0 || agent.tables !== 0)
}

/** Everything at once; every byte is looked at, and none may be missing. */
async function cycle(frontend: Frontend, { light, heavy }: Load): Promise<Pick<Sample, 'tunnels' | 'megabytes'>> {
  const wait = { frontend, warmUpMs: WARM_UP_MS, windowMs: TRAFFIC_MS, deadlineMs: ANSWER_DEADLINE_MS }
  const stalled = { frontend, target: heavy.services.source, kind: 'stalled', deadlineMs: ANSWER_DEADLINE_MS } as const
  await heavy.generator.call('hold', { ...stalled, count: STALLED, atOnce: STALLED })
  const closing = { frontend, target: light.services.giver, sizes: TRANSFER_BYTES, atOnce: 4 }
  const all = await Promise.all([
    light.generator.call('dials', { ...wait, target: light.services.echo, atOnce: 8 }),
    heavy.generator.call('download', { ...wait, target: heavy.services.source, connections: 2 }),
    heavy.generator.call('upload', { ...wait, target: heavy.services.sink, connections: 2 }),
    light.generator.call('roundTrips', { ...wait, target: light.services.echo, atOnce: 8 }),
    light.generator.call('takeThenClose', closing),
  ])
  await heavy.generator.call('release', undefined)
  const [dials, download, upload, , arrived] = all
  const lost = TRANSFER_BYTES.filter((bytes, number) => arrived[number] !== bytes).length
  if (lost > 0) throw new Error(`${lost} of ${TRANSFER_BYTES.length} transfers were cut short`)
  const tunnels = Math.round((dials.perSecond * TRAFFIC_MS) / 1000) + TRANSFER_BYTES.length + STALLED + 12
  return { tunnels, megabytes: (download.bytes + upload.bytes) / 1_000_000 }
}

/** Tunnels of which none is expected to last: idle ones, and transfers in full flight. */
function interrupted(frontend: Frontend, { light, heavy }: Load): Record<'underWay' | 'over', Promise<unknown>> {
  const window = { frontend, warmUpMs: 0, windowMs: TRAFFIC_MS }
  const transfers = Promise.allSettled([
    heavy.generator.call('download', { ...window, target: heavy.services.source, connections: 2 }),
    heavy.generator.call('upload', { ...window, target: heavy.services.sink, connections: 2 }),
  ])
  const idle = { frontend, target: light.services.echo, kind: 'idle', deadlineMs: ANSWER_DEADLINE_MS } as const
  const held = light.generator.call('hold', { ...idle, count: HELD, atOnce: 8 })
  const broken = transfers.then(() => light.generator.call('release', undefined).catch(() => undefined))
  return { underWay: held, over: broken }
}

async function look(healthPort: number, tables: readonly string[]): Promise<Figures> {
  const answer = await fetch(`http://127.0.0.1:${healthPort}/metrics`, {
    signal: AbortSignal.timeout(REST_DEADLINE_MS),
  })
  const text = await answer.text()
  const figure = (name: string): number => Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN)
  return {
    heapMiB: figure('nodejs_heap_size_used_bytes') / MIB,
    residentMiB: figure('process_resident_memory_bytes') / MIB,
    descriptors: figure('process_open_fds'),
    tables: tables.reduce((sum, name) => sum + figure(name), 0),
  }
}

function line({ minutes, server, agent, tunnels, megabytes }: Sample): string {
  const of = ({ heapMiB, residentMiB, descriptors, tables }: Figures): string =>
    `heap ${heapMiB.toFixed(0)} MiB, resident ${residentMiB.toFixed(0)} MiB, ${descriptors} descriptors, ${tables} in tables`
  return `${minutes.toFixed(1)} min  ${tunnels} tunnels, ${megabytes.toFixed(0)} MB; server: ${of(server)}; agent: ${of(agent)}`
}
