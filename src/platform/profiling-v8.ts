/** V8's profiles as stacks with figures. Pure. Source: the domains Profiler and HeapProfiler of V8's inspector protocol. */
import type { HeapProfiler, Profiler, Runtime } from 'node:inspector'
import { fileURLToPath } from 'node:url'
import type { Frame, Profiled } from './profiling-pprof.ts'

const NS_PER_US = 1_000
/** V8's entries for time in which nothing ran, and for what everything stands on. */
const IDLE = '(idle)'
const ROOT = '(root)'

type Samples = Profiled['samples']

/**
 * Processor time by stack. V8 looks at the JavaScript thread only; what it spends in native code stands under `(program)`,
 * garbage collection under its own name, and time in which it waits is left out.
 *
 * @param intervalUs between two samples
 */
export function cpuSamples({ nodes }: Profiler.Profile, intervalUs: number): Samples {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const parents = new Map(nodes.flatMap((node) => (node.children ?? []).map((child) => [child, node.id] as const)))
  return nodes.flatMap((node) => {
    if (node.callFrame.functionName === IDLE) return []
    const callers: Frame[] = []
    for (let id = parents.get(node.id); id !== undefined; id = parents.get(id)) {
      const { callFrame } = byId.get(id)!
      if (callFrame.functionName !== ROOT) callers.push(frameOf(callFrame))
    }
    return ticksByLine(node).map(([line, ticks]) => {
      const values = [ticks, ticks * intervalUs * NS_PER_US]
      return { stack: [frameOf(node.callFrame, line), ...callers], values }
    })
  })
}

/** Bytes that are alive, by the stack that allocated them. */
export function heapSamples({ head }: HeapProfiler.SamplingHeapProfile): Samples {
  const samples: Samples[number][] = []
  const visit = (node: HeapProfiler.SamplingHeapProfileNode, callers: readonly Frame[]): void => {
    const stack = node === head ? [] : [frameOf(node.callFrame), ...callers]
    if (node.selfSize > 0) samples.push({ stack, values: [node.selfSize] })
    for (const child of node.children) visit(child, stack)
  }
  visit(head, [])
  return samples
}

/** In which lines of a function the samples of a node were taken; 0: not known. */
function ticksByLine({ hitCount = 0, positionTicks = [] }: Profiler.ProfileNode): [line: number, ticks: number][] {
  const known = positionTicks.map(({ line, ticks }): [number, number] => [line, ticks])
  const rest = hitCount - known.reduce((sum, [, ticks]) => sum + ticks, 0)
  return rest > 0 ? [...known, [0, rest]] : known
}

function frameOf({ functionName, url, lineNumber }: Runtime.CallFrame, line = 0): Frame {
  const startLine = lineNumber + 1 // V8 counts from 0, with -1 for none
  const file = url.startsWith('file:') ? fileURLToPath(url) : url
  return { name: nameOf(functionName, file, startLine), file, startLine, line: line === 0 ? startLine : line }
}

/** Many functions are called `read`: their file belongs to their name, as a package does in Go. */
function nameOf(functionName: string, path: string, startLine: number): string {
  const file = path.startsWith('node:') ? path : path.split('/').slice(-2).join('/')
  const name = functionName === '' ? `(anonymous:${startLine})` : functionName
  return file === '' ? name : `${file}:${name}`
}
