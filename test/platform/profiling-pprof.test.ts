import { Profile } from 'pprof-format'
import t from 'tap'
import { type Frame, type Profiled, writePprof } from '../../src/platform/profiling-pprof.ts'

const frame = (name: string, line = 0, startLine = 10): Frame => ({ name, file: `/src/${name}.ts`, startLine, line })
const empty: Profiled = {
  measures: [
    ['samples', 'count'],
    ['cpu', 'nanoseconds'],
  ],
  samples: [],
  period: 10_000_000,
  periodMeasure: ['cpu', 'nanoseconds'],
  startedUnixMs: 1_763_700_000_123.456,
  durationMs: 1_500.5,
  comments: ['for people', 'twice'],
}

/** Back to stacks, by the indirections of the format. */
function read(bytes: Uint8Array) {
  const profile = Profile.decode(bytes)
  const { strings } = profile.stringTable
  const text = (index: number | bigint): string | undefined => strings[Number(index)]
  const stacks = profile.sample.map(({ locationId, value }) => {
    const frames = locationId.map((id) => {
      const [line] = profile.location.find((location) => location.id === id)?.line ?? []
      const fn = profile.function.find((it) => it.id === line?.functionId)
      return `${text(fn?.name ?? -1)} ${text(fn?.filename ?? -1)} ${fn?.startLine} ${line?.line}`
    })
    return [...frames, ...value.map(Number)]
  })
  return { profile, text, stacks }
}

t.test('says what was measured, when, for how long and in which steps', async (t) => {
  const { profile, text } = read(writePprof(empty))
  t.strictSame(
    profile.sampleType.map(({ type, unit }) => [text(type), text(unit)]),
    [
      ['samples', 'count'],
      ['cpu', 'nanoseconds'],
    ],
  )
  t.strictSame([text(profile.periodType!.type), text(profile.periodType!.unit)], ['cpu', 'nanoseconds'])
  t.equal(Number(profile.period), 10_000_000)
  t.equal(BigInt(profile.timeNanos), 1_763_700_000_123_456_000n, 'to the microsecond, which a double does not hold')
  t.equal(BigInt(profile.durationNanos), 1_500_500_000n)
  t.strictSame(profile.comment.map(text), ['for people', 'twice'])
  t.strictSame([profile.sample, profile.stringTable.strings[0]], [[], ''], 'the first string must be empty')
})

t.test('gives every stack with its figures, the innermost frame first', async (t) => {
  const samples = [
    { stack: [frame('inner', 12), frame('outer', 10)], values: [2, 20_000_000] },
    { stack: [frame('inner', 13), frame('outer', 10)], values: [1, 10_000_000] },
    { stack: [frame('inner', 12)], values: [0, 2 ** 40] },
    { stack: [], values: [5, 0] },
  ]
  const { stacks, profile } = read(writePprof({ ...empty, samples }))
  t.strictSame(stacks, [
    ['inner /src/inner.ts 10 12', 'outer /src/outer.ts 10 10', 2, 20_000_000],
    ['inner /src/inner.ts 10 13', 'outer /src/outer.ts 10 10', 1, 10_000_000],
    ['inner /src/inner.ts 10 12', 0, 2 ** 40],
    [5, 0],
  ])
  t.equal(profile.function.length, 2, 'each function once')
  t.equal(profile.location.length, 3, 'each line of it once')
})

t.test('tells functions apart by name, file and first line', async (t) => {
  const frames = [frame('a', 10), { ...frame('a', 10), file: '/src/b.ts' }, frame('a', 20, 20), frame('a', 10)]
  const { profile } = read(writePprof({ ...empty, samples: [{ stack: frames, values: [1, 1] }] }))
  t.equal(profile.function.length, 3)
  t.strictSame(
    profile.function.map(({ id }) => Number(id)),
    [1, 2, 3],
    'from 1: 0 means none',
  )
})
