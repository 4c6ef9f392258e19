/** All questions, in the order of the table. */
import { besideBulk } from './beside-bulk.ts'
import { bulkDownload } from './bulk-download.ts'
import { bulkUpload } from './bulk-upload.ts'
import { clusters } from './clusters.ts'
import { connectRate } from './connect-rate.ts'
import { floodingCluster } from './flooding-cluster.ts'
import { frontDoor, frontDoorApart } from './front-door.ts'
import { grpcBulk } from './grpc-bulk.ts'
import { grpcFrontend } from './grpc-frontend.ts'
import { idleMemory } from './idle-memory.ts'
import { messageSizes } from './message-sizes.ts'
import { roundTrips } from './round-trips.ts'
import type { Scenario } from './scenario.ts'
import { stalledReaders } from './stalled-readers.ts'
import { wan } from './wan.ts'
import { workers } from './workers.ts'
import { writeThenClose } from './write-then-close.ts'

export const scenarios: readonly Scenario[] = [
  bulkDownload,
  bulkUpload,
  roundTrips,
  messageSizes,
  connectRate,
  grpcFrontend,
  grpcBulk,
  besideBulk,
  stalledReaders,
  writeThenClose,
  idleMemory,
  clusters,
  floodingCluster,
  frontDoor,
  frontDoorApart,
  workers,
  wan,
]
