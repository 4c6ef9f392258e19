import type { HeapProfiler, Profiler, Runtime } from 'node:inspector'
import t from 'tap'
import { cpuSamples, heapSamples } from '../../src/platform/profiling-v8.ts'

const call = (functionName: string, url = '', lineNumber = -1): Runtime.CallFrame => ({
  functionName,
  url,
  lineNumber,
  columnNumber: 0,
  scriptId: '1',
})
const SEND = call('send', 'file:///opt/culvert/src/tunnel/sending.ts', 41)
const EMIT = call('emit', 'node:events', 99)

function profile(nodes: Profiler.ProfileNode[]): Profiler.Profile {
  return { nodes, startTime: 0, endTime: 1 }
}
const shown = (samples: ReturnType<typeof cpuSamples>) =>
  samples.map(({ stack, values }) => [stack.map(({ name, line }) => `${name} ${line}`).join(' < '), ...values])

t.test('counts ticks by line, and their time, with the callers behind', async (t) => {
  const samples = cpuSamples(
    profile([
      { id: 1, callFrame: call('(root)'), children: [2, 4] },
      { id: 2, callFrame: EMIT, hitCount: 1, children: [3], positionTicks: [{ line: 110, ticks: 1 }] },
      {
        id: 3,
        callFrame: SEND,
        hitCount: 6,
        positionTicks: [
          { line: 44, ticks: 2 },
          { line: 47, ticks: 3 },
        ],
      },
      { id: 4, callFrame: SEND, hitCount: 1 },
    ]),
    10_000,
  )
  t.strictSame(shown(samples), [
    ['node:events:emit 110', 1, 10_000_000],
    ['tunnel/sending.ts:send 44 < node:events:emit 100', 2, 20_000_000],
    ['tunnel/sending.ts:send 47 < node:events:emit 100', 3, 30_000_000],
    ['tunnel/sending.ts:send 42 < node:events:emit 100', 1, 10_000_000], // of a line that V8 does not tell
    ['tunnel/sending.ts:send 42', 1, 10_000_000],
  ])
  t.strictSame(samples[4]?.stack, [
    { name: 'tunnel/sending.ts:send', file: '/opt/culvert/src/tunnel/sending.ts', startLine: 42, line: 42 },
  ])
})

t.test('leaves out waiting, and keeps native code and garbage collection', async (t) => {
  const samples = cpuSamples(
    profile([
      { id: 1, callFrame: call('(root)'), hitCount: 1, children: [2, 3, 4] },
      { id: 2, callFrame: call('(idle)'), hitCount: 100 },
      { id: 3, callFrame: call('(program)'), hitCount: 2 },
      { id: 4, callFrame: call('(garbage collector)'), hitCount: 3 },
    ]),
    1_000,
  )
  t.strictSame(shown(samples), [
    ['(root) 0', 1, 1_000_000],
    ['(program) 0', 2, 2_000_000],
    ['(garbage collector) 0', 3, 3_000_000],
  ])
})

t.test('names a function by its file, and one without a name by its line', async (t) => {
  const names = [
    call('', 'file:///opt/culvert/src/cli/proxy-server.ts', 9),
    call('get', 'node:internal/http2/core', 1),
    call('inc', 'file:///opt/culvert/node_modules/prom-client/lib/counter.js', 1),
    call('now'),
    call('eval', 'other:thing', 0),
  ].map((callFrame, index) => ({ id: index + 1, callFrame, hitCount: 1 }))
  t.strictSame(
    cpuSamples(profile(names), 1).map(({ stack }) => stack[0]?.name),
    [
      'cli/proxy-server.ts:(anonymous:10)',
      'node:internal/http2/core:get',
      'lib/counter.js:inc',
      'now',
      'other:thing:eval',
    ],
  )
})

t.test('gives the bytes that each stack holds', async (t) => {
  type Node = HeapProfiler.SamplingHeapProfileNode
  const node = (callFrame: Runtime.CallFrame, selfSize: number, ...children: Node[]): Node => {
    return { callFrame, selfSize, children }
  }
  const head = node(call('(root)'), 5, node(EMIT, 0, node(SEND, 1_024)), node(SEND, 2_048))
  t.strictSame(shown(heapSamples({ head })), [
    ['', 5],
    ['tunnel/sending.ts:send 42 < node:events:emit 100', 1_024],
    ['tunnel/sending.ts:send 42', 2_048],
  ])
})
