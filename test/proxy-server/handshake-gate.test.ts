import { Socket } from 'node:net'
import t from 'tap'
import { createHandshakeGate, LONGEST_WAIT_MS, MOST_AT_ONCE } from '../../src/proxy-server/handshake-gate.ts'
import { comesFrom } from '../../src/proxy-server/source.ts'
import { manualClock } from '../platform/manual-clock.ts'

function setup(perSecond: number, waitMs: number) {
  const clock = manualClock()
  const admitted: Socket[] = []
  const turnedAway: number[] = []
  const take = createHandshakeGate({
    perSecond,
    waitMs,
    clock,
    admit: (socket) => admitted.push(socket),
    turnedAway: () => turnedAway.push(clock.now()),
  })
  const sockets: Socket[] = []
  /** Some connections at once; those that a gate holds are told by their index. */
  const come = (count: number, from = '192.0.2.1'): void => {
    for (let index = 0; index < count; index++) {
      const socket = new Socket()
      Object.defineProperty(socket, 'remoteAddress', { value: from })
      sockets.push(socket)
      take(socket)
    }
  }
  const inside = (): number[] => admitted.map((socket) => sockets.indexOf(socket))
  return { clock, take, come, sockets, inside, turnedAway }
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index)

t.test('admits a few that come when there is room at once, in the order of arrival', async (t) => {
  const { clock, come, inside } = setup(200, 10_000)
  come(MOST_AT_ONCE)
  t.strictSame(inside(), upTo(MOST_AT_ONCE))
  t.equal(clock.waiting(), 0)
})

t.test(
  'begins no more in one turn, also when the turn before took long, and all of its rate in a second',
  async (t) => {
    const { clock, come, inside } = setup(200, 10_000)
    come(200)
    t.equal(inside().length, MOST_AT_ONCE)
    clock.advance(500)
    t.equal(inside().length, 2 * MOST_AT_ONCE, 'a turn of half a second')
    for (let turn = 0; turn < 180; turn++) clock.advance(5)
    t.strictSame(inside(), upTo(200))
  },
)

t.test('admits the others at its rate, first come, first served', async (t) => {
  const { clock, come, inside, turnedAway } = setup(10, 10_000)
  come(25)
  t.strictSame(inside(), upTo(10))
  clock.advance(99)
  t.equal(inside().length, 10, 'not yet')
  clock.advance(1)
  t.strictSame(inside(), upTo(11))
  come(1)
  t.strictSame(inside(), upTo(11), 'who comes now waits behind the others')
  t.equal(clock.waiting(), 1, 'one timer for all who wait')
  for (let turn = 0; turn < 20; turn++) clock.advance(100)
  t.strictSame(inside(), upTo(26))
  t.strictSame([clock.waiting(), turnedAway], [0, []])
})

t.test('admits nobody ahead of those who wait, even when a token has just come back', async (t) => {
  const { clock, come, inside } = setup(1, 10_000)
  come(3)
  clock.advance(999)
  come(1)
  t.strictSame(inside(), [0])
  clock.advance(1)
  t.strictSame(inside(), [0, 1])
})

t.test('a clock that jumps lets in what the rate allows, no more', async (t) => {
  const { clock, come, inside } = setup(10, 10_000)
  come(30)
  clock.advance(LONGEST_WAIT_MS - 100)
  t.equal(inside().length, 20)
  clock.advance(100)
  t.equal(inside().length, 21)
})

t.test(
  'turns away who has waited so long that the peer has given up, and takes no turns of others for it',
  async (t) => {
    const { clock, come, sockets, inside, turnedAway } = setup(10, 10_000)
    come(20)
    clock.advance(3_600_000)
    t.strictSame([inside().length, turnedAway.length], [10, 10])
    t.ok(sockets[19]?.destroyed)
    come(9)
    t.equal(inside().length, 19)
  },
)

