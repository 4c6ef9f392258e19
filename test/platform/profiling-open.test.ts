import t, { type Test } from 'tap'
import { openProfiling, type ProfilingFlags } from '../../src/platform/profiling-open.ts'
import { asked } from './asked.ts'
import { manualClock } from './manual-clock.ts'

async function open(t: Test, flags: ProfilingFlags, stop = new AbortController().signal) {
  const profiling = await openProfiling(flags, manualClock(), stop)
  t.teardown(() => profiling?.[Symbol.dispose]())
  return async (name: string) => (await profiling?.routes[`/debug/pprof/${name}`]?.(asked({})))?.status
}

t.test('there is none where nobody has asked for it', async (t) => {
  for (const enableContentionProfiling of [false, true]) {
    t.equal(
      await openProfiling(
        { enableProfiling: false, enableContentionProfiling },
        manualClock(),
        new AbortController().signal,
      ),
      undefined,
    )
  }
})

t.test('serves the profile of the event loop where that was asked for too', async (t) => {
  const without = await open(t, { enableProfiling: true, enableContentionProfiling: false })
  t.strictSame([await without('heap'), await without('block')], [200, 404])
  const having = await open(t, { enableProfiling: true, enableContentionProfiling: true })
  t.equal(await having('block'), 200)
})

t.test('takes no profile for a program that stops', async (t) => {
  const ask = await open(t, { enableProfiling: true, enableContentionProfiling: false }, AbortSignal.abort())
  t.equal(await ask('profile'), 503)
})
