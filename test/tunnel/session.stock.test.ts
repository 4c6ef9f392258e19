/** Towards stock peers: no credit, the close handshake of konnectivity, and back-pressure on the whole stream. */
import { Buffer } from 'node:buffer'
import t from 'tap'
import { createBudget } from '../../src/tunnel/budget.ts'
import { close } from '../../src/tunnel/ending.ts'
import { noExtensions } from '../../src/tunnel/extensions.ts'
import { taken } from '../../src/tunnel/receiving.ts'
import { end, send } from '../../src/tunnel/sending.ts'
import { type OneSessionOptions, oneSession } from './one-session.ts'

const stock = (role: 'server' | 'agent', more: Partial<OneSessionOptions> = {}) =>
  oneSession({ role, extensions: noExtensions, ...more })

/** Limits small enough to reach: bytes that may wait for one socket, and for all of them. */
function withStockLimits(connectionBytes: number, streamBytes: number) {
  const limits = { stock: { connectionBytes, streamBytes, slowBytes: 640 * 1024, slowMs: 10_000 } }
  return stock('server', { limits, budget: createBudget(streamBytes) })
}

t.test('server: sends all of the client before CLOSE_REQ, and goes on receiving until CLOSE_RSP', async (t) => {
  const { session, carrier, open } = stock('server')
  const { connection, heard } = open(1)
  carrier.roomBytes = 3
  send(connection, Buffer.from('hello'))
  end(connection)
  t.match(carrier.frames(), [{ type: 'DATA', data: Buffer.from('hel') }])
  carrier.roomBytes = 100
  session.writable(carrier)
  t.match(carrier.frames(), [
    { type: 'DATA', data: Buffer.from('lo') },
    { type: 'CLOSE_REQ', connectId: 1, reason: '' },
  ])
  session.receiveData(carrier, 1, Buffer.from('late'))
  t.strictSame([heard.bytes, heard.endings], [4, []])
  session.receive(carrier, { type: 'CLOSE_RSP', connectId: 1, error: '' })
  t.strictSame([heard.ended, heard.endings], [1, [{ kind: 'finished' }]])
  t.strictSame(carrier.frames(), [], 'nothing more is said')
})

t.test(
  'server: a target that closes first finishes the connection; what crosses is answered as the reference does',
  async (t) => {
    const { session, carrier, open, told } = stock('server')
    const { heard } = open(1)
    session.receiveData(carrier, 1, Buffer.from('bye'))
    session.receive(carrier, { type: 'CLOSE_RSP', connectId: 1, error: '' })
    t.strictSame([heard.bytes, heard.ended, heard.endings], [3, 1, [{ kind: 'finished' }]])
    for (let count = 0; count < 1_000; count++) session.receiveData(carrier, 1, Buffer.from('x'))
    session.receive(carrier, { type: 'CLOSE_RSP', connectId: 1, error: 'unrecognized connectID' })
    t.strictSame(carrier.frames(), [{ type: 'CLOSE_REQ', connectId: 1, reason: '' }], 'once, however much comes')
    t.strictSame(told, [], 'crossing frames are no violation')
  },
)

t.test('server: an error in CLOSE_RSP is a reset with the reason of the agent', async (t) => {
  const { session, carrier, open } = stock('server')
  const { heard } = open(1)
  session.receive(carrier, { type: 'CLOSE_RSP', connectId: 1, error: 'unrecognized connectID' })
  t.strictSame(heard.endings, [{ kind: 'reset', by: 'peer', reason: 'unrecognized connectID' }])
})

t.test('server: gives up on an agent that never answers CLOSE_REQ, 30 s after the last byte', async (t) => {
  const { session, carrier, open } = stock('server')
  const { connection, heard } = open(1)
  end(connection)
  for (let ms = 10_000; ms <= 20_000; ms += 5_000) {
    session.heard(ms)
    session.tick(ms, ms)
  }
  session.receiveData(carrier, 1, Buffer.from('x'))
  for (let ms = 25_000; ms < 50_000; ms += 5_000) {
    session.heard(ms)
    session.tick(ms, ms)
  }
  t.strictSame(heard.endings, [])
  session.heard(60_000)
  session.tick(60_000, 60_000)
  t.strictSame(heard.endings, [{ kind: 'reset', by: 'tunnel', reason: 'close-unanswered' }])
})

