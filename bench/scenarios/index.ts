/** All questions, in the order of the table. */
import { besideBulk } from './beside-bulk.ts'
import { bulkDownload } from './bulk-download.ts'
import { bulkUpload } from './bulk-upload.ts'
import { connectRate } from './connect-rate.ts'
import { idleMemory } from './idle-memory.ts'
import { roundTrips } from './round-trips.ts'
import type { Scenario } from './scenario.ts'
import { stalledReaders } from './stalled-readers.ts'

export const scenarios: readonly Scenario[] = [
  bulkDownload,
  bulkUpload,
  roundTrips,
  connectRate,
  besideBulk,
  stalledReaders,
  idleMemory,
]
