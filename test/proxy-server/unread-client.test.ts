import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { UnreadBytes } from '../../src/proxy-server/core/unread.ts'
import {
  clientPaused,
  type UnreadClient,
  unreadClientClosed,
  watchUnread,
} from '../../src/proxy-server/unread-client.ts'
import { event, eventually, within } from '../integration/deadline.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedMetrics } from './recorded-metrics.ts'

type Watched = { on: boolean; bytes: () => number; giveUp: () => void }

/** A served client that is not read, what is counted of it, and the other end. */
async function unreadClient(t: Test) {
  const server = createServer({ pauseOnConnect: true })
  server.listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  const taken = event<Socket>(server, 'connection')
  const other = connect((server.address() as AddressInfo).port, '127.0.0.1')
  t.teardown(() => other.destroy())
  const socket = await taken
  t.teardown(() => socket.destroy())
  const watched: Watched[] = []
  const unread: UnreadBytes = {
    join(bytes, giveUp) {
      const member = { on: false, bytes, giveUp }
      watched.push(member)
      return {
        watch(on) {
          member.on = on
        },
      }
    },
  }
  const clock = manualClock()
  const metrics = recordedMetrics()
  const client: UnreadClient = {
    socket,
    raw: socket,
    deps: { clock, unread, metrics },
    received: Buffer.alloc(0),
    unread: undefined,
    vanished: undefined,
  }
  return { client, other, watched, clock, metrics }
}

t.test('of a client that never pauses nothing is made, and nothing is left when it closes', async (t) => {
  const { client, watched, clock } = await unreadClient(t)
  watchUnread(client, false)
  unreadClientClosed(client)
  t.same(watched, [])
  t.equal(clock.waiting(), 0)
})

t.test('one that pauses is counted once, with what was read from it and what waits in its stream', async (t) => {
  const { client, other, watched } = await unreadClient(t)
  client.received = Buffer.alloc(100)
  clientPaused(client)
  clientPaused(client)
  t.equal(watched.length, 1)
  t.equal(watched[0]?.on, true)
  t.equal(watched[0]?.bytes(), 100)
  other.write(Buffer.alloc(7))
  client.socket.once('readable', () => undefined) // has Node read, and nobody take it
  await eventually('what came is counted', watched[0]!.bytes, (bytes) => bytes === 107)
  watchUnread(client, false)
  t.equal(watched[0]?.on, false)
})

t.test('whether it is still there is looked at while it is paused, and no longer when it has closed', async (t) => {
  const { client, watched, clock } = await unreadClient(t)
  clientPaused(client)
  t.equal(clock.waiting(), 1)
  client.socket.destroy()
  unreadClientClosed(client)
  t.equal(clock.waiting(), 0)
  t.equal(watched[0]?.on, false)
})

t.test('one that is gone is not counted again', async (t) => {
  const { client, watched } = await unreadClient(t)
  client.socket.destroy()
  clientPaused(client)
  t.equal(watched[0]?.on, false)
})

t.test(
  'who gives up for the others is reset, lets go of what was read, and is counted as over the budget',
  async (t) => {
    const { client, other, watched, metrics } = await unreadClient(t)
    client.received = Buffer.alloc(100)
    clientPaused(client)
    const failed = event<NodeJS.ErrnoException>(other, 'error')
    watched[0]?.giveUp()
    t.equal((await within(failed, 'the client sees a reset')).code, 'ECONNRESET')
    t.equal(client.received.length, 0)
    t.same(metrics.counted, [['connectionForced', 'over-budget']])
  },
)
