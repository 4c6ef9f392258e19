/**
 * Stacks with figures as a pprof file, before compression: what `go tool pprof` reads. Pure.
 * Source: profile.proto of github.com/google/pprof; pprof-format writes it.
 */
import { Function as Fn, Line, Location, Profile, Sample, StringTable, ValueType } from 'pprof-format'

export type Frame = {
  readonly name: string
  /** Path or URL of the source; empty where there is none. */
  readonly file: string
  /** Where the function begins, and where in it this frame is: lines from 1, 0 when not known. */
  readonly startLine: number
  readonly line: number
}

/** What is counted, and in which unit. */
export type Measure = readonly [type: string, unit: string]

export type Profiled = {
  readonly measures: readonly Measure[]
  /** One figure for each measure; the innermost frame first. */
  readonly samples: readonly { readonly stack: readonly Frame[]; readonly values: readonly number[] }[]
  /** How much of what lies between two samples. */
  readonly period: number
  readonly periodMeasure: Measure
  readonly startedUnixMs: number
  readonly durationMs: number
  /** For people: `go tool pprof -comments`. */
  readonly comments: readonly string[]
}

export function writePprof(profiled: Profiled): Uint8Array {
  const stringTable = new StringTable()
  const text = (value: string): number => stringTable.dedup(value)
  const valueType = ([type, unit]: Measure): ValueType => new ValueType({ type: text(type), unit: text(unit) })
  const functions = new Map<string, Fn>()
  const locations = new Map<string, Location>()

  function functionOf({ name, file, startLine }: Frame): Fn {
    return once(functions, `${name}\n${file}\n${startLine}`, (id) => {
      const named = { name: text(name), systemName: text(name), filename: text(file) }
      return new Fn({ id, ...named, startLine })
    })
  }

  function locationOf(frame: Frame): Location {
    const { id: functionId } = functionOf(frame)
    return once(locations, `${functionId}\n${frame.line}`, (id) => {
      return new Location({ id, line: [new Line({ functionId, line: frame.line })] })
    })
  }

  const sample = profiled.samples.map(({ stack, values }) => {
    return new Sample({ locationId: stack.map((frame) => locationOf(frame).id), value: [...values] })
  })
  return new Profile({
    stringTable,
    sampleType: profiled.measures.map(valueType),
    sample,
    location: [...locations.values()],
    function: [...functions.values()],
    timeNanos: nanoseconds(profiled.startedUnixMs),
    durationNanos: nanoseconds(profiled.durationMs),
    periodType: valueType(profiled.periodMeasure),
    period: profiled.period,
    comment: profiled.comments.map(text),
  }).encode()
}

/** What the map has under the key, made with the next id from 1 if it has nothing. */
function once<T>(made: Map<string, T>, key: string, make: (id: number) => T): T {
  const known = made.get(key)
  if (known !== undefined) return known
  const fresh = make(made.size + 1)
  made.set(key, fresh)
  return fresh
}

const nanoseconds = (ms: number): bigint => BigInt(Math.round(ms * 1_000)) * 1_000n
