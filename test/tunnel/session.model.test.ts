/**
 * Two sessions joined in memory under random schedules. A failing run prints its kind and seed;
 * CULVERT_MODEL_SEED replays or shifts, CULVERT_MODEL_ROUNDS prolongs, CULVERT_MODEL_TRACE prints more steps.
 */
import t from 'tap'
import { type Kind, runSchedule } from './model/schedule.ts'

const ROUNDS = Number(process.env.CULVERT_MODEL_ROUNDS ?? 400)
const SEED = Number(process.env.CULVERT_MODEL_SEED ?? 1)

/** What is run, in words, and how many times as often: there is more to go wrong over several carriers. */
const kinds: readonly [Kind, string, number][] = [
  ['lanes', 'over several carriers, with moves and lost lanes', 3],
  ['ours', 'over one carrier', 1],
  ['some', 'with only some of the extensions', 1],
  ['none', 'without any extension, as towards stock peers', 1],
]

for (const [kind, how, times] of kinds) {
  t.test(`loses, repeats and reorders nothing, and ends everything once: ${how}`, async (t) => {
    const rounds = ROUNDS * times
    for (let seed = SEED; seed < SEED + rounds; seed++) runSchedule(seed, kind)
    t.pass(`${rounds} schedules`)
  })
}
