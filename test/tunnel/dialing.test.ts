/** Dials: asked, answered, cancelled, lost, refused. */
import { Buffer } from 'node:buffer'
import t from 'tap'
import type { DialFailure } from '../../src/tunnel/dials.ts'
import { close } from '../../src/tunnel/ending.ts'
import type { Int64, Packet } from '../../src/tunnel/packet.ts'
import { hearing, type OneSession, oneSession } from './one-session.ts'

/** Dials `random` and notes the answer. */
function dial({ session }: OneSession, random: Int64) {
  const answer: { connected: number; failures: DialFailure[] } = { connected: 0, failures: [] }
  const heard = hearing()
  session.dial(
    { random, protocol: 'tcp', address: '10.0.0.1:80' },
    {
      connected() {
        answer.connected++
        return heard.events
      },
      failed: (failure) => void answer.failures.push(failure),
    },
  )
  return { answer, heard }
}

const answered = (random: Int64, connectId: Int64, error = ''): Packet => ({
  type: 'DIAL_RSP',
  error,
  connectId,
  random,
})
const asked = (random: Int64): Packet => ({ type: 'DIAL_REQ', protocol: 'tcp', address: '10.0.0.1:80', random })

t.test('server: hears the answer to a dial, whatever int64 names it', async (t) => {
  const made = oneSession({ role: 'server' })
  const random = 2n ** 63n - 1n
  const { answer } = dial(made, random)
  t.strictSame(made.carrier.frames(), [asked(random)])
  made.session.receive(made.carrier, answered(random, 1))
  t.strictSame([answer.connected, answer.failures], [1, []])
  t.strictSame([made.session.dialCount(), made.session.connectionCount()], [0, 1])
})

t.test("server: hands on the agent's words when it could not connect", async (t) => {
  const made = oneSession({ role: 'server' })
  const { answer } = dial(made, 5)
  made.session.receive(made.carrier, answered(5, 0, 'dial tcp 10.0.0.1:80: i/o timeout'))
  t.strictSame(answer.failures, [{ kind: 'refused', text: 'dial tcp 10.0.0.1:80: i/o timeout' }])
})

t.test('server: refuses an answer with a connection id that cannot be', async (t) => {
  const made = oneSession({ role: 'server' })
  made.open(7)
  for (const id of [0, -1, 7]) {
    const { answer } = dial(made, 100 + id)
    made.session.receive(made.carrier, answered(100 + id, id))
    t.match(answer, { connected: 0, failures: [{ kind: 'refused' }] }, `connection ${id}`)
  }
  t.equal(made.session.connectionCount(), 1)
})

t.test('server: tells the agent that a dial is no longer wanted, and closes what comes of it', async (t) => {
  const made = oneSession({ role: 'server' })
  const { answer } = dial(made, 5)
  made.carrier.frames()
  made.session.cancel(5)
  made.session.cancel(5)
  t.strictSame(made.carrier.frames(), [{ type: 'DIAL_CLS', random: 5 }])
  made.session.receive(made.carrier, answered(5, 1))
  t.strictSame(made.carrier.frames(), [{ type: 'CLOSE_REQ', connectId: 1, reason: 'dial-cancelled' }])
  made.session.receiveData(made.carrier, 1, Buffer.from('crossed'))
  t.strictSame([answer.connected, answer.failures, made.carrier.frames()], [0, [], []])
  t.strictSame(made.told, [['violation', 'unknown-dial']])
})

t.test('server: late answers to cancelled dials do not count against the agent', async (t) => {
  const made = oneSession({ role: 'server', limits: { unknownFramesPerMinute: 10 } })
  for (let random = 1; random <= 200; random++) {
    dial(made, random)
    made.session.cancel(random)
    made.session.receive(made.carrier, random % 2 === 0 ? answered(random, random) : answered(random, 0, 'refused'))
  }
  t.notOk(
    made.told.some(([name]) => name === 'broken'),
    'a stock agent answers every one of them',
  )
  for (let random = 1_000; random < 1_011; random++) made.session.receive(made.carrier, answered(random, random))
  t.ok(
    made.told.some(([name]) => name === 'broken'),
    'answers that nobody asked for do',
  )
})

