import t from 'tap'
import type { AuditRecord } from '../../src/audit/record.ts'
import { createAuditReports } from '../../src/proxy-server/audit-reports.ts'
import type { Report } from '../../src/proxy-server/worker-messages.ts'

const record: AuditRecord = { event: 'dial', reason: 'x' }
const { length: bytes } = JSON.stringify(record)

t.test('keeps no more on their way than fits, and says with the next one how many were lost', async (t) => {
  const reports: Report[] = []
  const underWay: (() => void)[] = []
  const report = (one: Report, sent = (): void => undefined): void => {
    reports.push(one)
    underWay.push(sent)
  }
  const audit = createAuditReports({ report }, 2 * bytes)
  for (let count = 0; count < 5; count++) audit(record)
  t.strictSame(reports, [
    { is: 'audit', record, lost: 0 },
    { is: 'audit', record, lost: 0 },
  ])
  underWay.shift()?.()
  for (let count = 0; count < 2; count++) audit(record)
  t.strictSame(reports.slice(2), [{ is: 'audit', record, lost: 3 }])
  for (const sent of underWay.splice(0)) sent()
  audit(record)
  audit(record)
  t.strictSame(reports.slice(3), [
    { is: 'audit', record, lost: 1 },
    { is: 'audit', record, lost: 0 },
  ])
})
