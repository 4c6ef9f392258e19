/** What one end sends, as far as credit and room go. */
import { Buffer } from 'node:buffer'
import t from 'tap'
import { createBudget, spend } from '../../src/tunnel/budget.ts'
import { READ_BYTES } from '../../src/tunnel/carrier.ts'
import { close } from '../../src/tunnel/ending.ts'
import { end, mayRead, send } from '../../src/tunnel/sending.ts'
import { hearing, oneSession, stockSession, usedBytes } from './one-session.ts'

const KIB = 1024

t.test('sends on until its credit is used up, says so once, and reads on when there is more', async (t) => {
  const { session, carrier, open } = oneSession({ role: 'server' })
  const { connection, heard } = open(1)
  t.ok(send(connection, Buffer.alloc(64 * KIB - 1)), 'one byte is left')
  t.notOk(send(connection, Buffer.alloc(128 * KIB)), 'so this read may go, all of it')
  t.notOk(send(connection, Buffer.alloc(10)), 'this one waits')
  t.match(
    carrier.frames().map((frame) => (frame.type === 'DATA' ? frame.data.length : frame)),
    [64 * KIB - 1, 128 * KIB, { type: 'BLOCKED', connectId: 1 }],
  )
  session.receive(carrier, { type: 'WINDOW_UPDATE', connectId: 1, credit: 128 * KIB - 1 })
  t.strictSame([carrier.frames(), heard.resumed], [[], 0], 'that only pays the debt')
  session.receive(carrier, { type: 'WINDOW_UPDATE', connectId: 1, credit: 11 })
  t.match(carrier.frames(), [{ type: 'DATA', data: Buffer.alloc(10) }])
  session.writable(carrier)
  t.equal(heard.resumed, 1)
})

t.test('copies what it must keep: the buffer of a read is used again', async (t) => {
  const { session, carrier, open } = oneSession({ role: 'server' })
  const { connection } = open(1)
  carrier.roomBytes = 2
  const read = Buffer.from('hello')
  send(connection, read)
  read.fill('x')
  carrier.roomBytes = 100
  session.writable(carrier)
  t.match(carrier.frames(), [{ data: Buffer.from('he') }, { data: Buffer.from('llo') }])
})

t.test('closes alone a peer that grants credit which cannot be', async (t) => {
  for (const credit of [0, -1, 2 ** 31]) {
    const { session, carrier, open } = oneSession({ role: 'agent' })
    const { heard } = open(1)
    session.receive(carrier, { type: 'WINDOW_UPDATE', connectId: 1, credit })
    t.match(heard.endings, [{ kind: 'reset', reason: 'flow-control-violation' }], `${credit}`)
  }
})

t.test('says the end of its bytes once, and none of a connection that is over', async (t) => {
  const { carrier, open } = oneSession({ role: 'server' })
  const { connection } = open(1)
  end(connection)
  end(connection)
  t.strictSame(carrier.frames(), [{ type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' }])
  const { connection: broken } = open(2)
  close(broken, 'enough')
  carrier.frames()
  end(broken)
  t.strictSame(carrier.frames(), [])
})

t.test('an end stays behind the bytes that wait for credit', async (t) => {
  const { session, carrier, open } = oneSession({ role: 'server' })
  const { connection } = open(1)
  send(connection, Buffer.alloc(64 * KIB))
  send(connection, Buffer.from('last'))
  end(connection)
  t.strictSame(
    carrier.frames().map(({ type }) => type),
    ['DATA', 'BLOCKED'],
  )
  session.receive(carrier, { type: 'WINDOW_UPDATE', connectId: 1, credit: 1 })
  t.match(carrier.frames(), [{ type: 'DATA', data: Buffer.from('last') }, { type: 'END_OF_DATA' }])
})

t.test('towards a stock peer it reads on as long as the carrier has room for one more read', async (t) => {
  const { session, carrier, open } = stockSession('server')
  const { connection, heard } = open(1)
  carrier.roomBytes = READ_BYTES + 10
  t.ok(send(connection, Buffer.alloc(10)))
  t.notOk(send(connection, Buffer.alloc(10)))
  t.equal(heard.resumed, 0)
  carrier.roomBytes = READ_BYTES
  session.writable(carrier)
  t.equal(heard.resumed, 1)
})

t.test('asked before the first read, says to wait when there is no room for it', async (t) => {
  const { session, carrier, open } = oneSession({ role: 'agent' })
  const [first, second] = [open(1), open(2)]
  t.ok(mayRead(first.connection))
  carrier.roomBytes = READ_BYTES - 1
  t.notOk(mayRead(second.connection))
  carrier.roomBytes = READ_BYTES
  session.writable(carrier)
  t.strictSame([first.heard.resumed, second.heard.resumed], [0, 1])
})

t.test(
  'when many who were silent send at once, all pause before one would be closed, and all have their turns',
  async (t) => {
    const limitBytes = 4 * 1024 * KIB
    const one = oneSession({ role: 'agent', budget: createBudget(limitBytes) })
    const { session, carrier } = one
    const crowd = Array.from({ length: 100 }, (_, index) => {
      const heard = hearing()
      const owner = { reading: true, paused: 0, sent: 0, heard }
      const events = {
        ...heard.events,
        resume: () => {
          owner.reading = true
        },
        pause: () => {
          owner.reading = false
          owner.paused++
        },
      }
      return { owner, connection: one.open(index + 1, events).connection }
    })
    const readAll = (): void => {
      for (const { owner, connection } of crowd) {
        if (!owner.reading || owner.sent > 0) continue
        owner.sent += READ_BYTES
        owner.reading = send(connection, Buffer.alloc(READ_BYTES))
      }
    }
    carrier.roomBytes = 0
    readAll()
    t.ok(usedBytes(one) <= limitBytes / 4 + READ_BYTES, `${usedBytes(one)} bytes are held`)
    t.equal(crowd.filter(({ owner }) => owner.reading).length, 0, 'nobody reads')
    t.ok(crowd.every(({ owner }) => owner.sent > 0 || owner.paused === 1))
    for (let turn = 0; turn < 100; turn++) {
      carrier.roomBytes = 512 * KIB
      session.writable(carrier)
      readAll()
    }
    t.equal(crowd.filter(({ owner }) => owner.sent > 0).length, crowd.length, 'all have sent')
    t.strictSame(
      crowd.flatMap(({ owner }) => owner.heard.endings),
      [],
      'and nobody was closed',
    )
    t.equal(usedBytes(one), 0)
  },
)

t.test('pauses them earlier when the process holds much for others', async (t) => {
  const process = createBudget(8 * 1024 * KIB)
  const { carrier, open } = oneSession({ role: 'agent', budget: createBudget(4 * 1024 * KIB, process) })
  let paused = 0
  const events = { ...hearing().events, pause: () => paused++ }
  const [first] = [open(1).connection, open(2, events)]
  carrier.roomBytes = 0
  send(first, Buffer.alloc(READ_BYTES))
  t.equal(paused, 0)
  spend(process, 4 * 1024 * KIB)
  send(first, Buffer.alloc(READ_BYTES))
  t.equal(paused, 1)
  send(first, Buffer.alloc(READ_BYTES))
  t.equal(paused, 1, 'once is enough')
})
