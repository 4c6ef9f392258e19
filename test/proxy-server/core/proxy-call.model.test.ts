/**
 * Calls of gRPC mode over real sessions to agents in memory, under random schedules. A failing run prints its kind and seed;
 * CULVERT_MODEL_SEED replays or shifts, CULVERT_MODEL_ROUNDS prolongs, CULVERT_MODEL_TRACE prints more steps.
 */
import t from 'tap'
import { type Agents, type Manners, runCalls } from './model/call-schedule.ts'

const ROUNDS = Number(process.env.CULVERT_MODEL_ROUNDS ?? 200)
const SEED = Number(process.env.CULVERT_MODEL_SEED ?? 1)

const kinds: readonly [Agents, Manners, string][] = [
  ['ours', 'honest', 'clients that keep to the rules, with an agent of ours'],
  ['stock', 'honest', 'clients that keep to the rules, with a stock agent'],
  ['ours', 'hostile', 'hostile clients, with an agent of ours'],
  ['stock', 'hostile', 'hostile clients, with a stock agent'],
  ['both', 'hostile', 'hostile clients, with several agents of both kinds'],
]

for (const [agents, manners, who] of kinds) {
  t.test(`every call gets its own bytes, in order, is answered once, and leaves nothing: ${who}`, async (t) => {
    for (let seed = SEED; seed < SEED + ROUNDS; seed++) runCalls(seed, agents, manners)
    t.pass(`${ROUNDS} schedules`)
  })
}