t.test('server: fails the dials of a stream that ends, and those that come after it', async (t) => {
  const made = oneSession({ role: 'server' })
  const before = dial(made, 5)
  made.session.lost(made.carrier, 'ECONNRESET')
  t.strictSame(before.answer.failures, [{ kind: 'lost', reason: 'ECONNRESET' }])
  t.match(dial(made, 6).answer.failures, [{ kind: 'lost' }])
  made.session.receive(made.carrier, answered(5, 1))
  t.equal(made.session.connectionCount(), 0)
})

t.test('server: takes as many dials and connections as its limits allow', async (t) => {
  const made = oneSession({ role: 'server', limits: { pendingDials: 2, connections: 3 } })
  for (const random of [1, 2]) t.strictSame(dial(made, random).answer.failures, [])
  t.strictSame(dial(made, 3).answer.failures, [{ kind: 'too-many', limit: 2 }])
  for (const random of [1, 2]) made.session.receive(made.carrier, answered(random, random))
  t.strictSame(dial(made, 4).answer.failures, [])
  made.session.receive(made.carrier, answered(4, 3))
  t.strictSame(dial(made, 5).answer.failures, [{ kind: 'too-many', limit: 3 }])
})

t.test('agent: counts connection ids from 1 and never uses one twice', async (t) => {
  const { session, carrier, open } = oneSession({ role: 'agent' })
  t.equal(open(50).connection.id, 1)
  const second = open(51)
  t.equal(second.connection.id, 2)
  close(second.connection, 'gone')
  t.equal(open(52).connection.id, 3)
  carrier.frames()
  session.receive(carrier, asked(9))
  session.accept(9, hearing().events)
  t.strictSame(carrier.frames(), [answered(9, 4)])
})

t.test('agent: a cancelled dial cannot be accepted, refused or asked for once more by mistake', async (t) => {
  const { session, carrier, told } = oneSession({ role: 'agent' })
  session.receive(carrier, asked(9))
  session.receive(carrier, asked(9))
  session.receive(carrier, { type: 'DIAL_CLS', random: 9 })
  session.receive(carrier, { type: 'DIAL_CLS', random: 9 })
  t.strictSame(told, [
    ['dial', 9],
    ['violation', 'duplicate-dial'],
    ['dialCancelled', 9],
  ])
  t.equal(session.accept(9, hearing().events), undefined)
  session.refuse(9, 'too late')
  t.strictSame([carrier.frames(), session.dialCount()], [[], 0])
})

t.test('agent: refuses what is over its limits in words that a stock server maps to 503', async (t) => {
  const refused: [number | bigint, string][] = []
  const { session, carrier, told } = oneSession({
    role: 'agent',
    limits: { pendingDials: 1, connections: 1 },
    owner: { dialOverLimit: ({ random }, text) => void refused.push([random, text]) },
  })
  session.receive(carrier, asked(1))
  session.receive(carrier, asked(2))
  t.match(carrier.frames(), [
    { type: 'DIAL_RSP', random: 2, connectId: 0, error: /1 pending dials.*too many open files/ },
  ])
  session.accept(1, hearing().events)
  carrier.frames()
  session.receive(carrier, asked(3))
  t.match(carrier.frames(), [{ type: 'DIAL_RSP', random: 3, error: /1 connections.*too many open files/ }])
  t.strictSame(told, [['dial', 1]])
  t.match(refused, [
    [2, /1 pending dials/],
    [3, /1 connections/],
  ])
})

t.test('agent: hears that its dials are off when the stream ends', async (t) => {
  const { session, carrier, told } = oneSession({ role: 'agent' })
  session.receive(carrier, asked(1))
  session.lost(carrier, 'gone')
  t.strictSame(told, [
    ['dial', 1],
    ['dialCancelled', 1],
  ])
  t.equal(session.accept(1, hearing().events), undefined)
})

t.test('agent: no dial is accepted any more while the stream ends', async (t) => {
  const accepted: unknown[] = []
  const { session, carrier } = oneSession({
    role: 'agent',
    owner: { dialCancelled: () => accepted.push(session.accept(2, hearing().events)) },
  })
  session.receive(carrier, asked(1))
  session.receive(carrier, asked(2))
  carrier.frames()
  session.lost(carrier, 'gone')
  t.strictSame([accepted, session.connectionCount(), carrier.frames()], [[undefined], 0, []])
})
