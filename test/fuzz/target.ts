/** What is fuzzed: a reader of what strangers write, how inputs for it are made, and what must hold of its answer to each. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Random } from '../platform/random.ts'

export type Target = {
  /** Also that of its folder in `corpus/`. */
  readonly name: string
  /** Of the files that findings are kept in: `hex` for what is no text. */
  readonly ending: 'hex' | 'yaml' | 'txt'
  /** The files below src/ that the long runner looks for new ways through. */
  readonly covers: readonly string[]
  /** Longest that one input may keep the processor: milliseconds. */
  readonly maxMs: number
  /** An input from the seed's random numbers and the corpus; the same for the same. */
  readonly make: (random: Random, corpus: readonly Buffer[]) => Buffer
  /**
   * Depends on nothing but the input, so that a finding is kept as its input.
   *
   * @returns which of `kinds` the answer was. @throws when something does not hold
   */
  readonly check: (input: Buffer) => string | Promise<string>
  /** Each has to come up, or what is behind it was not fuzzed. */
  readonly kinds: readonly string[]
}

export const CORPUS = join(import.meta.dirname, 'corpus')

export type CorpusFile = { readonly name: string; readonly bytes: Buffer }

export function corpusOf({ name }: Pick<Target, 'name'>): readonly CorpusFile[] {
  const folder = join(CORPUS, name)
  return readdirSync(folder)
    .sort()
    .map((file) => {
      const bytes = readFileSync(join(folder, file))
      return { name: file, bytes: file.endsWith('.hex') ? Buffer.from(bytes.toString('latin1').trim(), 'hex') : bytes }
    })
}

/** For what must hold: `hold(a === b, () => …)`. */
export function hold(does: boolean, why: () => string): asserts does {
  if (!does) throw new Error(why())
}
