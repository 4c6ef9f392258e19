/** What is asked of the kernel; that it does it is shown by test/e2e/vanished.test.ts. */
import { Socket } from 'node:net'
import t from 'tap'
import { keepAlive } from '../../src/platform/keep-alive.ts'

const HEARTBEAT_TIMEOUT_MS = 12_000

t.test('a peer that is gone is known within 13 s, and not before three questions have gone unanswered', async (t) => {
  const socket = new Socket()
  const asked: number[] = []
  socket.setKeepAlive = (...given: unknown[]) => {
    const [enable, ...times] = given
    if (enable === true) asked.push(...(times as number[]))
    return socket
  }
  keepAlive(socket)
  const [silence = 0, again = 0, questions = 0] = asked
  t.ok(questions >= 3)
  t.ok(silence + questions * again <= 13_000)
  t.ok(silence + questions * again >= HEARTBEAT_TIMEOUT_MS, 'no less patient than with agents')
  t.strictSame([silence % 1000, again % 1000], [0, 0], 'the kernel counts in seconds')
})
