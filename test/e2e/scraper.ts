/**
 * Scrapes as Prometheus does, but a given number at a given rate: over one HTTP/2 connection to kube-apiserver for each job,
 * with Prometheus' headers and its default timeout. A scrape starts when its time has come, whatever became of those before.
 *
 *   node scraper.ts <file with a Plan>    prints a Report as JSON
 */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { writeFile } from 'node:fs/promises'
import { type ClientHttp2Session, connect } from 'node:http2'
import { setTimeout as delay } from 'node:timers/promises'
import { promisify } from 'node:util'
import { gunzipSync } from 'node:zlib'

/** Prometheus' `scrape_timeout` when nothing is configured. */
const SCRAPE_TIMEOUT_MS = 10_000
const BODY_LIMIT_BYTES = 4 * 1024 * 1024
const REPORT_LIMIT_BYTES = 1024 * 1024
const run = promisify(execFile)

/** @param expects a part of the right answer, which no other target gives */
export type Target = { readonly job: string; readonly path: string; readonly expects: string }
export type Plan = {
  readonly origin: string
  readonly caFile: string
  readonly tokenFile: string
  readonly targets: readonly Target[]
  readonly scrapes: number
  readonly perSecond: number
}
export type Report = {
  readonly succeeded: number
  /** How many by what went wrong. */
  readonly failures: Readonly<Record<string, number>>
  readonly tookMs: number
  readonly medianMs: number
  readonly p99Ms: number
  readonly slowestMs: number
}

/** Runs the scrapes in a network namespace. @param planFile is written; deadline: the time they take, and twice the timeout */
export async function scrape(namespace: string, planFile: string, plan: Plan): Promise<Report> {
  await writeFile(planFile, JSON.stringify(plan))
  const command = ['netns', 'exec', namespace, process.execPath, import.meta.filename, planFile]
  const timeout = Math.ceil((plan.scrapes / plan.perSecond) * 1_000) + 2 * SCRAPE_TIMEOUT_MS
  const { stdout } = await run('ip', command, { timeout, maxBuffer: REPORT_LIMIT_BYTES })
  return JSON.parse(stdout)
}

type Session = { readonly open: () => ClientHttp2Session }

/** The connection of one job, made anew when it was closed. */
function sessionOf({ origin, caFile }: Plan): Session {
  const ca = readFileSync(caFile)
  let session: ClientHttp2Session | undefined
  return {
    open: () => {
      if (session === undefined || session.closed || session.destroyed) {
        session = connect(origin, { ca })
        session.on('error', () => undefined) // told by the requests that it breaks
      }
      return session
    },
  }
}

/** What went wrong, or undefined. */
async function scrapeOnce(
  session: ClientHttp2Session,
  token: string,
  { path, expects }: Target,
): Promise<string | undefined> {
  const request = session.request(
    {
      ':path': path,
      authorization: `Bearer ${token}`,
      accept: 'application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1',
      'accept-encoding': 'gzip',
      'user-agent': 'Prometheus/3.13.5',
      'x-prometheus-scrape-timeout-seconds': String(SCRAPE_TIMEOUT_MS / 1_000),
    },
    { signal: AbortSignal.timeout(SCRAPE_TIMEOUT_MS) },
  )
  let status: number | undefined
  let encoding: string | undefined
  request.on('response', (headers) => {
    status = headers[':status']
    encoding = headers['content-encoding']
  })
  const body: Buffer[] = []
  let bytes = 0
  try {
    for await (const chunk of request) {
      body.push(chunk)
      bytes += chunk.length
      if (bytes > BODY_LIMIT_BYTES) return 'the answer is too long'
    }
    const text = (encoding === 'gzip' ? gunzipSync(Buffer.concat(body)) : Buffer.concat(body)).toString()
    if (status !== 200) return `status ${status}: ${text.slice(0, 300)}`
    return text.includes(expects) ? undefined : 'the answer of another target, or not all of it'
  } catch (error) {
    const { name, message } = error as Error
    return name === 'AbortError' ? 'timeout' : message
  }
}

async function scrapeAll(plan: Plan): Promise<Report> {
  const token = readFileSync(plan.tokenFile, 'utf8').trim()
  const sessions = new Map(plan.targets.map(({ job }) => [job, sessionOf(plan)]))
  const failures: Record<string, number> = {}
  const durationsMs: number[] = []
  const start = performance.now()

  async function scrapeInTime(index: number, target: Target): Promise<void> {
    const dueMs = (index * 1_000) / plan.perSecond
    await delay(start + dueMs - performance.now())
    const before = performance.now()
    const failure = await scrapeOnce(sessions.get(target.job)!.open(), token, target)
    durationsMs.push(performance.now() - before)
    if (failure !== undefined) failures[failure] = (failures[failure] ?? 0) + 1
  }

  const targets = Array.from({ length: plan.scrapes }, (_, index) => plan.targets[index % plan.targets.length]!)
  await Promise.all(targets.map((target, index) => scrapeInTime(index, target)))
  const tookMs = performance.now() - start
  for (const session of sessions.values()) session.open().close()
  const failed = Object.values(failures).reduce((sum, count) => sum + count, 0)
  durationsMs.sort((a, b) => a - b)
  const quantile = (share: number): number => Math.round(durationsMs[Math.floor(share * (durationsMs.length - 1))] ?? 0)
  return {
    succeeded: plan.scrapes - failed,
    failures,
    tookMs: Math.round(tookMs),
    medianMs: quantile(0.5),
    p99Ms: quantile(0.99),
    slowestMs: quantile(1),
  }
}

if (import.meta.main) {
  const plan: Plan = JSON.parse(readFileSync(process.argv[2] ?? '', 'utf8'))
  process.stdout.write(JSON.stringify(await scrapeAll(plan)))
}
