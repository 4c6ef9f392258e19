/** Records of a worker on their way to the process that writes them: no more may wait than that one keeps; what is lost is told. */
import { MAX_HELD_BYTES } from '../audit/audit-file.ts'
import type { Audit } from '../audit/record.ts'
import type { Orders } from './worker-messages.ts'

export function createAuditReports({ report }: Pick<Orders, 'report'>, maxBytes = MAX_HELD_BYTES): Audit {
  let waitingBytes = 0
  let lost = 0 // since the last that was sent
  return (record) => {
    const { length: bytes } = JSON.stringify(record)
    if (waitingBytes + bytes > maxBytes) {
      lost++
      return
    }
    waitingBytes += bytes
    const sent = (): void => {
      waitingBytes -= bytes
    }
    report({ is: 'audit', record, lost }, sent)
    lost = 0
  }
}
