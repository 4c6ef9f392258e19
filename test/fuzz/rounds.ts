/**
 * Rounds of a target: a seed makes an input, the input is checked. The same seed makes the same input from the same corpus, so a seed
 * is enough to play a round again; where the corpus grows while it runs, the input is what a finding is kept as.
 */
import { setImmediate } from 'node:timers/promises'
import { createRandom } from '../platform/random.ts'
import type { NewBlocks } from './blocks.ts'
import { hold, type Target } from './target.ts'
import { type Watchdog, watchOver } from './watchdog.ts'

export type Finding = { readonly seed: number; readonly why: string; readonly input: Buffer }
export type Outcome = {
  /** The seed that would have been next. */
  readonly next: number
  readonly rounds: number
  /** How often each kind of answer came. */
  readonly kinds: Readonly<Record<string, number>>
  readonly findings: readonly Finding[]
  /** That which was given, and inputs that reached something new. */
  readonly corpus: readonly Buffer[]
}
export type RoundOptions = {
  readonly corpus: readonly Buffer[]
  readonly from: number
  readonly rounds?: number | undefined
  readonly isOver: () => boolean
  /** Without it the corpus stays as it is. */
  readonly blocks?: NewBlocks | undefined
  /** Longest that a round may take before the process is ended: milliseconds. */
  readonly stuckMs?: number
  readonly found?: (finding: Finding) => void
  /** Told after each batch of rounds: how many there were, and how large the corpus is. */
  readonly progress?: (rounds: number, corpus: number) => void
}

/** More of the same tell nothing more. */
const MAX_FINDINGS = 10
/** Rounds between two looks at the clock or at what was reached. */
const BATCH = 256
/** One slow round may be the machine's; an input that is slow each time is a finding. */
const SLOW_TRIES = 3

export async function runRounds(target: Target, options: RoundOptions): Promise<Outcome> {
  const { corpus, from, rounds = Number.POSITIVE_INFINITY, isOver, blocks, stuckMs, found, progress } = options
  using watchdog = watchOver(target.name, stuckMs)
  const grown = [...corpus]
  const kinds: Record<string, number> = Object.fromEntries(target.kinds.map((kind) => [kind, 0]))
  const findings: Finding[] = []
  let seed = from
  while (seed - from < rounds && findings.length < MAX_FINDINGS && !isOver()) {
    await setImmediate() // signals and timers have their turn
    const inputs: Buffer[] = []
    for (const end = Math.min(seed + BATCH, from + rounds); seed < end && findings.length < MAX_FINDINGS; seed++) {
      watchdog.begins(seed)
      const input = target.make(createRandom(seed), grown)
      inputs.push(input)
      try {
        const kind = await checked(target, input)
        kinds[kind] = (kinds[kind] ?? 0) + 1
      } catch (error) {
        const finding = { seed, why: String(error instanceof Error ? error.stack : error), input }
        findings.push(finding)
        found?.(finding)
      }
    }
    if (blocks?.areReached()) grown.push(...(await reaching(target, seed - inputs.length, inputs, blocks, watchdog)))
    progress?.(seed - from, grown.length)
  }
  return { next: seed, rounds: seed - from, kinds, findings, corpus: grown }
}

/** @throws when something does not hold, its time among it */
export async function checked(target: Target, input: Buffer): Promise<string> {
  const { maxMs, check, kinds } = target
  const start = performance.now()
  const kind = await check(input)
  hold(kinds.includes(kind), () => `an answer of another kind: ${kind}`)
  let leastMs = performance.now() - start
  for (let tries = 1; leastMs > maxMs && tries < SLOW_TRIES; tries++) {
    const before = process.threadCpuUsage()
    await check(input)
    const { user, system } = process.threadCpuUsage(before)
    leastMs = Math.min(leastMs, (user + system) / 1_000)
  }
  hold(leastMs <= maxMs, () => `it takes ${leastMs.toFixed(1)} ms, more than ${maxMs}`)
  return kind
}

/** Which inputs of a batch reached something new: played again one by one. @param from the seed of the first */
async function reaching(
  target: Target,
  from: number,
  inputs: readonly Buffer[],
  blocks: NewBlocks,
  watchdog: Watchdog,
): Promise<Buffer[]> {
  const kept: Buffer[] = []
  blocks.forget()
  for (const [index, input] of inputs.entries()) {
    watchdog.begins(from + index) // all of a batch may take longer than one round may
    try {
      await target.check(input)
    } catch {
      continue // it is a finding already
    }
    if (blocks.areReached()) kept.push(input)
  }
  return kept
}
