/** An owner whose socket breaks: what was read of it before still arrives, and behind that the peer hears why. */
import { Buffer } from 'node:buffer'
import t from 'tap'
import { close } from '../../src/tunnel/ending.ts'
import { noExtensions } from '../../src/tunnel/extensions.ts'
import { MAX_LANE_CONNECT_ID, MAX_PACKET_BYTES } from '../../src/tunnel/lane-frames.ts'
import type { Packet } from '../../src/tunnel/packet.ts'
import { packetBytes } from '../../src/tunnel/packet-codec.ts'
import { taken } from '../../src/tunnel/receiving.ts'
import { breakOff, end, send } from '../../src/tunnel/sending.ts'
import { moveTo, oneSession, usedBytes } from './one-session.ts'
import { recordedCarrier } from './recorded-carrier.ts'

const KIB = 1024
const MINUTE_MS = 60_000
const LOOK_MS = 10_000 // how often idle connections are looked at

const broken = { kind: 'reset', by: 'self', reason: 'ECONNRESET' } as const
const brokenThere = { kind: 'reset', by: 'peer', reason: 'ECONNRESET', inOrder: true } as const

for (const role of ['server', 'agent'] as const) {
  t.test(`${role}: says so behind the last byte, and it is over`, async (t) => {
    const { carrier, open, session, told } = oneSession({ role })
    const { connection, heard } = open(1)
    send(connection, Buffer.from('last'))
    breakOff(connection, 'ECONNRESET')
    t.match(carrier.frames(), [
      { type: 'DATA', data: Buffer.from('last') },
      { type: 'END_OF_DATA', connectId: 1, close: 1, reason: 'ECONNRESET' },
    ])
    t.strictSame(heard.endings, [broken])
    breakOff(connection, 'socket-closed')
    session.receiveData(carrier, 1, Buffer.from('crosses'))
    session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' })
    t.strictSame([carrier.frames(), heard.bytes, heard.ended], [[], 0, 0])
    t.notOk(
      told.some(([what]) => what === 'violation'),
      'frames that cross the end break no rule',
    )
  })

  t.test(`${role}: bytes that found no credit go first, and what comes meanwhile is dropped`, async (t) => {
    const it = oneSession({ role })
    const { carrier, open, session } = it
    const { connection, heard } = open(1)
    session.receiveData(carrier, 1, Buffer.alloc(100))
    send(connection, Buffer.alloc(64 * KIB))
    send(connection, Buffer.from('last'))
    breakOff(connection, 'ECONNRESET')
    breakOff(connection, 'socket-closed')
    t.strictSame(heard.endings, [])
    t.equal(usedBytes(it), 4, 'what came for the socket no longer counts, what was read of it does')
    taken(connection, 100) // a write that fails ends as one that is done
    session.receiveData(carrier, 1, Buffer.from('unwanted'))
    session.receive(carrier, { type: 'BLOCKED', connectId: 1 })
    session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' })
    t.strictSame([heard.bytes, heard.ended, heard.endings, usedBytes(it)], [100, 0, [], 4])
    carrier.frames()
    session.receive(carrier, { type: 'WINDOW_UPDATE', connectId: 1, credit: 16 * KIB })
    t.match(carrier.frames(), [
      { type: 'DATA', data: Buffer.from('last') },
      { type: 'END_OF_DATA', close: 1, reason: 'ECONNRESET' },
    ])
    t.strictSame([heard.endings, heard.resumed, usedBytes(it)], [[broken], 0, 0])
  })
}

