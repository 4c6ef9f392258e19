/**
 * Two sessions joined in memory under random schedules. A failing run prints its kind and seed;
 * CULVERT_MODEL_SEED replays or shifts, CULVERT_MODEL_ROUNDS prolongs, CULVERT_MODEL_TRACE prints more steps.
 */
import t from 'tap'
import { type Kind, runSchedule } from './model/schedule.ts'

const ROUNDS = Number(process.env.CULVERT_MODEL_ROUNDS ?? 200)
const SEED = Number(process.env.CULVERT_MODEL_SEED ?? 1)

const kinds: Readonly<Record<Kind, string>> = {
  lanes: 'over several carriers, with moves and lost lanes',
  ours: 'over one carrier',
  some: 'with only some of the extensions',
  none: 'without any extension, as towards stock peers',
}

for (const [kind, how] of Object.entries(kinds) as [Kind, string][]) {
  t.test(`loses, repeats and reorders nothing, and ends everything once: ${how}`, async (t) => {
    for (let seed = SEED; seed < SEED + ROUNDS; seed++) runSchedule(seed, kind)
    t.pass(`${ROUNDS} schedules`)
  })
}
