import t from 'tap'
import { createHealthReport, type HealthReport, type HealthSources } from '../../src/proxy-agent/health.ts'

/** Long enough for a few samples. */
const SAMPLING_MS = 100
const BLOCK_MS = 1_000

let uptimeMs = 1_000.6
const sources: HealthSources = {
  version: '1.2.3',
  uptimeMs: () => uptimeMs,
  connections: () => 4,
  bytes: { fromSockets: 10, toSockets: 20 },
  certificateSeconds: () => undefined,
  policyVersion: () => undefined,
}

/** The delay in a report that is made a window later, when samples have been taken. */
async function delayOf(report: HealthReport): Promise<number | undefined> {
  await new Promise((resolve) => setTimeout(resolve, SAMPLING_MS))
  uptimeMs += 1_000
  return report.read(undefined).eventLoopDelayP99Us
}

function block(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}

t.test('says what it knows, in whole numbers', async (t) => {
  using report = createHealthReport({
    ...sources,
    certificateSeconds: () => 86_400 * 3 - 1,
    policyVersion: () => '00000000ff10',
  })
  t.match(report.read(1.2345), {
    agentVersion: '1.2.3',
    uptimeMs: 1_001,
    openConnections: 4,
    bytesToTargets: 20,
    bytesFromTargets: 10,
    certificateDaysLeft: 2,
    policyVersion: 65_296,
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
  t.type(await delayOf(report), 'number')
  await new Promise((resolve) => setTimeout(resolve, SAMPLING_MS))
  block(BLOCK_MS) // longer than a machine that does something else would hold up the next window
  const late = (await delayOf(report)) ?? 0
  t.ok(late > 900_000, `${late} µs of at least 980,000`)
  const calm = (await delayOf(report)) ?? 0
  t.ok(calm < late, `${calm} µs, without what was told before`)
})

t.test('tells each of several links the same, when they ask one after the other', async (t) => {
  using report = createHealthReport(sources)
  await new Promise((resolve) => setTimeout(resolve, SAMPLING_MS))
  block(150)
  const late = await delayOf(report)
  t.equal(report.read(undefined).eventLoopDelayP99Us, late, 'no sample was taken since')
  await new Promise((resolve) => setTimeout(resolve, SAMPLING_MS))
  t.equal(report.read(undefined).eventLoopDelayP99Us, late, 'only a few were')
})

t.test('takes no samples once it is disposed of', async (t) => {
  const report = createHealthReport(sources)
  report[Symbol.dispose]()
  t.equal(await delayOf(report), undefined)
})