t.test('a peer that has not taken all of it in a minute, but a little at a time, is told at once', async (t) => {
  const { carrier, open, session } = oneSession({ role: 'agent' })
  const { connection, heard } = open(1)
  send(connection, Buffer.alloc(64 * KIB))
  for (const bytes of [1, 2, 3]) send(connection, Buffer.alloc(bytes * KIB))
  const pass = (fromMs: number, toMs: number): void => {
    for (let nowMs = fromMs; nowMs < toMs; nowMs += LOOK_MS) {
      session.heard(nowMs)
      session.tick(nowMs, nowMs)
    }
  }
  pass(0, MINUTE_MS)
  breakOff(connection, 'ECONNRESET')
  pass(MINUTE_MS, 1.5 * MINUTE_MS)
  session.receive(carrier, { type: 'WINDOW_UPDATE', connectId: 1, credit: 1 })
  pass(1.5 * MINUTE_MS, 2 * MINUTE_MS - LOOK_MS)
  t.strictSame(heard.endings, [])
  carrier.frames()
  pass(2 * MINUTE_MS - LOOK_MS, 2 * MINUTE_MS + LOOK_MS)
  t.match(heard.endings, [{ kind: 'reset', by: 'self', reason: 'peer-takes-nothing' }])
  t.match(
    carrier.frames().filter(({ type }) => type === 'CLOSE_RSP'),
    [{ connectId: 1, error: 'peer-takes-nothing' }],
  )
})

t.test('who breaks behind its end says so where no lane can lose it', async (t) => {
  const { carrier, open, session } = oneSession({ role: 'agent' })
  const lane = recordedCarrier(1)
  session.addCarrier(lane)
  const { connection, heard } = open(1)
  session.receive(carrier, { type: 'BLOCKED', connectId: 1 }) // the peer knows of it
  t.ok(moveTo(connection, lane))
  send(connection, Buffer.from('last'))
  end(connection)
  carrier.frames()
  lane.frames()
  breakOff(connection, 'EPIPE')
  t.match([carrier.frames(), lane.frames()], [[{ type: 'END_OF_DATA', close: 1, reason: 'EPIPE' }], []])
  t.match(heard.endings, [{ by: 'self', reason: 'EPIPE' }])
})

t.test('on a lane it stands behind the data that went there', async (t) => {
  const { carrier, open, session } = oneSession({ role: 'agent' })
  const lane = recordedCarrier(1)
  session.addCarrier(lane)
  const { connection } = open(1)
  session.receive(carrier, { type: 'BLOCKED', connectId: 1 })
  moveTo(connection, lane)
  lane.frames()
  carrier.frames()
  send(connection, Buffer.from('last'))
  breakOff(connection, 'E'.repeat(1_000))
  const [data, said] = lane.frames()
  t.match([data, said], [{ type: 'DATA' }, { type: 'END_OF_DATA', reason: /^E+$/ }])
  t.strictSame(carrier.frames(), [])
  const longest = packetBytes({ ...(said as Extract<Packet, { type: 'END_OF_DATA' }>), connectId: MAX_LANE_CONNECT_ID })
  t.ok(longest <= MAX_PACKET_BYTES, `${longest} bytes are what a lane takes of a packet, however long the reason was`)
})

t.test('the other end hears of it behind the last byte, and writes out what it has', async (t) => {
  const it = oneSession({ role: 'server' })
  const { carrier, open, session } = it
  const { connection, heard } = open(1)
  session.receiveData(carrier, 1, Buffer.from('last'))
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 1, reason: 'ECONNRESET' })
  t.strictSame([heard.bytes, heard.ended, heard.endings], [4, 0, [brokenThere]], 'and is not told of an end')
  t.equal(usedBytes(it), 4, 'its socket has yet to take it')
  taken(connection, 4)
  t.equal(usedBytes(it), 0)
  t.notOk(send(connection, Buffer.from('unwanted')))
  t.strictSame(carrier.frames(), [])
})

t.test('the other end may have heard the end before', async (t) => {
  const { carrier, open, session } = oneSession({ role: 'server' })
  const { heard } = open(1)
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' })
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 1, reason: 'ECONNRESET' })
  t.strictSame([heard.ended, heard.endings], [1, [brokenThere]])
})

t.test('a break that overtakes bytes and end on a lane waits for them', async (t) => {
  const { carrier, open, session, budget } = oneSession({ role: 'server' })
  const lane = recordedCarrier(1)
  session.addCarrier(lane)
  const { connection, heard } = open(1)
  session.receive(carrier, { type: 'MOVE', connectId: 1, carrier: 1 })
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 1, reason: 'ECONNRESET' })
  t.strictSame(heard.endings, [])
  session.receiveData(lane, 1, Buffer.from('last'))
  session.receive(lane, { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' })
  t.strictSame([heard.bytes, heard.ended, heard.endings], [4, 1, [brokenThere]])
  taken(connection, 4)
  t.equal(budget.usedBytes, 0)
})

