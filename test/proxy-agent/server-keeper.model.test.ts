/**
 * The keeper and its set in a world of hosts and servers that come and go at random. A failing run prints its seed;
 * CULVERT_MODEL_SEED replays or shifts, CULVERT_MODEL_ROUNDS prolongs.
 */
import t from 'tap'
import { runWorld } from './model/world.ts'

const ROUNDS = Number(process.env.CULVERT_MODEL_ROUNDS ?? 200)
const SEED = Number(process.env.CULVERT_MODEL_SEED ?? 1)

t.test('holds each server once, starves no host, waits within bounds, and finds whom it can reach', async (t) => {
  for (let seed = SEED; seed < SEED + ROUNDS; seed++) runWorld(seed)
  t.pass(`${ROUNDS} worlds`)
})
