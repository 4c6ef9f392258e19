/**
 * Profiles of the running program on its admin port, under the paths and in the format of Go's net/http/pprof, taken by V8:
 * docs/profiling.md. Loaded only when it is asked for; taking a CPU profile costs nothing while none is taken.
 */
import { Session } from 'node:inspector/promises'
import { promisify } from 'node:util'
import { gzip } from 'node:zlib'
import type { Clock } from './clock.ts'
import { type Answer, type Asked, moved, type Route, type Routes } from './endpoints.ts'
import { watchLoopDelay } from './profiling-loop-delay.ts'
import { type Profiled, writePprof } from './profiling-pprof.ts'
import { cpuSamples, heapSamples } from './profiling-v8.ts'

export const profilingLimits = {
  /** Of a CPU profile whose length is not given: Go's. */
  defaultSeconds: 30,
  maxSeconds: 300,
}
/** Between two samples of the CPU profile: microseconds. Go's. */
const CPU_INTERVAL_US = 10_000
/** Between two samples of the heap: bytes allocated. Go's. */
const HEAP_INTERVAL_BYTES = 524_288
const ROOT = '/debug/pprof'

export type ProfilingDeps = {
  readonly clock: Clock
  /** Profiles under way are answered early with what they have, new ones refused. */
  readonly stop: AbortSignal
  /** Serves `block` as well. */
  readonly contention: boolean
}

/** Disposing it ends all sampling. */
export type Profiling = Disposable & { readonly routes: Routes }

export async function startProfiling({ clock, stop, contention }: ProfilingDeps): Promise<Profiling> {
  const session = new Session()
  session.connect()
  await session.post('HeapProfiler.enable')
  await session.post('HeapProfiler.startSampling', { samplingInterval: HEAP_INTERVAL_BYTES })
  const loopDelay = contention ? watchLoopDelay(clock) : undefined
  const started = { unixMs: clock.unixMs(), ms: clock.now() }
  let taking = false // V8 has one CPU profiler

  async function cpu({ query, gone }: Asked): Promise<Answer> {
    const seconds = secondsIn(query) ?? profilingLimits.defaultSeconds
    const { maxSeconds } = profilingLimits
    if (seconds > maxSeconds) return failed(400, `seconds must be at most ${maxSeconds}`)
    if (stop.aborted) return failed(503, 'the program is shutting down')
    if (taking) return failed(500, 'Could not enable CPU profiling: cpu profiling already in use')
    taking = true
    try {
      const [startedUnixMs, startMs] = [clock.unixMs(), clock.now()]
      await session.post('Profiler.enable')
      await session.post('Profiler.setSamplingInterval', { interval: CPU_INTERVAL_US })
      await session.post('Profiler.start')
      await passed(clock, seconds * 1_000, [gone, stop])
      const { profile } = await session.post('Profiler.stop')
      await session.post('Profiler.disable')
      return file('profile', {
        measures: [
          ['samples', 'count'],
          ['cpu', 'nanoseconds'],
        ],
        samples: cpuSamples(profile, CPU_INTERVAL_US),
        period: CPU_INTERVAL_US * 1_000,
        periodMeasure: ['cpu', 'nanoseconds'],
        startedUnixMs,
        durationMs: clock.now() - startMs,
        comments: ['the JavaScript thread of Node; (program) is native code'],
      })
    } finally {
      taking = false
    }
  }

  async function heap({ query }: Asked): Promise<Answer> {
    if (Number(query.get('gc')) > 0) await session.post('HeapProfiler.collectGarbage')
    const { profile } = await session.post('HeapProfiler.getSamplingProfile')
    const comments = Object.entries(process.memoryUsage()).map(([name, bytes]) => `${name} ${bytes} bytes`)
    return file('heap', {
      measures: [['inuse_space', 'bytes']],
      samples: heapSamples(profile),
      period: HEAP_INTERVAL_BYTES,
      periodMeasure: ['space', 'bytes'],
      ...sinceStart(),
      comments: [...comments, 'of the heap of V8: buffers lie outside of it'],
    })
  }

  async function block(): Promise<Answer> {
    if (!loopDelay) return failed(404, 'there is no such profile without --enable-contention-profiling')
    return file('block', {
      measures: [
        ['contentions', 'count'],
        ['delay', 'nanoseconds'],
      ],
      samples: loopDelay.samples(),
      period: 1,
      periodMeasure: ['contentions', 'count'],
      ...sinceStart(),
      comments: ['how much too late a timer came that was due every 10 ms'],
    })
  }

  const sinceStart = (): Pick<Profiled, 'startedUnixMs' | 'durationMs'> => ({
    startedUnixMs: started.unixMs,
    durationMs: clock.now() - started.ms,
  })

  return {
    routes: {
      [ROOT]: () => moved(`${ROOT}/`),
      [`${ROOT}/`]: () => ({
        status: 200,
        body: INDEX,
        headers: { ...NO_SNIFFING, 'Content-Type': 'text/html; charset=utf-8' },
      }),
      [`${ROOT}/profile`]: cpu,
      [`${ROOT}/heap`]: wholeAndBinary(heap),
      [`${ROOT}/block`]: wholeAndBinary(block),
      [`${ROOT}/symbol`]: () => ({ status: 200, body: 'num_symbols: 0\n', headers: NO_SNIFFING }), // names are in the files
      [`${ROOT}/trace`]: () => failed(501, NO_TRACE),
      ...Object.fromEntries(ONLY_IN_GO.map((name) => [`${ROOT}/${name}`, () => failed(404, 'Unknown profile')])),
    },
    [Symbol.dispose]() {
      loopDelay?.[Symbol.dispose]()
      session.disconnect()
    },
  }
}

