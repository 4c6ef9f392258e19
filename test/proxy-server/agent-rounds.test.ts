import t from 'tap'
import { AGENTS_PER_TURN, createAgentRounds } from '../../src/proxy-server/agent-rounds.ts'

function setup(count: number) {
  const pushed: number[] = []
  const turns: (() => void)[] = []
  const agents = upTo(count)
  const changed = createAgentRounds({
    agents: () => agents,
    tell: (at) => pushed.push(at),
    later: (turn) => turns.push(turn),
  })
  return { pushed, turns, agents, changed, next: () => turns.shift()?.() }
}
const upTo = (count: number): number[] => Array.from({ length: count }, (_, at) => at)

t.test('a few agents hear of it in each turn, all of them once', async (t) => {
  const { pushed, turns, changed, next } = setup(2 * AGENTS_PER_TURN + 1)
  changed()
  t.strictSame(pushed, upTo(AGENTS_PER_TURN))
  next()
  t.strictSame(pushed, upTo(2 * AGENTS_PER_TURN))
  next()
  t.strictSame(pushed, upTo(2 * AGENTS_PER_TURN + 1))
  t.equal(turns.length, 0)
})

t.test('when there are few, none waits for a turn', async (t) => {
  const { pushed, turns, changed } = setup(AGENTS_PER_TURN)
  changed()
  changed()
  t.strictSame([pushed, turns.length], [[...upTo(AGENTS_PER_TURN), ...upTo(AGENTS_PER_TURN)], 0])
})

t.test('a change during a round begins with all again, in one round', async (t) => {
  const { pushed, turns, agents, changed, next } = setup(2 * AGENTS_PER_TURN)
  changed()
  agents.push(99)
  changed()
  t.equal(turns.length, 1)
  pushed.splice(0)
  while (turns.length > 0) next()
  t.strictSame(pushed, [...upTo(2 * AGENTS_PER_TURN), 99])
})