t.test('nobody waits until an agent asks a second time beside the first', async (t) => {
  const { come, inside, turnedAway } = setup(200, 10_000)
  come(2_000)
  t.equal(turnedAway.length, 2_000 - MOST_AT_ONCE - (200 * LONGEST_WAIT_MS) / 1000)
  t.equal(inside().length, MOST_AT_ONCE)
})

t.test('sources take turns, so nobody waits for all that another source sends', async (t) => {
  const { clock, come, inside } = setup(10, 10_000)
  come(25)
  come(2, '192.0.2.2')
  come(1, '2001:db8::1')
  come(1, '2001:db8::2') // of the same network
  for (let turn = 0; turn < 6; turn++) clock.advance(100)
  t.strictSame(inside().slice(10), [10, 25, 27, 11, 26, 28])
})

t.test('behind a front door the sources are those that it names', async (t) => {
  const { clock, inside, sockets, take } = setup(10, 10_000)
  const come = (count: number, from: string): void => {
    for (let index = 0; index < count; index++) {
      const socket = new Socket()
      Object.defineProperty(socket, 'remoteAddress', { value: '192.0.2.254' })
      comesFrom(socket, { ip: from, port: 1 })
      sockets.push(socket)
      take(socket)
    }
  }
  come(25, '192.0.2.1')
  come(1, '192.0.2.2')
  for (let turn = 0; turn < 2; turn++) clock.advance(100)
  t.strictSame(inside().slice(10), [10, 25])
})

t.test('a source that sends without end takes no place from others: of too many, its newest goes', async (t) => {
  const { clock, come, sockets, inside, turnedAway } = setup(10, 2_000)
  come(30)
  t.strictSame(turnedAway, [])
  come(1, '192.0.2.2')
  t.ok(sockets[29]?.destroyed, 'the newest of the source that has most')
  t.notOk(sockets[30]?.destroyed)
  come(1)
  t.ok(sockets[31]?.destroyed)
  t.equal(turnedAway.length, 2)
  clock.advance(100)
  clock.advance(100)
  t.strictSame(inside().slice(10), [10, 30])
})

t.test('turns away at once whoever would wait for longer than a peer does', async (t) => {
  const { clock, come, sockets, inside, turnedAway } = setup(10, 2_000)
  come(10 + 20)
  t.strictSame(turnedAway, [])
  come(1)
  t.equal(turnedAway.length, 1)
  t.ok(sockets[30]?.destroyed)
  t.notOk(sockets[29]?.destroyed)
  clock.advance(100)
  come(1)
  t.equal(turnedAway.length, 1, 'one place is free again')
  t.strictSame(inside(), upTo(11))
})

t.test('gives the place of a connection that closes while it waits to others', async (t) => {
  const { clock, come, sockets, inside, turnedAway } = setup(1, 2_000)
  come(3)
  sockets[1]?.destroy()
  await new Promise((resolve) => sockets[1]?.once('close', resolve))
  come(1)
  t.strictSame(turnedAway, [])
  clock.advance(1_000)
  clock.advance(1_000)
  t.strictSame(inside(), [0, 2, 3])
})

t.test('admits no connection that was destroyed this very moment', async (t) => {
  const { clock, come, sockets, inside } = setup(1, 5_000)
  come(3)
  sockets[1]?.destroy()
  clock.advance(1_000)
  t.notOk(inside().includes(1))
})

t.test('rests when all that waited have gone, and wakes for the next', async (t) => {
  const { clock, come, sockets, inside } = setup(1, 5_000)
  come(2)
  sockets[1]?.destroy()
  await new Promise((resolve) => sockets[1]?.once('close', resolve))
  clock.advance(1_000)
  t.equal(clock.waiting(), 0)
  come(1)
  t.strictSame(inside(), [0, 2])
})

t.test('serves one a second also when it lets nobody wait for that long', async (t) => {
  const { come, inside, turnedAway } = setup(1, 1)
  come(2)
  t.strictSame([inside(), turnedAway.length], [[0], 0])
  come(1)
  t.equal(turnedAway.length, 1)
})
