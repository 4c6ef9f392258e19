import t from 'tap'
import { createTurns, type Turn } from '../../../src/proxy-server/core/turns.ts'
import { manualClock } from '../../platform/manual-clock.ts'
import { processorMs } from '../../platform/processor-time.ts'

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
    /** @param bytes of each of its pieces */
    join(name: string, pieces = Number.POSITIVE_INFINITY, bytes = KIB): Call {
      const call: Call = {
        pieces,
        turn: turns.join((mostBytes) => {
          if (call.pieces === 0) return 0
          call.pieces--
          handed.push(name)
          shares.push(mostBytes)
          return bytes
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
    /** The connection has tried to send what it has. @returns how many wanted to hear of it */
    tried(): number {
      const callbacks = later
      later = []
      for (const callback of callbacks) callback()
      return callbacks.length
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
  it.clock.advance(4)
  t.equal(it.handed(), '')
  it.open = true
  it.clock.advance(7)
  t.equal(it.handed(), '')
  it.clock.advance(1)
  t.equal(it.handed(), 'b')
  t.equal(it.clock.waiting(), 0)
})

t.test(
  'it is looked after less and less often while nothing leaves, and as often as ever when something has',
  async (t) => {
    const it = connection()
    it.open = false
    const [stalled, b, c] = [it.join('s'), it.join('b'), it.join('c')]
    for (const { turn } of [stalled, b, c]) turn.want()
    it.left(b)
    for (const waitMs of [2, 4, 8, 16, 32, 64, 128, 256, 256]) it.clock.advance(waitMs)
    t.strictSame(it.clock.asked, [2, 4, 8, 16, 32, 64, 128, 256, 256, 256])
    it.left(c)
    it.tried()
    t.equal(it.clock.asked.at(-1), 2)
    t.equal(it.clock.waiting(), 1)
  },
)

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
  it.tried()
  t.equal(it.handed(), 'abc')
  a.turn.leave()
  c.turn.leave()
  t.equal(it.handed(), '')
  it.tried()
  t.equal(it.handed(), 'b')
})

t.test('a call whose piece has not left, or that waits already, gains nothing by asking again', async (t) => {
  const it = connection()
  const [a, b, c] = [it.join('a'), it.join('b'), it.join('c')]
  const ask = (): void => {
    for (const { turn } of [a, b, c]) turn.want()
  }
  ask()
  ask()
  it.left(a)
  ask()
  t.equal(it.handed(), 'abc')
  it.tried()
  ask()
  t.equal(it.handed(), 'a', 'nor when nobody waits for its piece')
  it.left(b, c)
  ask()
  t.equal(it.handed(), 'bc')
})

t.test('who comes when a round is over begins the next one, behind those who wait', async (t) => {
  const it = connection()
  it.open = false
  const [a, b, c] = [it.join('a'), it.join('b', 1), it.join('c')]
  for (const { turn } of [a, b]) turn.want()
  it.left(a, b)
  t.equal(it.handed(), 'ab')
  c.turn.want()
  t.equal(it.handed(), 'ac')
})

t.test('a look while nobody waits gives up nobody', async (t) => {
  const it = connection()
  const [a, b] = [it.join('a'), it.join('b')]
  for (const { turn } of [a, b]) turn.want()
  a.turn.left()
  it.tried()
  a.turn.want()
  t.equal(it.handed(), 'ab', 'b has yet to send')
  it.clock.advance(2)
  t.equal(it.handed(), 'a')
})

t.test('a call whose piece leaves while it is handed over has its next turn in the next round', async (t) => {
  const it = connection()
  it.open = false
  const [a, c] = [it.join('a'), it.join('c')]
  let served = 0
  const b: Turn = it.turns.join(() => {
    served++
    if (served === 2) {
      b.left()
      b.want()
    }
    return 1
  })
  for (const turn of [a.turn, b, c.turn]) turn.want()
  it.left(a)
  b.left()
  b.want()
  t.equal(served, 1)
  it.left(c)
  t.equal(served, 2)
  t.equal(it.handed(), 'acac')
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

t.test('calls that come one after the other do not make a round last for ever', async (t) => {
  const it = connection()
  it.open = false
  const bulk = it.join('B')
  bulk.turn.want()
  let last = bulk
  for (let count = 0; count < 20; count++) {
    const next = it.join('n', 1, 32 * KIB)
    next.turn.want()
    it.left(last)
    it.tried()
    last = next
  }
  it.left(last)
  t.match(it.handed(), /^Bn{8}Bn+$/, 'after 256 KiB of others')
})

t.test('that is counted from the beginning in each round, and not for what the round began with', async (t) => {
  const it = connection()
  it.open = false
  const calls = ['a', 'b'].map((name) => it.join(name, 3, 256 * KIB))
  for (const { turn } of calls) turn.want()
  it.left(...calls)
  t.equal(it.handed(), 'abab')
  const late = it.join('l', 2, 256 * KIB)
  late.turn.want()
  t.equal(it.handed(), 'l')
  const later = it.join('m', 1)
  later.turn.want()
  t.equal(it.handed(), '', 'it waits for the next one')
  it.left(...calls, late)
  t.equal(it.handed(), 'mabl')
})

t.test(
  'the turns of twenty thousand calls are dealt in a time that grows with their number and not with its square',
  async (t) => {
    const it = connection()
    it.open = false
    const calls = Array.from({ length: 20_000 }, () => it.join('x', 4, 1))
    const tookMs = processorMs(() => {
      for (const { turn } of calls) turn.want()
      for (let round = 0; round < 3; round++) it.left(...calls)
    })
    t.equal(it.handed().length, 80_000)
    t.ok(tookMs < 3_000, `${Math.round(tookMs)} ms`)
  },
)

t.test('a call that is over does not take part in the round that has just begun', async (t) => {
  const it = connection()
  it.open = false
  const b = it.join('b')
  const a: Call = {
    pieces: 0,
    turn: it.turns.join(() => {
      a.pieces++
      if (a.pieces === 2) b.turn.leave()
      return 1
    }),
  }
  for (const { turn } of [a, b]) turn.want()
  it.left(a, b)
  t.equal(a.pieces, 2)
  t.equal(it.handed(), 'b')
})

t.test('looks once for all that leaves in one turn', async (t) => {
  const it = connection()
  it.open = false
  const calls = Array.from({ length: 10 }, () => it.join('x'))
  for (const { turn } of calls) turn.want()
  for (const { turn } of calls) turn.left()
  t.equal(it.tried(), 1)
  calls[0]!.turn.want()
  it.left(calls[0]!)
  t.equal(it.tried(), 1, 'and then again')
})

t.test('has one look ahead, however many wait', async (t) => {
  const it = connection()
  it.open = false
  const calls = Array.from({ length: 10 }, () => it.join('x'))
  for (const { turn } of calls) turn.want()
  t.equal(it.clock.waiting(), 0, 'nobody waits yet')
  it.left(...calls.slice(1))
  it.tried()
  t.equal(it.clock.waiting(), 1)
  it.clock.advance(2)
  t.equal(it.clock.waiting(), 1)
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
  t.equal(it.clock.waiting(), 0)
  it.open = true
  it.tried()
  it.left(a, b)
  it.tried()
  t.equal(it.clock.waiting(), 0)
  t.equal(it.handed(), 'ab')
})
