import { Socket } from 'node:net'
import t from 'tap'
import { checkOnce } from '../../src/sni-router/health-check.ts'
import { manualClock } from '../platform/manual-clock.ts'

/** A check over a socket that is never connected: the test says what becomes of it. */
function setup() {
  const clock = manualClock()
  const socket = new Socket()
  const told: string[] = []
  const check = checkOnce({ ip: '192.0.2.1', port: 9 }, 2_000, { clock, connect: () => socket }, (result) =>
    told.push(result),
  )
  return { clock, socket, told, check }
}

t.test('an accepted connection is well and is closed at once; what comes after it is nothing new', async (t) => {
  const { clock, socket, told } = setup()
  socket.emit('connect')
  t.ok(socket.destroyed)
  socket.emit('error', new Error('late'))
  t.equal(clock.waiting(), 0)
  t.strictSame(told, ['ok'])
})

t.test('an error and silence are failures, silence after its time and not before', async (t) => {
  const refused = setup()
  refused.socket.emit('error', new Error('refused'))
  t.strictSame([refused.told, refused.clock.waiting()], [['failed'], 0])
  const silent = setup()
  silent.clock.advance(1_999)
  t.strictSame(silent.told, [])
  silent.clock.advance(1)
  t.strictSame(silent.told, ['failed'])
  t.ok(silent.socket.destroyed)
})

t.test('a check that is given up closes its connection and tells nothing', async (t) => {
  const { clock, socket, told, check } = setup()
  check[Symbol.dispose]()
  t.ok(socket.destroyed)
  socket.emit('connect')
  clock.advance(60_000)
  t.strictSame(told, [])
})
