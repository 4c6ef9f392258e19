/**
 * The test of a target: its corpus, then rounds for a while, from seed 1 on: a minute in CI, seconds elsewhere. A failing round prints its
 * seed, and `CULVERT_FUZZ_SEED=<seed> CULVERT_FUZZ_ROUNDS=1` plays it again.
 */
import t from 'tap'
import { checked, runRounds } from './rounds.ts'
import { readMinute } from './run-options.ts'
import { corpusOf, type Target } from './target.ts'

const { seconds: SECONDS, from: FROM, rounds: ROUNDS, isWhole: IS_WHOLE } = readMinute(process.env)
/** With fewer rounds a kind of answer may be missing by chance. A whole minute has more. */
const TELLING_ROUNDS = 1_000
const LEAST_PERCENT = 0.3

export function fuzz(target: Target): void {
  const files = corpusOf(target)

  t.test(`${target.name}: what holds, holds of the corpus`, async (t) => {
    for (const { name, bytes } of files) {
      try {
        t.ok(await checked(target, bytes), name)
      } catch (error) {
        t.fail(`${name}: ${error}`)
      }
    }
    t.ok(files.length >= 3)
  })

  t.test(`${target.name}: and of whatever is made of it`, async (t) => {
    const until = performance.now() + SECONDS * 1_000
    const { rounds, next, kinds, findings } = await runRounds(target, {
      corpus: files.map(({ bytes }) => bytes),
      from: FROM,
      rounds: ROUNDS,
      isOver: () => performance.now() > until,
    })
    for (const { seed, why, input } of findings) t.fail(`seed ${seed}: ${why}`, { input: input.toString('latin1') })
    t.comment(`seeds ${FROM} to ${next - 1}, ${JSON.stringify(kinds)}`)
    t.ok(rounds >= (IS_WHOLE ? TELLING_ROUNDS : 1), `${rounds} rounds`)
    if (rounds < TELLING_ROUNDS) return
    for (const [kind, count] of Object.entries(kinds)) t.ok(count * 100 > rounds * LEAST_PERCENT, `${kind}: ${count}`)
  })
}