t.test('agent: writes out all it has received before it answers CLOSE_REQ', async (t) => {
  const { session, carrier, open } = stock('agent')
  const { connection, heard } = open(1)
  session.receiveData(carrier, 1, Buffer.from('hello'))
  session.receive(carrier, { type: 'CLOSE_REQ', connectId: 1, reason: '' })
  t.strictSame([heard.ended, heard.endings, carrier.frames()], [1, [], []])
  taken(connection, 4)
  t.strictSame(carrier.frames(), [])
  taken(connection, 1)
  t.strictSame(carrier.frames(), [{ type: 'CLOSE_RSP', connectId: 1, error: '' }])
  t.strictSame(heard.endings, [{ kind: 'finished' }])
})

t.test('agent: the end of the target is CLOSE_RSP without an error, behind its data', async (t) => {
  const { session, carrier, open } = stock('agent')
  const { connection, heard } = open(1)
  carrier.roomBytes = 2
  send(connection, Buffer.from('bye'))
  end(connection)
  carrier.roomBytes = 100
  session.writable(carrier)
  t.match(carrier.frames(), [
    { type: 'DATA', data: Buffer.from('by') },
    { type: 'DATA', data: Buffer.from('e') },
    { type: 'CLOSE_RSP', connectId: 1, error: '' },
  ])
  t.strictSame(heard.endings, [{ kind: 'finished' }])
})

t.test('agent: answers for connections that it does not know in the words of the reference', async (t) => {
  const { session, carrier, told } = stock('agent')
  session.receiveData(carrier, 7, Buffer.from('x'))
  session.receive(carrier, { type: 'CLOSE_REQ', connectId: 7, reason: '' })
  session.receiveData(carrier, 0, Buffer.from('x'))
  t.strictSame(carrier.frames(), [
    { type: 'CLOSE_RSP', connectId: 7, error: 'unrecognized connectID' },
    { type: 'CLOSE_RSP', connectId: 7, error: 'Unknown connectID' },
  ])
  t.strictSame(told, [
    ['violation', 'unknown-connection'],
    ['violation', 'unknown-connection'],
  ])
})

t.test('never sends a frame of an extension', async (t) => {
  for (const role of ['server', 'agent'] as const) {
    const { session, carrier, open, told } = stock(role)
    const { connection } = open(1)
    while (send(connection, Buffer.alloc(100_000))) carrier.roomBytes = 512 * 1024
    session.receiveData(carrier, 1, Buffer.alloc(200_000))
    taken(connection, 200_000)
    session.tick(500, 500)
    if (role === 'agent') session.drain()
    session.goAway('shutdown', 1, 1)
    close(connection, 'ECONNRESET')
    const types = new Set(carrier.frames().map(({ type }) => type))
    t.strictSame([...types], role === 'server' ? ['DATA', 'CLOSE_REQ'] : ['DATA', 'DRAIN', 'CLOSE_RSP'])
    t.ok(
      told.some(([name]) => name === 'ping'),
      'it is pinged in the way of HTTP/2 instead',
    )
  }
})

t.test('agent: has drained when a ping that was sent after DRAIN is answered, not one from before', async (t) => {
  const { session, carrier, told } = stock('agent')
  session.tick(0, 0)
  session.drain()
  t.strictSame(carrier.frames(), [{ type: 'DRAIN' }])
  t.strictSame(told, [
    ['ping', 1],
    ['ping', 2],
  ])
  session.pingAnswered(1)
  t.equal(told.length, 2, 'the server may not have read DRAIN yet')
  session.pingAnswered(2)
  t.strictSame(told.slice(2), [['drained']])
  session.pingAnswered(2)
  t.equal(told.length, 3)
})

