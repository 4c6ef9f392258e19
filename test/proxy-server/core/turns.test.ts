import t from 'tap'
import { createTurns, type Turn } from '../../../src/proxy-server/core/turns.ts'
import { manualClock } from '../../platform/manual-clock.ts'

const KIB = 1024

type Call = {
  readonly turn: Turn
  /** Pieces that it still has; each time it hands one over, one goes. */
  pieces: number
}

/** A connection whose pieces leave when the test says so. */
function connection() {
  const clock = manualClock()
  const handed: string[] = []
  const shares: number[] = []
  let later: (() => void)[] = []
  let open = true
  const turns = createTurns({ open: () => open, later: (callback) => void later.push(callback), after: clock.after })
  return {
    set open(is: boolean) {
      open = is
    },
    clock,
    /** Who has handed over a piece since the last look, in order. */
    handed: () => handed.splice(0).join(''),
    shares,
    turns,
    join(name: string, pieces = Number.POSITIVE_INFINITY): Call {
      const call: Call = {
        pieces,
        turn: turns.join((mostBytes) => {
          if (call.pieces === 0) return false
          call.pieces--
          handed.push(name)
          shares.push(mostBytes)
          return true
        }),
      }
      return call
    },
    /** Their pieces have left, and they want to go on. */
    left(...calls: Call[]) {
      for (const { turn, pieces } of calls) {
        turn.left()
        if (pieces > 0) turn.want()
      }
    },
    /** The connection has tried to send what it has. */
    tried() {
      const callbacks = later
      later = []
      for (const callback of callbacks) callback()
    },
  }
}

t.test('a call alone hands over piece after piece, of 256 KiB', async (t) => {
  const it = connection()
  const a = it.join('a', 3)
  a.turn.want()
  t.equal(it.handed(), 'a')
  a.turn.want()
  t.equal(it.handed(), '', 'one at a time')
  it.left(a)
  t.equal(it.handed(), 'a')
  it.left(a)
  t.equal(it.handed(), 'a')
  it.left(a)
  it.tried()
  t.equal(it.handed(), '')
  t.strictSame(it.shares, Array(3).fill(256 * KIB))
})

t.test('nobody hands over a second piece before all have handed over a first one that has left', async (t) => {
  const it = connection()
  it.open = false
  const [a, b, c] = [it.join('a'), it.join('b'), it.join('c')]
  for (const { turn } of [a, b, c]) turn.want()
  t.equal(it.handed(), 'abc')
  it.left(a)
  it.tried()
  t.equal(it.handed(), '')
  it.left(b)
  it.tried()
  t.equal(it.handed(), '')
  it.left(c)
  t.equal(it.handed(), 'abc', 'in the order in which they wait')
})

t.test('who comes in the middle of a round hands over at once', async (t) => {
  const it = connection()
  it.open = false
  const [a, b] = [it.join('a'), it.join('b')]
  a.turn.want()
  b.turn.want()
  it.left(a)
  t.equal(it.handed(), 'ab')
  const c = it.join('c')
  c.turn.want()
  t.equal(it.handed(), 'c')
  it.left(b)
  t.equal(it.handed(), '')
  it.left(c)
  t.equal(it.handed(), 'abc')
})

t.test('a round is shared by those who take part, and nobody gets less than 8 KiB', async (t) => {
  const it = connection()
  it.open = false
  const calls = Array.from({ length: 100 }, () => it.join('x'))
  for (const { turn } of calls) turn.want()
  t.strictSame(it.shares.slice(0, 4), [256 * KIB, 128 * KIB, Math.floor((256 / 3) * KIB), 64 * KIB])
  t.equal(it.shares.at(-1), 8 * KIB)
  it.shares.length = 0
  it.left(...calls)
  t.strictSame(it.shares, Array(100).fill(8 * KIB), 'in the next one they are known from the beginning')
})

t.test('a piece that its client does not read holds up nobody, once the connection has tried', async (t) => {
  const it = connection()
  const [stalled, b, c] = [it.join('s'), it.join('b'), it.join('c')]
  for (const { turn } of [stalled, b, c]) turn.want()
  t.equal(it.handed(), 'sbc')
  it.left(b, c)
  t.equal(it.handed(), '', 'it may still be under way')
  it.tried()
  t.equal(it.handed(), 'bc')
  it.left(b)
  t.equal(it.handed(), '', 'c has yet to send')
  it.left(c)
  t.equal(it.handed(), 'bc', 'nobody waits for the stalled one any more')
})

t.test('while the connection takes nothing, everybody waits, and is looked after', async (t) => {
  const it = connection()
  it.open = false
  const [stalled, b] = [it.join('s'), it.join('b')]
  stalled.turn.want()
  b.turn.want()
  it.left(b)
  it.tried()
  t.equal(it.handed(), 'sb')
  it.clock.advance(2)
  it.clock.advance(2)
  t.equal(it.handed(), '')
  it.open = true
  it.clock.advance(1)
  t.equal(it.handed(), '')
  it.clock.advance(1)
  t.equal(it.handed(), 'b')
})

t.test('a call whose piece left late goes on like any other', async (t) => {
  const it = connection()
  const [late, b] = [it.join('l'), it.join('b')]
  late.turn.want()
  b.turn.want()
  it.left(b)
  it.tried()
  t.equal(it.handed(), 'lbb')
  it.left(late)
  t.equal(it.handed(), 'l', 'in the round that runs')
  it.left(b)
  t.equal(it.handed(), '')
  it.left(late)
  t.equal(it.handed(), 'bl')
})

t.test('a call that has nothing after all does not keep its turn', async (t) => {
  const it = connection()
  it.open = false
  const [a, b] = [it.join('a', 0), it.join('b')]
  a.turn.want()
  b.turn.want()
  it.left(b)
  t.equal(it.handed(), 'bb')
  a.pieces = 1
  a.turn.want()
  t.equal(it.handed(), 'a')
})

t.test('a call that is over holds up nobody, whether it sends or waits', async (t) => {
  const it = connection()
  it.open = false
  const [a, b, c] = [it.join('a'), it.join('b'), it.join('c')]
  for (const { turn } of [a, b, c]) turn.want()
  it.left(b, c)
  t.equal(it.handed(), 'abc')
  a.turn.leave()
  c.turn.leave()
  t.equal(it.handed(), '')
  it.tried()
  t.equal(it.handed(), 'b')
})

t.test('what a call is told after it is over changes nothing', async (t) => {
  const it = connection()
  const [a, b] = [it.join('a'), it.join('b')]
  a.turn.want()
  a.turn.leave()
  a.turn.left() // the write was given up
  b.turn.want()
  it.tried()
  t.equal(it.handed(), 'ab')
})

t.test('of a connection that is gone nothing is looked after', async (t) => {
  const it = connection()
  it.open = false
  const [a, b] = [it.join('a'), it.join('b')]
  a.turn.want()
  b.turn.want()
  it.left(b)
  t.equal(it.clock.waiting(), 1)
  it.turns.end()
  it.tried()
  t.equal(it.clock.waiting(), 0)
  t.equal(it.handed(), 'ab')
})