const NO_SNIFFING = { 'X-Content-Type-Options': 'nosniff' }
const NO_TRACE = 'a trace of goroutines cannot be had of a Node program: take a profile'
const ONLY_IN_GO = ['allocs', 'cmdline', 'goroutine', 'mutex', 'threadcreate']

const INDEX = `<!doctype html>
<title>${ROOT}/</title>
<h1>Profiles of this program</h1>
<dl>
<dt><a href="profile?seconds=30">profile</a><dd>CPU profile of the JavaScript thread, for as many seconds as asked for
<dt><a href="heap">heap</a><dd>What is alive on the heap, by what allocated it; with <a href="heap?gc=1">gc=1</a> after a collection
<dt><a href="block">block</a><dd>How long the event loop was held up; needs --enable-contention-profiling
</dl>
<p>Read them with <code>go tool pprof -http=: http://…${ROOT}/profile</code>.
`

/** As Go reads it: what is no positive whole number was not given. */
function secondsIn(query: URLSearchParams): number | undefined {
  const given = query.get('seconds') ?? ''
  return /^\+?\d+$/.test(given) && Number(given) > 0 ? Number(given) : undefined
}

/** These profiles are of the whole time since the start, and have no text form. */
function wholeAndBinary(route: Route): Route {
  return (asked) => {
    if (asked.query.get('seconds')) return failed(400, '"seconds" parameter is not supported for this profile type')
    if (Number(asked.query.get('debug'))) return failed(400, 'there is no text form of this profile: leave out "debug"')
    return route(asked)
  }
}

/** Fulfilled after the time, or as soon as one of the signals aborts. */
function passed(clock: Clock, ms: number, signals: readonly AbortSignal[]): Promise<void> {
  return new Promise((resolve) => {
    const timer = clock.after(ms, resolve)
    const early = AbortSignal.any([...signals])
    const end = (): void => {
      timer[Symbol.dispose]()
      resolve()
    }
    if (early.aborted) end()
    else early.addEventListener('abort', end, { once: true })
  })
}

async function file(name: string, profiled: Profiled): Promise<Answer> {
  const headers = { ...NO_SNIFFING, 'Content-Type': 'application/octet-stream' }
  const body = await promisify(gzip)(writePprof(profiled))
  return { status: 200, body, headers: { ...headers, 'Content-Disposition': `attachment; filename="${name}"` } }
}

/** The header tells `go tool pprof` that the text is for people. */
function failed(status: number, text: string): Answer {
  return { status, body: `${text}\n`, headers: { ...NO_SNIFFING, 'X-Go-Pprof': '1' } }
}
