import t from 'tap'
import { createHealthReport, type HealthSources } from '../../src/proxy-agent/health.ts'

const BETWEEN_READINGS_MS = 100

const sources: HealthSources = {
  version: '1.2.3',
  uptimeMs: () => 1_000.6,
  connections: () => 4,
  bytes: { fromSockets: 10, toSockets: 20 },
  certificateSeconds: () => undefined,
}

/** Reads until there is something; each reading begins the sampling anew, which needs two of its intervals. */
async function until<T>(read: () => T | undefined): Promise<T> {
  for (const end = performance.now() + 10_000; performance.now() < end; ) {
    const value = read()
    if (value !== undefined) return value
    await new Promise((resolve) => setTimeout(resolve, BETWEEN_READINGS_MS))
  }
  throw new Error('no sample was taken')
}

t.test('says what it knows, in whole numbers', async (t) => {
  using report = createHealthReport({ ...sources, certificateSeconds: () => 86_400 * 3 - 1 })
  t.match(report.read(1.2345), {
    agentVersion: '1.2.3',
    uptimeMs: 1_001,
    openConnections: 4,
    bytesToTargets: 20,
    bytesFromTargets: 10,
    certificateDaysLeft: 2,
    roundTripUs: 1_235,
  })
})

t.test('leaves out what it does not know, and never says zero for it', async (t) => {
  using report = createHealthReport(sources)
  const health = report.read(undefined)
  t.strictSame(Object.keys(health).sort(), [
    'agentVersion',
    'bytesFromTargets',
    'bytesToTargets',
    'openConnections',
    'uptimeMs',
  ])
})

t.test('says of a certificate that it is no longer good', async (t) => {
  using report = createHealthReport({ ...sources, certificateSeconds: () => -1 })
  t.equal(report.read(undefined).certificateDaysLeft, -1)
})

t.test('measures how late the event loop is, since the report before', async (t) => {
  using report = createHealthReport(sources)
  await until(() => report.read(undefined).eventLoopDelayP99Us)
  await new Promise((resolve) => setTimeout(resolve, BETWEEN_READINGS_MS))
  const busyUntil = performance.now() + 150
  while (performance.now() < busyUntil);
  await new Promise((resolve) => setTimeout(resolve, BETWEEN_READINGS_MS))
  const late = report.read(undefined).eventLoopDelayP99Us ?? 0
  t.ok(late > 100_000, `${late} µs of at least 130,000`)
  t.equal(report.read(undefined).eventLoopDelayP99Us, undefined, 'no sample since')
})

t.test('takes no samples once it is disposed of', async (t) => {
  const report = createHealthReport(sources)
  await until(() => report.read(undefined).eventLoopDelayP99Us)
  report[Symbol.dispose]()
  report.read(undefined)
  await new Promise((resolve) => setTimeout(resolve, BETWEEN_READINGS_MS))
  t.equal(report.read(undefined).eventLoopDelayP99Us, undefined)
})