t.test('a peer that says its end again and again ahead of it gains nothing by that', async (t) => {
  for (const [close, reason] of [
    [0, ''],
    [1, ''],
    [0, 'no break without close'],
  ] as const) {
    const it = oneSession({ role: 'server' })
    const { carrier, open, session } = it
    const lane = recordedCarrier(1)
    session.addCarrier(lane)
    const { connection, heard } = open(1)
    session.receive(carrier, { type: 'MOVE', connectId: 1, carrier: 1 })
    for (let count = 0; count < 60_000; count++) {
      session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close, reason })
    }
    t.ok(usedBytes(it) > 60_000 * 500)
    session.receive(lane, { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' })
    t.strictSame([heard.ended, heard.endings, usedBytes(it)], [1, [], 0])
    end(connection)
    t.strictSame(heard.endings, [{ kind: 'finished' }])
  }
})

t.test('a stock CLOSE that meets a break is an end of the one that broke', async (t) => {
  for (const [role, type] of [
    ['server', 'CLOSE_RSP'],
    ['agent', 'CLOSE_REQ'],
  ] as const) {
    const { carrier, open, session } = oneSession({ role, extensions: noExtensions })
    const { connection, heard } = open(1)
    carrier.roomBytes = 2
    send(connection, Buffer.from('last'))
    breakOff(connection, 'ECONNRESET')
    session.receive(
      carrier,
      type === 'CLOSE_RSP' ? { type, connectId: 1, error: '' } : { type, connectId: 1, reason: '' },
    )
    t.strictSame(heard.endings, [broken], role)
  }
})

t.test('two that break at the same time forget each other', async (t) => {
  const { carrier, open, session } = oneSession({ role: 'server' })
  const { connection, heard } = open(1)
  send(connection, Buffer.alloc(64 * KIB))
  send(connection, Buffer.from('for nobody'))
  breakOff(connection, 'EPIPE')
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 1, reason: 'ECONNRESET' })
  t.strictSame(heard.endings, [{ kind: 'reset', by: 'self', reason: 'EPIPE' }])
  t.equal(session.connectionCount(), 0)
})

t.test('the socket of a finished connection that breaks gives up what it has not taken', async (t) => {
  const it = oneSession({ role: 'server' })
  const { connection, heard } = it.open(1)
  it.session.receiveData(it.carrier, 1, Buffer.alloc(100))
  it.session.receive(it.carrier, { type: 'END_OF_DATA', connectId: 1, close: 1, reason: '' })
  t.equal(usedBytes(it), 100)
  breakOff(connection, 'ECONNRESET')
  t.equal(usedBytes(it), 0)
  t.strictSame(heard.endings, [{ kind: 'finished' }])
})

t.test('whoever is over says nothing', async (t) => {
  const { carrier, open } = oneSession({ role: 'server' })
  const { connection, heard } = open(1)
  close(connection, 'enough')
  carrier.frames()
  breakOff(connection, 'ECONNRESET')
  t.strictSame([carrier.frames(), heard.endings.length], [[], 1])
})

for (const [role, type] of [
  ['server', 'CLOSE_REQ'],
  ['agent', 'CLOSE_RSP'],
] as const) {
  t.test(`${role}: towards a stock peer it is ${type}, behind bytes that wait for room`, async (t) => {
    const { carrier, open, session, budget } = oneSession({ role, extensions: noExtensions })
    const { connection, heard } = open(1)
    session.receiveData(carrier, 1, Buffer.alloc(100))
    carrier.roomBytes = 2
    send(connection, Buffer.from('last'))
    breakOff(connection, 'ECONNRESET')
    t.match(carrier.frames(), [{ data: Buffer.from('la') }])
    t.equal(budget.usedBytes, 2)
    carrier.roomBytes = 100
    session.writable(carrier)
    t.match(carrier.frames(), [{ data: Buffer.from('st') }, { type, connectId: 1 }])
    t.strictSame([heard.endings, budget.usedBytes], [[broken], 0])
  })
}
