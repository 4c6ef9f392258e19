/** Closing with peers that know no half close. */
import { Buffer } from 'node:buffer'
import t from 'tap'
import { taken } from '../../src/tunnel/receiving.ts'
import { end, send } from '../../src/tunnel/sending.ts'
import { stockSession } from './one-session.ts'

t.test('server: sends all of the client before CLOSE_REQ, and goes on receiving until CLOSE_RSP', async (t) => {
  const { session, carrier, open } = stockSession('server')
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

t.test('server: an error in CLOSE_RSP is a reset with the reason of the agent', async (t) => {
  const { session, carrier, open } = stockSession('server')
  const { heard } = open(1)
  session.receive(carrier, { type: 'CLOSE_RSP', connectId: 1, error: 'unrecognized connectID' })
  t.strictSame(heard.endings, [{ kind: 'reset', by: 'peer', reason: 'unrecognized connectID' }])
})

t.test('agent: writes out all it has received before it answers CLOSE_REQ', async (t) => {
  const { session, carrier, open } = stockSession('agent')
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
  const { session, carrier, open } = stockSession('agent')
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
