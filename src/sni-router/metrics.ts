/**
 * What sni-router counts, in its own words, and the Prometheus form of it. The label `route` has the names of the configuration,
 * never what a stranger asks for.
 */
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'
import type { Refusal as BadProbe } from '../platform/endpoints.ts'
import { labelValue, tallyCounter, tallyGauge } from '../platform/tallies.ts'
import type { HelloFault } from './core/hello-reader.ts'
import type { DialFailure } from './dialing.ts'
import type { Bytes, SpliceEnd } from './splice.ts'

/** Why a client was not joined to a backend. */
export type Refusal =
  | HelloFault
  | 'slow' // no whole ClientHello within the time
  | 'left' // it ended before it was joined
  | 'no-proxy-header' // none, or none that makes sense, from an address that must send one
  | 'no-name'
  | 'no-route'
  | 'no-protocol'
  | 'no-backend'
  | 'full' // the limit of all connections
  | 'route-full' // that of its route
  | 'dials-full' // too many of its route wait for a backend
  | 'source-full' // that of the address it comes from
  | 'crowded' // too many have not said yet where they want to go
  | 'shutdown'

/** Of one route, for as long as the configuration has it or a connection of it is open. */
export type RouteTally = {
  open: number
  /** Of these, those that wait for a backend. */
  dialing: number
  readonly bytes: Bytes
  readonly ends: Record<SpliceEnd, number>
  readonly misses: Record<DialFailure, number>
}
export const newTally = (): RouteTally => ({
  open: 0,
  dialing: 0,
  bytes: { fromClients: 0, toClients: 0 },
  ends: { finished: 0, reset: 0, idle: 0, 'half-closed': 0, shutdown: 0 },
  misses: { 'no-backend': 0, refused: 0, timeout: 0, deadline: 0 },
})

export type RouterMetrics = {
  readonly accepted: () => void
  readonly refused: (why: Refusal) => void
  /** @param ms from the accepted connection to the last byte of its ClientHello */
  readonly helloRead: (ms: number) => void
  /** @param ms from there to a connected backend */
  readonly dialed: (ms: number) => void
  readonly reloaded: () => void
  readonly badProbe: (why: BadProbe) => void
}
/** What is read when somebody looks. */
export type RouterState = {
  readonly clients: () => number
  readonly tallies: () => ReadonlyMap<string, RouteTally>
  readonly backends: () => readonly { readonly route: string; readonly up: number; readonly down: number }[]
  readonly configAlarm: () => boolean
}

const SECONDS = [0.001, 0.005, 0.025, 0.1, 0.5, 2.5, 10]

export function createRouterMetrics(state: RouterState): { metrics: RouterMetrics; registry: Registry } {
  const registry = new Registry()
  const registers = [registry]
  collectDefaultMetrics({ register: registry })

  tallyGauge(
    registry,
    'culvert_router_clients',
    'Clients that are connected, joined to a backend or not yet.',
    state.clients,
  )
  tallyGauge(
    registry,
    'culvert_router_config_broken',
    '1 while the configuration is broken and the one before is in use.',
    () => (state.configAlarm() ? 1 : 0),
  )
  labelled('culvert_router_open_connections', 'Clients joined to a backend, or about to be, by route.', ['route'], () =>
    [...state.tallies()].map(([route, { open }]) => [{ route }, open]),
  )
  labelled('culvert_router_backends', 'Addresses of backends, by route and state.', ['route', 'state'], () =>
    state.backends().flatMap(({ route, up, down }) => [
      [{ route, state: 'up' }, up],
      [{ route, state: 'down' }, down],
    ]),
  )

  function labelled(
    name: string,
    help: string,
    labelNames: string[],
    read: () => [Record<string, string>, number][],
  ): void {
    new Gauge({
      ...{ name, help, labelNames, registers },
      collect() {
        this.reset()
        for (const [labels, value] of read()) this.set(labels, value)
      },
    })
  }
  const byRoute = (
    name: string,
    help: string,
    label: string,
    read: (tally: RouteTally) => Record<string, number>,
  ): void =>
    tallyCounter(registry, name, help, ['route', label], () =>
      [...state.tallies()].flatMap(([route, tally]) =>
        Object.entries(read(tally)).map(([word, value]) => ({ labels: { route, [label]: labelValue(word) }, value })),
      ),
    )
  byRoute(
    'culvert_router_connection_ends_total',
    'Ends of joined connections, by route and kind.',
    'how',
    ({ ends }) => ends,
  )
  byRoute(
    'culvert_router_failed_dials_total',
    'Failed tries of backends, and clients with no backend or none before the deadline, by route and reason.',
    'why',
    ({ misses }) => misses,
  )
  byRoute(
    'culvert_router_payload_bytes_total',
    'Bytes passed on, by route and direction.',
    'direction',
    ({ bytes }) => ({
      from_clients: bytes.fromClients,
      to_clients: bytes.toClients,
    }),
  )

  const accepted = new Counter({ name: 'culvert_router_accepted_total', help: 'Connections accepted.', registers })
  const refusals = new Counter({
    ...{ name: 'culvert_router_refused_clients_total', registers },
    help: 'Clients that were joined to no backend, by reason.',
    labelNames: ['why'],
  })
  const reloads = new Counter({
    name: 'culvert_router_reloads_total',
    help: 'Configurations taken since the start.',
    registers,
  })
  const probes = new Counter({
    ...{ name: 'culvert_router_bad_probes_total', registers },
    help: 'Unreadable requests on the health port.',
    labelNames: ['why'],
  })
  const helloSeconds = new Histogram({
    ...{ name: 'culvert_router_hello_seconds', buckets: SECONDS, registers },
    help: 'Time from the accepted connection to its whole ClientHello.',
  })
  const dialSeconds = new Histogram({
    ...{ name: 'culvert_router_dial_seconds', buckets: SECONDS, registers },
    help: 'Time from the ClientHello to a connected backend, where that succeeded.',
  })

  const metrics: RouterMetrics = {
    accepted: () => accepted.inc(),
    refused: (why) => refusals.inc({ why: labelValue(why) }),
    helloRead: (ms) => helloSeconds.observe(ms / 1000),
    dialed: (ms) => dialSeconds.observe(ms / 1000),
    reloaded: () => reloads.inc(),
    badProbe: (why) => probes.inc({ why: labelValue(why) }),
  }
  return { metrics, registry }
}
