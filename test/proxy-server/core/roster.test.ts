import t from 'tap'
import { createRoster, type Roster } from '../../../src/proxy-server/core/roster.ts'

type Stream = { readonly agentId: string; readonly name: string }
const stream = (agentId: string, name = agentId): Stream => ({ agentId, name })

function roster(...streams: Stream[]): Roster<Stream> {
  const filled = createRoster<Stream>()
  for (const each of streams) filled.add(each)
  return filled
}

const LOTS = 1_000
/** How often each stream is drawn when all random numbers come equally often. */
function draws(from: Roster<Stream>, except?: Stream): Record<string, number> {
  const counts = new Map<string, number>()
  for (let lot = 0; lot < LOTS; lot++) {
    const name = from.draw(lot / LOTS, except)?.name ?? 'nobody'
    counts.set(name, (counts.get(name) ?? 0) + 1)
  }
  return Object.fromEntries(counts)
}

t.test('draws nobody from an empty roster', async (t) => {
  t.strictSame(draws(roster()), { nobody: LOTS })
  t.strictSame(draws(roster(), stream('a')), { nobody: LOTS })
})

t.test('gives each agent id the same chance, and the oldest stream of it', async (t) => {
  const four = roster(stream('a', 'a1'), stream('a', 'a2'), stream('b'), stream('c'), stream('a', 'a3'), stream('d'))
  t.strictSame(draws(four), { a1: 250, b: 250, c: 250, d: 250 })
  t.equal(four.entries.size, 4)
})

t.test('shares the part of the one that is not wanted among all others', async (t) => {
  const [a1, a2, b, c] = [stream('a', 'a1'), stream('a', 'a2'), stream('b'), stream('c')]
  t.strictSame(draws(roster(a1, b, c), b), { a1: 500, c: 500 })
  t.strictSame(draws(roster(a1, b, c), c), { a1: 500, b: 500 })
  t.strictSame(draws(roster(a1, a2, b), a1), { a2: 500, b: 500 }, 'another stream of the same id is another one')
  t.strictSame(draws(roster(a1, a2, b), a2), { a1: 500, b: 500 })
  t.strictSame(draws(roster(a1), a1), { nobody: LOTS })
  t.strictSame(draws(roster(a1), a2), { a1: LOTS }, 'who is not on the roster takes nobody off it')
  t.strictSame(draws(roster(a1, b), stream('z')), { a1: 500, b: 500 })
})

t.test('forgets a stream, keeps the others of its id, and keeps the chances even', async (t) => {
  const streams = [stream('a'), stream('b', 'b1'), stream('b', 'b2'), stream('c'), stream('d')]
  const left = roster(...streams)
  left.remove(streams[0]!)
  left.remove(streams[1]!)
  t.strictSame(Object.values(draws(left)).toSorted(), [333, 333, 334])
  left.remove(streams[4]!)
  t.strictSame(draws(left), { b2: 500, c: 500 })
  for (const each of streams) left.remove(each)
  t.strictSame([draws(left), left.entries.size], [{ nobody: LOTS }, 0])
})

t.test('is not confused by one that comes twice, or goes without having come', async (t) => {
  const [a, b] = [stream('a'), stream('b')]
  const twice = roster(a, a, b)
  twice.remove(stream('a', 'of the same id'))
  twice.remove(stream('z'))
  t.strictSame(draws(twice), { a: 500, b: 500 })
  twice.remove(a)
  twice.remove(a)
  t.strictSame(draws(twice), { b: LOTS })
})

t.test('takes ids that mean something to JavaScript, and the empty one', async (t) => {
  const streams = ['', '__proto__', 'constructor', 'toString'].map((id) => stream(id))
  const odd = roster(...streams)
  t.equal(odd.entries.size, 4)
  for (const each of streams) t.equal(draws(odd)[each.name], 250, each.name)
  for (const each of streams) odd.remove(each)
  t.equal(odd.entries.size, 0)
})