t.test('reads a socket on only when its last chunk has left', async (t) => {
  const { session, carrier, open } = stock('server')
  const { connection, heard } = open(1)
  t.notOk(send(connection, Buffer.alloc(10)))
  t.equal(heard.resumed, 0)
  session.writable(carrier)
  t.equal(heard.resumed, 1)
})

t.test('stops reading the carrier while a socket is over its limit, until half of that is left', async (t) => {
  const { session, carrier, open } = withStockLimits(1_000, 10_000)
  const { connection } = open(1)
  session.receiveData(carrier, 1, Buffer.alloc(1_000))
  t.ok(carrier.reading, 'at the limit')
  session.receiveData(carrier, 1, Buffer.alloc(1))
  t.notOk(carrier.reading, 'one byte over it')
  taken(connection, 500)
  t.notOk(carrier.reading, 'more than half is left')
  taken(connection, 1)
  t.ok(carrier.reading)
})

t.test('closes a socket that took too little in 10 s, alone, and reads on', async (t) => {
  const { session, carrier, open } = withStockLimits(1_000_000, 64 * 2 ** 20)
  const [stalled, slow, fine] = [open(1), open(2), open(3)]
  for (const id of [1, 2]) session.receiveData(carrier, id, Buffer.alloc(2_000_000))
  session.receiveData(carrier, 3, Buffer.alloc(1_000))
  session.tick(9_999, 9_999)
  taken(slow.connection, 640 * 1024)
  t.strictSame(stalled.heard.endings, [], 'not yet')
  session.heard(10_000)
  session.tick(10_000, 10_000)
  t.strictSame(stalled.heard.endings, [{ kind: 'reset', by: 'self', reason: 'slow-consumer' }])
  t.strictSame([slow.heard.endings, fine.heard.endings], [[], []])
  t.notOk(carrier.reading, 'the slow one is still over its limit')
  session.heard(20_000)
  session.tick(20_000, 20_000)
  t.match(slow.heard.endings, [{ reason: 'slow-consumer' }], 'each ten seconds count anew')
  t.ok(carrier.reading)
})

t.test('reads on when the connection that filled the budget was closed for it', async (t) => {
  const { session, carrier, open } = withStockLimits(4_000, 10_000)
  const opened = [open(1), open(2), open(3)]
  for (const id of [1, 2]) session.receiveData(carrier, id, Buffer.alloc(3_500))
  session.receiveData(carrier, 3, Buffer.alloc(3_600))
  t.match(opened[2]?.heard.endings, [{ kind: 'reset', reason: 'over-budget' }], 'whoever holds most pays')
  t.ok(carrier.reading, 'the others hold less than the limit, and take nothing that would tell')
})

t.test('counts what finished connections have not written out yet, and reads on when they have', async (t) => {
  const stock = { connectionBytes: 8_000, streamBytes: 10_000, slowBytes: 640 * 1024, slowMs: 10_000 }
  const { session, carrier, open, budget } = oneSession({ role: 'server', extensions: noExtensions, limits: { stock } })
  const [first, second] = [open(1), open(2)]
  open(3)
  for (const id of [1, 2]) {
    session.receiveData(carrier, id, Buffer.alloc(6_000))
    session.receive(carrier, { type: 'CLOSE_RSP', connectId: id, error: '' })
  }
  session.receiveData(carrier, 3, Buffer.alloc(1))
  t.notOk(carrier.reading)
  taken(first.connection, 6_000)
  t.ok(carrier.reading, 'no frame came, and nobody else took anything')
  session.receiveData(carrier, 3, Buffer.alloc(5_000))
  session.receiveData(carrier, 3, Buffer.alloc(1))
  t.notOk(carrier.reading)
  close(second.connection, 'socket-closed')
  t.ok(carrier.reading, 'a finished connection whose socket broke waits for nobody')
  t.equal(budget.usedBytes, 5_002)
})
