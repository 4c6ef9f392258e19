/** What one end sends, as far as credit and room go. */
import { Buffer } from 'node:buffer'
import t from 'tap'
import { READ_BYTES } from '../../src/tunnel/carrier.ts'
import { close } from '../../src/tunnel/ending.ts'
import { end, send } from '../../src/tunnel/sending.ts'
import { oneSession, stockSession } from './one-session.ts'

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
  t.strictSame(carrier.frames(), [{ type: 'END_OF_DATA', connectId: 1, close: 0 }])
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
