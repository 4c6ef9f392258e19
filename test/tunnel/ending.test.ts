import { Buffer } from 'node:buffer'
import t from 'tap'
import { close } from '../../src/tunnel/ending.ts'
import { taken } from '../../src/tunnel/receiving.ts'
import { end, send } from '../../src/tunnel/sending.ts'
import { oneSession } from './one-session.ts'

t.test('is over when both directions have ended, in either order, with no word more', async (t) => {
  for (const first of ['we', 'they'] as const) {
    const { session, carrier, open } = oneSession({ role: 'agent' })
    const { connection, heard } = open(1)
    const theirs = (): void => session.receive(carrier, { type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' })
    if (first === 'they') theirs()
    end(connection)
    t.strictSame(heard.endings, first === 'they' ? [{ kind: 'finished' }] : [])
    if (first === 'we') theirs()
    t.strictSame(heard.endings, [{ kind: 'finished' }])
    t.equal(heard.ended, 1)
    t.strictSame(carrier.frames(), [{ type: 'END_OF_DATA', connectId: 1, close: 0, reason: '' }])
    t.equal(session.connectionCount(), 0)
    t.notOk(send(connection, Buffer.from('late')))
    close(connection, 'late')
    t.strictSame(carrier.frames(), [])
  }
})

t.test('a reset says why to a peer that understands it, whoever it comes from', async (t) => {
  const server = oneSession({ role: 'server' })
  close(server.open(1).connection, 'ECONNRESET')
  t.strictSame(server.carrier.frames(), [{ type: 'CLOSE_REQ', connectId: 1, reason: 'ECONNRESET' }])
  const agent = oneSession({ role: 'agent' })
  const { connection, heard } = agent.open(1)
  agent.session.receiveData(agent.carrier, 1, Buffer.alloc(100))
  agent.session.receive(agent.carrier, { type: 'CLOSE_REQ', connectId: 1, reason: 'ECONNRESET' })
  t.strictSame(heard.endings, [{ kind: 'reset', by: 'peer', reason: 'ECONNRESET' }])
  t.equal(agent.budget.usedBytes, 0, 'what it had not taken is let go')
  taken(connection, 100)
  t.strictSame([agent.carrier.frames(), agent.budget.usedBytes], [[], 0])
})
