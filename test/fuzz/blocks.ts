/**
 * Which parts of some files have run, as V8 counts it: an input that reaches one that none before it reached is worth changing
 * further.
 */
import { readFileSync } from 'node:fs'
import { Session } from 'node:inspector'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

export type NewBlocks = Disposable & {
  /** Whether something ran since it was last asked that had not run before. */
  readonly areReached: () => boolean
  /** What the last answer was given for is new once more: the inputs are about to be played again, one by one. */
  readonly forget: () => void
}

type Range = { readonly startOffset: number; readonly endOffset: number; readonly count: number }
type Taken = {
  readonly result: readonly {
    readonly url: string
    readonly functions: readonly { readonly ranges: readonly Range[] }[]
  }[]
}
/** A byte for each character of the file. */
type Marks = Uint8Array

const ROOT = join(import.meta.dirname, '../..')

/** @param files as `src/policy/policy.ts` */
export function newBlocks(files: readonly string[]): NewBlocks {
  const known = new Map<string, Marks>(
    files.map((file) => [
      pathToFileURL(join(ROOT, file)).href,
      new Uint8Array(readFileSync(join(ROOT, file), 'utf8').length + 1),
    ]),
  )
  const session = new Session()
  session.connect()
  session.post('Profiler.enable')
  session.post('Profiler.startPreciseCoverage', { callCount: true, detailed: true })
  let latest: (readonly [Marks, number])[] = []

  /** The counts since it was last asked: a session answers within the call. */
  function take(): Taken {
    let found: Taken = { result: [] }
    session.post('Profiler.takePreciseCoverage', (_error, taken) => {
      found = taken as unknown as Taken
    })
    return found
  }

  return {
    areReached() {
      latest = []
      for (const { url, functions } of take().result) {
        const marks = known.get(url)
        if (marks === undefined) continue
        const ran = painted(
          functions.flatMap(({ ranges }) => ranges),
          marks.length,
        )
        for (let at = 0; at < ran.length; at++) if (ran[at] === 1 && marks[at] === 0) latest.push([marks, at])
      }
      for (const [marks, at] of latest) marks[at] = 1
      return latest.length > 0
    },
    forget() {
      for (const [marks, at] of latest) marks[at] = 0
    },
    [Symbol.dispose]() {
      session.post('Profiler.stopPreciseCoverage')
      session.disconnect()
    },
  }
}

/** Ranges come outermost first: what stands inside says more. */
function painted(ranges: readonly Range[], length: number): Marks {
  const ran = new Uint8Array(length)
  for (const { startOffset, endOffset, count } of ranges) ran.fill(count > 0 ? 1 : 0, startOffset, endOffset)
  return ran
}
