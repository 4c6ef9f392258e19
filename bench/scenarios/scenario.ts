/** What a benchmark asks. A new question is one file beside this one and a line in index.ts. */
import type { Load } from '../load/load.ts'
import type { FrontendKind, RunningPeer } from '../peers/peer.ts'

export type Metric = {
  readonly name: string
  readonly unit: 'MB/s' | '/s' | 'µs' | 'ms' | 'ms/GB' | 'KiB' | 'MiB' | 's' | '%' | '% of a core' | 'bytes' | 'times'
  readonly better: 'more' | 'less'
}
/** What server and agent spend; unlike rates, it does not depend on what else uses the machine's processors. */
export const processorMetrics = (unit: Metric['unit']): readonly Metric[] => [
  { name: 'server processor', unit, better: 'less' },
  { name: 'agent processor', unit, better: 'less' },
]
/** `no answer`: the peer let the deadline pass; slower than any number. */
export type Reading = number | 'no answer'

export type Case = {
  readonly label: string
  /** Cases of one series differ in size only: their growth is reported. */
  readonly series: string
  readonly size: number
  readonly frontend: FrontendKind
  /** shared: one start of the peer serves all rounds. fresh: every round gets its own, which it may ruin. */
  readonly start: 'shared' | 'fresh'
  /** Between server and agent; absent: loopback. */
  readonly path?: WanPath
  /** A front door has a processor of its own, and all else shares one other. */
  readonly doorApart?: true
  readonly rounds: number
  readonly metrics: readonly Metric[]
  /** One round: a reading for each metric, in their order. */
  readonly measure: (peer: RunningPeer, load: Load) => Promise<readonly Reading[]>
}

/** A long way: what it takes there and back, and the share of packets that get lost on it. */
export type WanPath = { readonly roundTripMs: number; readonly loss: number }

/**
 * Who is asked, unless the command line says: ours and stock, and besides in a full run
 *
 *   mixed     each end of ours with the other of stock
 *   bulk      these, and two plain TLS pipes
 *   workers   instead: our server with one worker, and with two
 *   tenants   instead: our server with many clusters
 *   front-door  instead: ours without a front door, behind our router, behind HAProxy
 */
export type Lineup = 'pair' | 'mixed' | 'bulk' | 'workers' | 'tenants' | 'front-door'
/** Those that bring peers of their own, whatever the command line says. */
export const ownLineups: readonly (Lineup | undefined)[] = ['workers', 'tenants', 'front-door']

export type Scenario = {
  readonly name: string
  readonly question: string
  /** Default: pair. */
  readonly lineup?: Lineup
  /** Too long for a quick run, unless it is named. */
  readonly askedByName?: true
  readonly cases: (effort: Effort) => readonly Case[]
}

/** How long to look. */
export type Effort = {
  readonly rounds: number
  /** Fewer where a round starts the peer anew, or measures what hardly varies. */
  readonly stalledRounds: number
  readonly memoryRounds: number
  readonly wanRounds: number
  readonly warmUpMs: number
  readonly windowMs: number
  /** Sizes to ask about: one in a quick run, three in a full one, so that growth shows. */
  readonly bulkConnections: readonly number[]
  readonly exchangesAtOnce: readonly number[]
  readonly messageBytes: readonly number[]
  readonly dialsAtOnce: readonly number[]
  readonly idleTunnels: readonly number[]
  /** Over a thousand, on one machine, meet the limit of the kernel for all of TCP (tcp_mem), which drops what the tunnel carries. */
  readonly stalledReaders: readonly number[]
  readonly besideBulk: readonly ('downloads' | 'uploads')[]
  readonly grpcConnections: readonly number[]
  /** That are written and closed, for each round. */
  readonly transfers: readonly number[]
  readonly clusters: readonly number[]
  /** How long their heartbeats are looked at. An agent has one every 5 s. */
  readonly steadyMs: number
  readonly wan: readonly WanCase[]
}
export type WanCase = WanPath & { readonly connections: number; readonly windowMs: number }

const PATH = { roundTripMs: 50 }

export const quickEffort: Effort = {
  rounds: 4,
  stalledRounds: 2,
  memoryRounds: 1,
  wanRounds: 1,
  warmUpMs: 60,
  windowMs: 400,
  bulkConnections: [1, 8],
  exchangesAtOnce: [1, 32],
  messageBytes: [65_536],
  dialsAtOnce: [16],
  idleTunnels: [1_000],
  stalledReaders: [200],
  besideBulk: ['downloads', 'uploads'],
  grpcConnections: [16],
  transfers: [100],
  clusters: [100],
  steadyMs: 10_000,
  wan: [{ ...PATH, loss: 0, connections: 8, windowMs: 2_000 }],
}

export const fullEffort: Effort = {
  rounds: 7,
  stalledRounds: 5,
  memoryRounds: 3,
  wanRounds: 5,
  warmUpMs: 300,
  windowMs: 1_000,
  bulkConnections: [1, 8, 32],
  exchangesAtOnce: [1, 32, 128],
  messageBytes: [128, 4_096, 65_536],
  dialsAtOnce: [1, 16, 64],
  idleTunnels: [1_000, 3_000, 10_000],
  stalledReaders: [0, 10, 50, 100, 200],
  besideBulk: ['downloads', 'uploads'],
  grpcConnections: [1, 8, 32],
  transfers: [1_000],
  clusters: [100, 300, 1_000],
  steadyMs: 20_000,
  wan: [0, 0.001].flatMap((loss) => [1, 8].map((connections) => ({ ...PATH, loss, connections, windowMs: 8_000 }))),
}
