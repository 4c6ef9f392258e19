/**
 * What this project asks of itself, beside what was measured: a bar that must be met, and a goal. Pure. A bar that is missed
 * is a finding, not a failure; only lost bytes end a run with 1.
 */
import type { PeerCell, Row } from './table.ts'

/** `ratio`: to the reference, the median of the rounds; `value`: the median itself; `worst`: the worst round. */
type Limit = { readonly of: 'ratio' | 'value' | 'worst' } & ({ readonly least: number } | { readonly most: number })
export type Bar = {
  readonly what: string
  readonly scenario: string
  readonly subject: string
  readonly metric: string
  readonly peer?: string
  readonly must?: Limit
  readonly goal?: Limit
  /** To miss it is to be broken. */
  readonly breaks?: true
}
export type Verdict = {
  readonly bar: Bar
  readonly row: Row | undefined
  readonly cell: PeerCell | undefined
  readonly must: Outcome
  readonly goal: Outcome
}
/** `none`: there is no such limit. */
export type Outcome = 'met' | 'not met' | 'not measured' | 'none'

const OURS = 'ours'
const least = (ratio: number): Limit => ({ of: 'ratio', least: ratio })
const most = (ratio: number): Limit => ({ of: 'ratio', most: ratio })
const value = (highest: number): Limit => ({ of: 'value', most: highest })
const none: Limit = { of: 'worst', most: 0 }

export const bars: readonly Bar[] = [
  ...['1 connection', '8 connections'].flatMap((subject): Bar[] => [
    bar('bulk-download', subject, 'rate', { must: least(2), goal: least(3) }),
    bar('bulk-upload', subject, 'rate', { must: least(1.4), goal: least(1.8) }),
  ]),
  bar('round-trips', '1 connection', 'p50', { must: most(0.85), goal: most(0.65) }),
  bar('round-trips', '32 connections', 'rate', { must: least(1.4), goal: least(2) }),
  bar('connect-rate', '16 at a time, TLS', 'rate', { must: least(0.95), goal: least(1.2) }),
  bar('connect-rate', '16 at a time, Unix socket', 'rate', { must: least(1.2), goal: least(2) }),
  bar('beside-bulk', 'beside 8 downloads', 'p99', { must: most(0.15), goal: most(0.08) }),
  bar('beside-bulk', 'beside 8 downloads', 'bulk meanwhile', { must: least(1.2), goal: least(1.5) }),
  bar('beside-bulk', 'beside 8 uploads', 'p99', { must: most(0.15), goal: most(0.08) }),
  bar('beside-bulk', 'beside 8 uploads', 'bulk meanwhile', { must: least(0.9), goal: least(1.5) }),
  ...['dial p99 : alone', 'round trip p99 : alone'].map((metric) =>
    bar('stalled-readers', 'beside 200 stalled readers', metric, { must: value(1.5), goal: value(1.1) }),
  ),
  ...['clients', 'targets'].map((who) =>
    bar('write-then-close', `1000 transfers of ${who}`, 'bytes lost', { must: none, breaks: true }),
  ),
  ...['TLS', 'Unix socket'].map((kind) =>
    bar('idle-memory', `10000 tunnels, ${kind}`, 'agent, per tunnel', { must: value(10), goal: value(6) }),
  ),
  bar('idle-memory', '10000 tunnels, Unix socket', 'server, per tunnel', { must: value(10), goal: value(6) }),
  bar('idle-memory', '10000 tunnels, TLS', 'server, per tunnel', { must: most(1), goal: value(30) }),
  bar('idle-memory', '10000 tunnels, TLS', 'agent, just started', { must: value(80), goal: value(50) }),
  bar('clusters', '1000 with an agent each', 'all ready', { must: value(30), goal: value(15) }),
  bar('clusters', '1000 with an agent each', 'server processor at heartbeats', { must: value(20), goal: value(10) }),
  ...['download', 'upload'].flatMap((direction): Bar[] => [
    bar('wan', `50 ms, 0 % lost, ${direction}, 1 connection`, 'rate', { must: least(1) }),
    bar('wan', `50 ms, 0 % lost, ${direction}, 8 connections`, 'rate', { must: least(1) }),
    bar('wan', `50 ms, 0.1 % lost, ${direction}, 1 connection`, 'rate', { must: least(1), goal: least(2) }),
    bar('wan', `50 ms, 0.1 % lost, ${direction}, 8 connections`, 'rate', { must: least(3), goal: least(5) }),
  ]),
  ...['floods', 'shakes hands and hangs up'].map((does) =>
    bar('flooding-cluster', `beside 99 idle clusters and one that ${does}`, 'p99 : alone', {
      peer: 'many clusters',
      must: value(1.5),
      goal: value(1.1),
    }),
  ),
  ...['front-door', 'front-door-apart'].flatMap((scenario) =>
    ['all pass it', 'agents alone pass it'].flatMap((who) => [
      ...['download', 'upload'].flatMap((direction) =>
        ['1 connection', '8 connections'].map((count) =>
          throughDoor(scenario, `bulk ${direction}, ${count}, ${who}`, 0.85),
        ),
      ),
      throughDoor(scenario, `CONNECT, request, close, 16 at a time, ${who}`, 0.7),
    ]),
  ),
  ...['download', 'upload'].flatMap((direction) =>
    ['1 connection', '8 connections'].map((count) =>
      throughDoor('front-door', `50 ms, 0 % lost, ${direction}, ${count}`, 0.85),
    ),
  ),
  ...['TLS', 'Unix socket'].map((kind) =>
    bar('workers', `32 at a time, ${kind}, by workers`, 'rate', { peer: '2 workers', must: least(1.2) }),
  ),
  ...[OURS, 'ours+stock', 'stock+ours'].flatMap((peer) => atLeastStock(peer)),
]

