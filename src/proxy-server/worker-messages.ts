/** What a server and its worker processes tell each other. Both are of one version: they are one program. */
import type { Socket } from 'node:net'
import type { MetricObjectWithValues, MetricValue } from 'prom-client'
import type { AuditRecord } from '../audit/record.ts'
import type { Answer } from '../platform/endpoints.ts'
import type { Level } from '../platform/log-routes.ts'
import type { FileText } from '../platform/watched.ts'
import type { FleetFact } from './core/fleet-feed.ts'
import type { WorkerReport } from './core/worker-set.ts'
import type { Entrance } from './frontend-admission.ts'
import type { Port } from './metrics.ts'
import type { ServerOptions } from './options.ts'

/** What can be asked of a worker, by path: what its admin port would answer, if it had one, and its metrics as JSON. */
export type Question = { readonly path: string; readonly search: string }
export type Figures = readonly MetricObjectWithValues<MetricValue<string>>[]
export const FIGURES_PATH = '/figures'

export type Order =
  /** The first one. */
  | {
      readonly do: 'start'
      readonly options: ServerOptions
      readonly slot: number
      /** Texts of the clusters, or of the policy, that the others have in use. */
      readonly inUse?: readonly FileText[] | undefined
    }
  /** The connection comes with it, numbered. */
  | { readonly do: 'take'; readonly port: Port; readonly number: number; readonly entrance?: Entrance }
  /** It comes behind that connection: whether or not it could be received, it is asked for `took`. */
  | { readonly do: 'say-took'; readonly number: number }
  | { readonly do: 'drain'; readonly signal: string }
  /** Nobody is given to it any more. */
  | { readonly do: 'dismiss' }
  /** The end, whatever is open. */
  | { readonly do: 'stop'; readonly signal: string }
  | { readonly do: 'answer'; readonly id: number; readonly question: Question }
  | { readonly do: 'forget'; readonly id: number }

export type Report =
  | { readonly is: 'up' }
  /** It cannot start with these options. */
  | { readonly is: 'refused'; readonly problems: string }
  | ({ readonly is: 'state' } & WorkerReport)
  | { readonly is: 'took'; readonly number: number }
  | { readonly is: 'quiet' }
  | { readonly is: 'answer'; readonly id: number; readonly answer: Answer }
  | { readonly is: 'log'; readonly line: string; readonly level: Level }
  /** @param lost so many before it, for which there was no room on the way */
  | { readonly is: 'audit'; readonly record: AuditRecord; readonly lost: number }
  | { readonly is: 'fleet'; readonly fact: FleetFact }
  /** The last one: what it has counted. */
  | { readonly is: 'left'; readonly figures: Figures }

/** A worker's end. */
export type Orders = {
  readonly report: (report: Report, sent?: () => void) => void
  readonly onOrder: (act: (order: Order, connection: Socket | undefined) => void) => void
  /** The other process has ended. */
  readonly onLost: (act: () => void) => void
}
