/**
 * Many agents in a process of their own, each of them what proxy-agent makes of its flags: a server set, a keeper, links. They
 * reach the server over relays, one for each cluster, which come from an address of their own and break all connections when told to.
 * Started by `crowd.ts`.
 */
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { tlsProtocol } from '../../src/platform/cipher-suites.ts'
import { systemClock as clock } from '../../src/platform/clock.ts'
import type { Log } from '../../src/platform/log.ts'
import { readOptions } from '../../src/platform/options.ts'
import { createReplicaLists } from '../../src/proxy-agent/core/replica-lists.ts'
import { createServerSet } from '../../src/proxy-agent/core/server-set.ts'
import { systemNetwork } from '../../src/proxy-agent/dialer.ts'
import { openLink } from '../../src/proxy-agent/link.ts'
import type { Link, LinkDeps } from '../../src/proxy-agent/link-owner.ts'
import { createLookups } from '../../src/proxy-agent/lookups.ts'
import { createAgentMetrics } from '../../src/proxy-agent/metrics.ts'
import { createOpenSockets } from '../../src/proxy-agent/open-sockets.ts'
import { agentOptions } from '../../src/proxy-agent/options.ts'
import { createServerKeeper } from '../../src/proxy-agent/server-keeper.ts'
import { createBudget } from '../../src/tunnel/budget.ts'

export type CrowdJob = {
  readonly serverPort: number
  readonly ca: string
  /** Of the clusters, whose agents are dealt out in turn. */
  readonly clusters: readonly { readonly cert: string; readonly key: string; readonly address: string }[]
  readonly agents: number
  /** Of proxy-agent. */
  readonly flags: readonly string[]
}
export type CrowdOrder = { readonly do: 'join'; readonly job: CrowdJob } | { readonly do: 'cut' }
/** Every second, and when all are there, again or for the first time. */
export type CrowdReport = {
  readonly isAll: boolean
  readonly connected: number
  /** Since the order. */
  readonly afterMs: number
  /** Connections that were tried for it. */
  readonly attempts: number
  /** Processor time that it has cost this process: milliseconds. */
  readonly processorMs: number
}

const JOIN_EVERY_MS = 4
const REPORT_MS = 1_000
const NOTHING: Log = { debug() {}, info() {}, warn() {}, error() {}, child: () => NOTHING }
const relayed = new Set<Socket>()
let connected = 0
let attempts = 0
let wanted = 0
let startedMs = 0
let used = process.cpuUsage()

function begin(): void {
  attempts = 0
  startedMs = performance.now()
  used = process.cpuUsage()
}

function changed(by: 1 | -1): void {
  connected += by
  if (connected === wanted) report(true)
}

function report(isAll: boolean): void {
  const { user, system } = process.cpuUsage(used)
  const afterMs = Math.round(performance.now() - startedMs)
  const processorMs = Math.round((user + system) / 1000)
  process.send?.({ isAll, connected, afterMs, attempts, processorMs } satisfies CrowdReport)
}

/** @param address whose connections to the server come from there. @returns its port */
async function openRelay(serverPort: number, address: string): Promise<number> {
  const listener = createServer({ noDelay: true, allowHalfOpen: true }, (agent) => {
    const server = connect({
      host: '127.0.0.1',
      port: serverPort,
      localAddress: address,
      noDelay: true,
      allowHalfOpen: true,
    })
    for (const [one, other] of [[agent, server] as const, [server, agent] as const]) {
      relayed.add(one)
      one.on('error', () => undefined)
      one.once('close', () => {
        relayed.delete(one)
        other.destroy()
      })
      one.pipe(other)
    }
  })
  await new Promise<void>((resolve) => listener.listen({ host: '127.0.0.1', port: 0, backlog: 4096 }, resolve))
  return (listener.address() as AddressInfo).port
}

async function join({ serverPort, ca, clusters, agents, flags }: CrowdJob): Promise<void> {
  const read = readOptions(agentOptions, flags, [])
  if (read.ok !== true) throw new Error(JSON.stringify(read))
  const options = read.values
  const processBudget = createBudget(options.processBufferBytes)
  const { metrics } = createAgentMetrics({
    servers: () => 0,
    knownServers: () => 0,
    connections: () => 0,
    bufferedBytes: () => processBudget.usedBytes,
    certificateSeconds: () => ({}),
    tlsAlarm: () => false,
    policyAlarm: () => false,
  })
  const deps: LinkDeps = {
    clock,
    log: NOTHING,
    metrics,
    processBudget,
    sockets: createOpenSockets(),
    network: systemNetwork(createLookups()),
    policy: () => undefined,
    random: Math.random,
    health: () => ({ agentVersion: 'crowd', uptimeMs: Math.round(performance.now()), openConnections: 0 }),
  }
  const ports = await Promise.all(clusters.map(({ address }) => openRelay(serverPort, address)))
  wanted = agents
  setInterval(report, REPORT_MS, false)
  begin()
  for (let number = 0; number < agents; number++) {
    await sleep(JOIN_EVERY_MS) // only what follows is to be a storm
    const { cert, key } = clusters[number % clusters.length]!
    const material = { ca, cert, key }
    const servers = createServerSet<Link>({
      hosts: 1,
      baseMs: options.syncIntervalMs,
      capMs: options.syncIntervalCapMs,
    })
    createServerKeeper({
      servers,
      lists: createReplicaLists({ hosts: [{ host: 'relay', port: 1 }], follows: false }),
      hosts: ['relay'],
      clock,
      log: NOTHING,
      random: Math.random,
      metrics,
      open(_host, events) {
        attempts++
        return openLink(
          {
            host: '127.0.0.1',
            port: ports[number % ports.length]!,
            material: () => material,
            protocol: tlsProtocol(options.tlsMinVersion, options.cipherSuites),
            alpn: options.alpnProto,
            tokenFile: '',
            currentToken: () => '',
            agentId: `crowd-${number}`,
            identifiers: '',
            userAgent: 'culvert-proxy-agent/crowd',
            maxMessageBytes: options.maxMessageBytes,
            heartbeatIntervalMs: options.heartbeatIntervalMs,
            heartbeatTimeoutMs: options.heartbeatTimeoutMs,
            probeIntervalMs: options.probeIntervalMs,
            drainQuietMs: options.drainQuietTimeMs,
            dialTimeoutMs: options.endpointDialTimeoutMs,
            hubRanges: [],
            streamBufferBytes: options.streamBufferBytes,
            limits: {
              pendingDials: 10_000,
              connections: 100_000,
              unknownFramesPerMinute: 1_000,
              stock: {
                connectionBytes: options.connectionBufferBytes,
                streamBytes: options.streamBufferBytes,
                slowBytes: options.slowConsumerBytes,
                slowMs: options.slowConsumerTimeMs,
              },
            },
            lanes: 0,
          },
          deps,
          {
            ...events,
            connected(link, ...answer) {
              events.connected(link, ...answer)
              changed(1)
            },
            gone(link, reason, wasConnected) {
              if (wasConnected) changed(-1)
              events.gone(link, reason, wasConnected)
            },
          },
        )
      },
    }).start()
  }
}

function cut(): void {
  begin()
  for (const socket of relayed) socket.resetAndDestroy()
}

process.on('message', (order: CrowdOrder) => {
  if (order.do === 'join') void join(order.job)
  else cut()
})
process.once('disconnect', () => process.exit())