/** What speaks with stock peers, or in gRPC mode, is no slower than stock among itself. */
function atLeastStock(peer: string): Bar[] {
  const must = { peer, must: least(1) }
  const grpc = [
    bar('grpc-frontend', 'dial, request, close, 8 at a time', 'rate', must),
    bar('grpc-bulk', 'bulk download, 8 at a time', 'rate', must),
    bar('grpc-bulk', 'bulk upload, 8 at a time', 'rate', must),
  ]
  const roundTrip = bar('grpc-frontend', '128-byte round trips, 1 at a time', 'p50', { peer, must: most(1) })
  if (peer === OURS) return [...grpc, roundTrip]
  return [
    bar('bulk-download', '8 connections', 'rate', must),
    bar('bulk-upload', '8 connections', 'rate', must),
    bar('round-trips', '1 connection', 'p50', { peer, must: most(1) }),
    bar('round-trips', '32 connections', 'rate', must),
    bar('connect-rate', '16 at a time, TLS', 'rate', must),
    bar('connect-rate', '16 at a time, Unix socket', 'rate', must),
    ...grpc,
    roundTrip,
  ]
}

/** @param share of what ours does without a front door */
function throughDoor(scenario: string, subject: string, share: number): Bar {
  return bar(scenario, subject, 'rate', { peer: 'ours+router', must: least(share) })
}

function bar(
  scenario: string,
  subject: string,
  metric: string,
  rest: Omit<Bar, 'what' | 'scenario' | 'subject' | 'metric'>,
): Bar {
  return { what: `${scenario}: ${subject}, ${metric}`, scenario, subject, metric, ...rest }
}

/** Of all bars, also those that nothing was measured for. */
export function judge(rows: readonly Row[]): Verdict[] {
  return bars.map((bar) => {
    const row = rows.find((one) => isOf(bar, one))
    const cell = row?.peers.find(({ peer }) => peer === (bar.peer ?? OURS))
    return { bar, row, cell, must: outcome(bar.must, cell), goal: outcome(bar.goal, cell) }
  })
}

/** Rows in which ours did what it must never do. The rounds count, whatever their number of transfers. */
export function broken(rows: readonly Row[]): Row[] {
  const kinds = bars.filter(({ breaks }) => breaks)
  return rows.filter(
    (row) =>
      kinds.some(({ scenario, metric }) => scenario === row.scenario && metric === row.metric) &&
      row.peers.some(({ peer, summary }) => peer === OURS && summary !== undefined && summary.most !== 0),
  )
}

/** As people write it: `≥ 2.0x`, `≤ 10 KiB`, `0 bytes`. */
export function limitText(limit: Limit | undefined, unit: string): string {
  if (limit === undefined) return '–'
  const [sign, number] = 'least' in limit ? ['≥', limit.least] : ['≤', limit.most]
  return `${number === 0 ? '' : `${sign} `}${number}${limit.of === 'ratio' ? 'x' : ` ${unit}`}`
}

function isOf(bar: Bar, row: Row): boolean {
  return bar.scenario === row.scenario && bar.subject === row.subject && bar.metric === row.metric
}

function outcome(limit: Limit | undefined, cell: PeerCell | undefined): Outcome {
  if (limit === undefined) return 'none'
  const summary = limit.of === 'ratio' ? cell?.ratio : cell?.summary
  const found = limit.of === 'worst' ? summary?.most : summary?.median
  if (found === undefined) return 'not measured'
  if (found === 'no answer') return 'not met'
  return ('least' in limit ? found >= limit.least : found <= limit.most) ? 'met' : 'not met'
}
