/** Frames for connections that are over, and for those that never were. */
import { Buffer } from 'node:buffer'
import t from 'tap'
import type { Packet } from '../../src/tunnel/packet.ts'
import { end } from '../../src/tunnel/sending.ts'
import { createStrays } from '../../src/tunnel/strays.ts'
import { oneSession, stockSession } from './one-session.ts'

t.test('drops frames for a connection that is over, silently, and counts those for one that never was', async (t) => {
  const { session, carrier, told, open } = oneSession({ role: 'server' })
  const { connection } = open(1)
  end(connection)
  session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' })
  carrier.frames()
  const frames: Packet[] = [
    { type: 'WINDOW_UPDATE', connectId: 1, credit: 5 },
    { type: 'BLOCKED', connectId: 1 },
    { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' },
    { type: 'CLOSE_RSP', connectId: 1, error: '' },
  ]
  for (const frame of frames) session.receive(carrier, frame)
  session.receiveData(carrier, 1, Buffer.from('x'))
  t.strictSame([told, carrier.frames()], [[], []])
  session.receive(carrier, { type: 'WINDOW_UPDATE', connectId: 2, credit: 5 })
  session.receiveData(carrier, 3, Buffer.from('x'))
  session.receiveData(carrier, 0, Buffer.from('x'))
  t.strictSame(told, [
    ['violation', 'unknown-connection'],
    ['violation', 'unknown-connection'],
  ])
  t.strictSame(carrier.frames(), [{ type: 'CLOSE_REQ', connectId: 3, reason: '' }])
})

t.test('a packet for no connection that comes in pieces is one violation', async (t) => {
  const { session, carrier, told } = oneSession({ role: 'server' })
  session.receiveData(carrier, 7, Buffer.alloc(10))
  for (let piece = 0; piece < 5; piece++) session.receiveData(carrier, 7, Buffer.alloc(10), false)
  t.strictSame(told, [['violation', 'unknown-connection']])
})

t.test('agent: answers for connections that it does not know in the words of the reference', async (t) => {
  const { session, carrier, told } = stockSession('agent')
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

t.test(
  'server: a target that closes first finishes the connection; what crosses is answered as the reference does',
  async (t) => {
    const { session, carrier, open, told } = stockSession('server')
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

t.test('server: remembers the last 1,024 connections that it has refused', async (t) => {
  const answered: Packet[] = []
  const stray = createStrays({
    role: 'server',
    halfClose: false,
    answer: (packet) => answered.push(packet),
    violate: () => {},
  })
  for (let id = 1; id <= 1_025; id++) stray(id, 'DATA', true)
  t.equal(answered.length, 1_025)
  for (let id = 2; id <= 1_025; id++) stray(id, 'DATA', true)
  t.equal(answered.length, 1_025)
  stray(1, 'DATA', true)
  t.equal(answered.length, 1_026, 'the first one is forgotten, and told once more')
})
