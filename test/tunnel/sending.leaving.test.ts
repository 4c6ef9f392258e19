/** An owner that leaves in good order: what it sent arrives, what comes for it is its own to drop, and it ends. */
import { Buffer } from 'node:buffer'
import t from 'tap'
import { close } from '../../src/tunnel/ending.ts'
import { noExtensions } from '../../src/tunnel/extensions.ts'
import { taken } from '../../src/tunnel/receiving.ts'
import { end, leave, send } from '../../src/tunnel/sending.ts'
import { oneSession, usedBytes } from './one-session.ts'

const KIB = 1024
const MINUTE_MS = 60_000
const LOOK_MS = 10_000 // how often idle connections are looked at

t.test('server: the last bytes, then the end that wants nothing back, and it is over', async (t) => {
  const { carrier, open, session } = oneSession({ role: 'server' })
  const { connection, heard } = open(1)
  send(connection, Buffer.from('last'))
  leave(connection)
  t.match(carrier.frames(), [
    { type: 'DATA', data: Buffer.from('last') },
    { type: 'END_OF_DATA', connectId: 1, close: 1, reason: '' },
  ])
  t.strictSame(heard.endings, [{ kind: 'finished' }])
  session.receiveData(carrier, 1, Buffer.from('crosses'))
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' })
  t.strictSame([carrier.frames(), heard.bytes, heard.ended], [[], 0, 0], 'frames that cross the end mean nothing')
})

t.test('server: bytes that found no credit go first', async (t) => {
  const { carrier, open, session } = oneSession({ role: 'server' })
  const { connection, heard } = open(1)
  send(connection, Buffer.alloc(64 * KIB))
  send(connection, Buffer.from('last'))
  leave(connection)
  leave(connection)
  t.strictSame(heard.endings, [])
  carrier.frames()
  session.receive(carrier, { type: 'WINDOW_UPDATE', connectId: 1, credit: 16 * KIB })
  t.match(carrier.frames(), [
    { type: 'DATA', data: Buffer.from('last') },
    { type: 'END_OF_DATA', connectId: 1, close: 1, reason: '' },
  ])
  t.strictSame([heard.endings, heard.resumed], [[{ kind: 'finished' }], 0])
})

t.test('server: whoever has ended its side before says it no second time', async (t) => {
  const { carrier, open, session } = oneSession({ role: 'server' })
  const { connection, heard } = open(1)
  end(connection)
  carrier.frames()
  leave(connection)
  t.strictSame([carrier.frames(), heard.endings], [[], []])
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' })
  t.strictSame(heard.endings, [{ kind: 'finished' }])
})

t.test('server: whoever is over says nothing', async (t) => {
  const { carrier, open } = oneSession({ role: 'server' })
  const { connection, heard } = open(1)
  close(connection, 'enough')
  carrier.frames()
  leave(connection)
  t.strictSame([carrier.frames(), heard.endings.length], [[], 1])
})

t.test('server: the peer’s end before the last bytes have gone does not keep them', async (t) => {
  const { carrier, open, session } = oneSession({ role: 'server' })
  const { connection, heard } = open(1)
  send(connection, Buffer.alloc(64 * KIB))
  send(connection, Buffer.from('last'))
  leave(connection)
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' })
  t.strictSame([heard.ended, heard.endings], [1, []])
  session.receive(carrier, { type: 'WINDOW_UPDATE', connectId: 1, credit: 16 * KIB })
  t.strictSame(heard.endings, [{ kind: 'finished' }])
})

t.test('agent: writes out what it has, and wants to send nothing more', async (t) => {
  const { carrier, open, session, budget } = oneSession({ role: 'agent' })
  const { connection, heard } = open(1)
  session.receiveData(carrier, 1, Buffer.from('last'))
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 1, reason: '' })
  t.strictSame([heard.bytes, heard.ended, heard.endings], [4, 1, [{ kind: 'finished' }]])
  t.equal(budget.usedBytes, 4, 'its socket has yet to take it')
  taken(connection, 4)
  t.equal(budget.usedBytes, 0)
  t.notOk(send(connection, Buffer.from('unwanted')))
  t.strictSame(carrier.frames(), [])
})

t.test('agent: an end that came twice is one', async (t) => {
  const { carrier, open, session } = oneSession({ role: 'agent' })
  const { heard } = open(1)
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' })
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 1, reason: '' })
  t.strictSame([heard.ended, heard.endings], [1, [{ kind: 'finished' }]])
})

t.test('towards a stock agent it is CLOSE_REQ, and its answer the end, however long bytes wait for room', async (t) => {
  const { carrier, open, session, budget } = oneSession({ role: 'server', extensions: noExtensions })
  const { connection, heard } = open(1)
  carrier.roomBytes = 2
  send(connection, Buffer.from('last'))
  leave(connection)
  t.match(carrier.frames(), [{ data: Buffer.from('la') }])
  for (let nowMs = 0; nowMs < 5 * MINUTE_MS; nowMs += LOOK_MS) {
    session.heard(nowMs)
    session.tick(nowMs, nowMs)
  }
  carrier.roomBytes = 100
  session.writable(carrier)
  t.match(carrier.frames(), [{ data: Buffer.from('st') }, { type: 'CLOSE_REQ', connectId: 1, reason: '' }])
  session.receiveData(carrier, 1, Buffer.from('dropped'))
  taken(connection, 7)
  t.strictSame([heard.bytes, heard.endings], [7, []])
  session.receive(carrier, { type: 'CLOSE_RSP', connectId: 1, error: '' })
  t.strictSame(heard.endings, [{ kind: 'finished' }])
  t.equal(budget.usedBytes, 0)
})

t.test(
  'the bytes of an owner that leaves while they wait for its socket stay counted until it takes them',
  async (t) => {
    const it = oneSession({ role: 'server' })
    const { connection } = it.open(1)
    it.session.receiveData(it.carrier, 1, Buffer.alloc(100))
    leave(connection)
    t.equal(usedBytes(it), 100)
    taken(connection, 100)
    t.equal(usedBytes(it), 0)
  },
)
