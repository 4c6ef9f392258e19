import { Buffer } from 'node:buffer'
import t from 'tap'
import { noExtensions } from '../../../src/tunnel/extensions.ts'
import { usedBytes } from '../../tunnel/one-session.ts'
import {
  closed,
  closeRequest,
  data,
  dialClose,
  dialFailed,
  dialled,
  dialRequest,
  endOfData,
  type OneCall,
  oneCall,
  shown,
} from './one-call.ts'

const MAX_INT64 = 2n ** 63n - 1n
const bytes = (text: string): Buffer => Buffer.from(text)
const INITIAL_CREDIT = 64 * 1024

/** More than the credit of a new connection. */
const flood = Buffer.alloc(INITIAL_CREDIT + 1, 'f')

function blocked(one: OneCall): void {
  one.call.receiveData(1, flood, true)
}

t.test('a dial goes to the agent under the client’s number, and its answer back', async (t) => {
  const one = oneCall()
  one.call.receive(dialRequest(MAX_INT64, 'svc.default:443'))
  t.strictSame(one.asked(), [dialRequest(MAX_INT64, 'svc.default:443')])
  t.ok(one.call.busy())
  one.agentSays(dialled(MAX_INT64, 1))
  t.strictSame(one.said(), [dialled(MAX_INT64, 1)])
})

t.test('bytes go both ways, in order', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  one.call.receiveData(1, bytes('one'), true)
  one.call.receiveData(1, bytes('two'), false)
  t.strictSame(one.asked(), [shown(1, 'one'), shown(1, 'two')])
  one.agentSays(data(1, 'three'), data(1, 'four'))
  t.strictSame(one.said(), [shown(1, 'three'), shown(1, 'four')])
})

t.test('the number 0 names a dial like any other', async (t) => {
  const one = oneCall()
  one.call.receive(dialRequest(0))
  one.agentSays(dialled(0, 1))
  t.strictSame(one.said(), [dialled(0, 1)])
})

t.test('a target’s first bytes wait until the client has noted its connection', async (t) => {
  const one = oneCall()
  one.call.receive(dialRequest(7))
  one.agentSays(dialled(7, 1), data(1, 'hello'), data(1, ' there'))
  t.strictSame(one.said(), [dialled(7, 1)])
  one.note()
  t.strictSame(one.said(), [shown(1, 'hello'), shown(1, ' there')])
  one.note()
  t.strictSame(one.said(), [], 'once')
})

t.test('a client that sends something has noted its connection', async (t) => {
  const one = oneCall()
  one.call.receive(dialRequest(7))
  one.agentSays(dialled(7, 1), data(1, 'hello'))
  one.said()
  one.call.receiveData(1, bytes('x'), true)
  t.strictSame(one.said(), [shown(1, 'hello')])
})

t.test('a target that speaks and ends at once: its end waits too, behind its bytes', async (t) => {
  const one = oneCall()
  one.call.receive(dialRequest(7))
  one.agentSays(dialled(7, 1), data(1, 'bye'), endOfData(1))
  one.turn()
  t.strictSame(one.said(), [dialled(7, 1)], 'the client does not know the connection yet')
  t.ok(one.call.busy())
  one.note()
  t.strictSame(one.said(), [shown(1, 'bye'), closed(1)])
  one.write()
  t.notOk(one.call.busy())
  t.equal(usedBytes(one.agents[0]!), 0)
})

t.test('so does a reset that comes right behind the answer', async (t) => {
  const one = oneCall()
  one.call.receive(dialRequest(7))
  one.agentSays(dialled(7, 1), closed(1, 'ECONNRESET'))
  t.strictSame(one.said(), [dialled(7, 1)])
  one.note()
  t.strictSame(one.said(), [closed(1, 'ECONNRESET')])
  t.notOk(one.call.busy())
})

t.test(
  'of a target that ends and then breaks, while its client is noting the connection, the end is told',
  async (t) => {
    const one = oneCall()
    one.call.receive(dialRequest(7))
    one.agentSays(dialled(7, 1), data(1, 'all'), endOfData(1), closed(1, 'ECONNRESET'))
    one.said()
    one.note()
    t.strictSame(one.said(), [shown(1, 'all'), closed(1)])
  },
)

t.test('a client that closes before it was told of the end is told once', async (t) => {
  const one = oneCall()
  one.call.receive(dialRequest(7))
  one.agentSays(dialled(7, 1), data(1, 'unwanted'), endOfData(1))
  one.turn()
  one.said()
  one.call.receive(closeRequest(1))
  t.strictSame(one.said(), [closed(1)], 'and wants no bytes')
  one.note()
  t.strictSame(one.said(), [])
  t.notOk(one.call.busy())
  t.equal(usedBytes(one.agents[0]!), 0)
})

for (const broken of [true, false]) {
  const how = broken ? 'breaks' : 'ends in order'
  t.test(`a call that ${how} before its client was told of the end leaves nothing`, async (t) => {
    const one = oneCall()
    one.call.receive(dialRequest(7))
    one.agentSays(dialled(7, 1), data(1, 'unwanted'), endOfData(1))
    one.turn()
    one.said()
    one.call.ended(broken)
    one.note()
    t.strictSame(one.said(), [])
    t.notOk(one.call.busy())
    t.equal(usedBytes(one.agents[0]!), 0)
  })
}

t.test(
  'a target that ends is told as CLOSE_RSP without a text, and what the client still sends is dropped',
  async (t) => {
    const one = oneCall()
    one.open(7, 1)
    one.agentSays(data(1, 'all'), endOfData(1))
    t.strictSame(one.said(), [shown(1, 'all'), closed(1)])
    one.call.receiveData(1, bytes('late'), true)
    t.strictSame(one.asked(), [], 'not even the end, while the frame is handled')
    one.turn()
    t.strictSame(one.asked(), [endOfData(1, 1)])
    t.strictSame(one.endings, [{ kind: 'finished' }])
    one.call.receiveData(1, bytes('later'), true)
    t.strictSame([one.asked(), one.said()], [[], []])
    t.notOk(one.did.includes('counted unknown-connection'), 'its end was under way')
  },
)

t.test('a stock agent’s CLOSE_RSP ends the connection, once', async (t) => {
  const one = oneCall(noExtensions)
  one.open(7, 1)
  one.agentSays(data(1, 'all'), closed(1))
  one.turn()
  t.strictSame(one.said(), [shown(1, 'all'), closed(1)])
  t.strictSame([one.asked(), one.endings], [[], [{ kind: 'finished' }]])
})

t.test('CLOSE_REQ: what was sent goes first, the answer follows, and nothing is served any more', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  one.call.receiveData(1, bytes('last'), true)
  one.call.receive(closeRequest(1))
  t.strictSame(one.asked(), [shown(1, 'last'), endOfData(1, 1)])
  t.strictSame(one.said(), [closed(1)])
  one.call.receive(closeRequest(1))
  one.call.receive(dialRequest(8))
  one.call.receiveData(1, bytes('late'), true)
  one.call.receive(dialClose(9))
  t.strictSame([one.said(), one.asked()], [[], []])
  t.strictSame(
    one.did,
    ['settled', ...Array(3).fill('counted unexpected')],
    'packets count, late bytes may be in order',
  )
  t.notOk(one.call.busy())
})

t.test('CLOSE_REQ: what the target still sends is dropped, and given back', async (t) => {
  const one = oneCall(noExtensions)
  one.open(7, 1)
  one.call.receive(closeRequest(1))
  t.strictSame(one.asked(), [closeRequest(1)])
  t.strictSame(one.said(), [closed(1)])
  one.agentSays(data(1, 'unwanted'))
  t.equal(usedBytes(one.agents[0]!), 0)
  t.ok(one.call.busy(), 'the stock agent has yet to say that all is written')
  one.agentSays(closed(1, 'ECONNRESET'))
  t.strictSame(one.said(), [], 'the client has heard all it wants')
  t.notOk(one.call.busy())
})

t.test('CLOSE_REQ while bytes wait for credit: the client need not wait for them, and they go first', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  blocked(one)
  t.notOk(one.reading)
  one.call.receiveData(1, bytes('more'), true)
  one.call.receive(closeRequest(1))
  t.strictSame(one.said(), [closed(1)])
  t.ok(one.reading, 'for the end of the call')
  t.ok(one.call.busy())
  one.agentSays({ type: 'WINDOW_UPDATE', connectId: 1, credit: INITIAL_CREDIT })
  one.agents[0]!.session.writable(one.agents[0]!.carrier)
  t.strictSame(one.asked().slice(-2), [shown(1, 'more'), endOfData(1, 1)])
  t.strictSame(one.said(), [])
  t.notOk(one.call.busy())
})

t.test('the target’s end crosses CLOSE_REQ: the client is told once', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  one.agentSays(endOfData(1))
  one.call.receive(closeRequest(1))
  one.turn()
  t.strictSame(one.said(), [closed(1)])
  t.strictSame(one.asked(), [endOfData(1, 1)])
  t.strictSame(one.endings, [{ kind: 'finished' }])
})

t.test('CLOSE_REQ for a connection that has just ended is answered, and nothing strange', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  one.agentSays(endOfData(1))
  one.turn()
  one.said()
  one.call.receive(closeRequest(1))
  t.strictSame(one.said(), [closed(1, 'Unknown connectID')])
  t.notOk(one.did.includes('counted unknown-connection'))
})

t.test('CLOSE_REQ for a connection that never was is answered and counted, and ends the service', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  one.call.receive(closeRequest(99))
  t.strictSame(one.said(), [closed(99, 'Unknown connectID')])
  t.strictSame(one.did, ['counted unknown-connection'])
  one.call.receiveData(1, bytes('late'), true)
  t.strictSame(one.asked(), [])
  one.agentSays(data(1, 'still there'))
  t.strictSame(one.said(), [shown(1, 'still there')], 'what is open stays open, as with konnectivity')
})

t.test('the last 64 ends of a call are remembered', async (t) => {
  const one = oneCall()
  for (let id = 1; id <= 66; id++) {
    one.open(id, id)
    one.agentSays(endOfData(id))
    one.turn()
  }
  one.call.receiveData(3, bytes('late'), true)
  t.notOk(one.did.includes('counted unknown-connection'))
  one.call.receive(closeRequest(2))
  t.ok(one.did.includes('counted unknown-connection'))
})

t.test('DATA before any dial: "backend not initialized", and nothing is served any more', async (t) => {
  const one = oneCall()
  one.call.receiveData(5, bytes('x'), true)
  t.strictSame(one.said(), [closed(5, 'backend not initialized')])
  t.strictSame(one.did, ['counted unknown-connection'])
  one.call.receive(dialRequest(7))
  one.call.receiveData(5, bytes('x'), true)
  t.strictSame([one.said(), one.asked()], [[], []])
  t.notOk(one.call.busy())
})

t.test('CLOSE_REQ before any dial: "backend uninitialized", and the call goes on', async (t) => {
  const one = oneCall()
  one.call.receive(closeRequest(5))
  t.strictSame(one.said(), [closed(5, 'backend uninitialized')])
  t.strictSame(one.did, ['counted unknown-connection'])
  one.call.receive(dialRequest(7))
  t.strictSame(one.asked(), [dialRequest(7)])
})

t.test('a refused dial counts as one: what comes for a connection then is unknown, not uninitialized', async (t) => {
  const one = oneCall()
  one.call.receive(dialRequest(7))
  one.agentSays(dialFailed(7, 'dial tcp 10.0.0.1:80: connect: connection refused'))
  one.said()
  one.call.receive(closeRequest(5))
  t.strictSame(one.said(), [closed(5, 'Unknown connectID')])
})

t.test('an agent’s text comes to the client as it is, and the next dial is served', async (t) => {
  const one = oneCall()
  one.call.receive(dialRequest(7))
  one.agentSays(dialFailed(7, 'dial tcp: lookup x: no such host'))
  t.strictSame(one.said(), [dialFailed(7, 'dial tcp: lookup x: no such host')])
  t.strictSame(one.did, ['settled'])
  one.asked()
  one.call.receive(dialRequest(7))
  t.strictSame(one.asked(), [dialRequest(7)], 'the number is free again')
})

t.test('"No agent available" is the last word of a call', async (t) => {
  const one = oneCall()
  one.alone = true
  one.call.receive(dialRequest(7))
  t.strictSame(one.said(), [dialFailed(7, 'No agent available')])
  t.notOk(one.call.busy())
  one.alone = false
  one.call.receive(dialRequest(8))
  t.strictSame([one.said(), one.asked()], [[], []])
  one.call.ended(false)
  t.notOk(one.did.includes('cancelled a dial that had failed'))
})

t.test('a dial whose agent is lost fails at once, with the reason, and the next one is served', async (t) => {
  const one = oneCall(undefined, 2)
  one.call.receive(dialRequest(7))
  one.agents[0]!.session.lost(one.agents[0]!.carrier, 'the agent stream ended')
  t.strictSame(one.said(), [dialFailed(7, 'the agent was lost during the dial: the agent stream ended')])
  one.call.receive(dialRequest(8))
  t.strictSame(one.asked(1), [dialRequest(8)])
})

t.test('a dial over the limits of its agent is told so', async (t) => {
  const one = oneCall(undefined, 1, { pendingDials: 1 })
  one.call.receive(dialRequest(7))
  one.call.receive(dialRequest(8))
  t.strictSame(one.said(), [dialFailed(8, 'too many dials are pending')])
})

for (const [what, packet, error] of [
  [
    'for another protocol',
    dialRequest(7, 'x:1', 'udp'),
    'dial "udp": protocol not supported, only tcp, tcp4 and tcp6 are',
  ],
  ['for no protocol', dialRequest(7, 'x:1', ''), 'dial "": protocol not supported, only tcp, tcp4 and tcp6 are'],
  [
    'for a protocol that is no word',
    dialRequest(7, 'x:1', `${'\n'.repeat(30)}`),
    `dial "${'\\n'.repeat(20)}": protocol not supported, only tcp, tcp4 and tcp6 are`,
  ],
  ['to an address of 1,025 characters', dialRequest(7, 'x'.repeat(1_025)), 'dial tcp: address too long'],
] as const) {
  t.test(`a dial ${what} is refused and counted, and no agent hears of it`, async (t) => {
    const one = oneCall()
    one.call.receive(packet)
    t.strictSame(one.did, ['counted unexpected'])
    t.strictSame([one.said(), one.asked()], [[dialFailed(7, error)], []])
    t.notOk(one.call.busy())
  })
}

for (const protocol of ['tcp', 'tcp4', 'tcp6']) {
  t.test(`the agent is asked for ${protocol} where the client is`, async (t) => {
    const one = oneCall()
    one.call.receive(dialRequest(7, 'x:1', protocol))
    t.strictSame(one.asked(), [dialRequest(7, 'x:1', protocol)])
  })
}

t.test('an address of 1,024 characters is asked for', async (t) => {
  const one = oneCall()
  one.call.receive(dialRequest(7, 'x'.repeat(1_024)))
  t.equal(one.asked().length, 1)
})

t.test('two dials under one number: the second is counted, and no agent hears of it', async (t) => {
  const one = oneCall()
  one.call.receive(dialRequest(7, 'first:1'))
  one.call.receive(dialRequest(7, 'second:1'))
  t.strictSame(one.asked(), [dialRequest(7, 'first:1')])
  t.strictSame(one.did, ['counted duplicate-dial'])
  one.agentSays(dialled(7, 1))
  t.strictSame(one.said(), [dialled(7, 1)])
})

t.test('two dials of one call open two connections', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  one.open(8, 2)
  one.agentSays(data(2, 'two'), data(1, 'one'))
  t.strictSame(one.said(), [shown(2, 'two'), shown(1, 'one')])
})

t.test(
  'agents that chose the same number: the client gets another one, and neither connection the other’s bytes',
  async (t) => {
    const one = oneCall(undefined, 2)
    one.open(7, 1, 0)
    const second = one.agents[1]!
    one.call.receive(dialRequest(8))
    second.session.receive(second.carrier, dialled(8, 1))
    t.strictSame(one.said(), [dialled(8, 2)])
    one.note()
    one.agentSays(data(1, 'of the first'))
    second.session.receive(second.carrier, data(1, 'of the second'))
    t.strictSame(one.said(), [shown(1, 'of the first'), shown(2, 'of the second')])
    one.asked(0)
    one.asked(1)
    one.call.receiveData(2, bytes('to the second'), true)
    t.strictSame([one.asked(0), one.asked(1)], [[], [shown(1, 'to the second')]])
  },
)

t.test('a number is not given again while its end is remembered, however large it is', async (t) => {
  const one = oneCall()
  const large = 2n ** 53n + 1n
  const given: unknown[] = []
  for (let random = 1; random <= 4; random++) {
    one.call.receive(dialRequest(random))
    one.agentSays(dialled(random, large))
    given.push(...one.said().map((packet) => (packet as { connectId: unknown }).connectId))
    one.note()
    one.agentSays(endOfData(large))
    one.turn()
    one.said()
  }
  t.strictSame(given, [large, 1, 2, 3])
})

t.test('an agent’s own number is the client’s, if it is free, also after numbers of the call’s own', async (t) => {
  const one = oneCall(undefined, 2)
  one.open(1, 1, 0)
  const [first, second] = [one.agents[0]!, one.agents[1]!]
  const dial = (agent: typeof first, random: number, id: number): unknown => {
    one.call.receive(dialRequest(random))
    agent.session.receive(agent.carrier, dialled(random, id))
    return (one.said()[0] as { connectId: unknown }).connectId
  }
  t.equal(dial(second, 2, 1), 2)
  t.equal(dial(first, 3, 2), 3)
  t.equal(dial(second, 4, 2), 4)
  t.equal(dial(first, 5, 70), 70)
})

t.test('bytes for no number are dropped', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  one.call.receiveData(0, bytes('x'), true)
  t.strictSame([one.said(), one.asked(), one.did], [[], [], []])
  one.call.receiveData(1, bytes('y'), true)
  t.strictSame(one.asked(), [shown(1, 'y')], 'and pin nothing')
})

t.test(
  'bytes for a connection that never was are counted once for each packet, and nobody hears of them',
  async (t) => {
    const one = oneCall()
    one.open(7, 1)
    one.call.receiveData(99, bytes('x'), true)
    one.call.receiveData(99, bytes('y'), false)
    one.call.receiveData(99, bytes('z'), true)
    t.strictSame([one.said(), one.asked()], [[], []])
    t.strictSame(one.did, ['counted unknown-connection', 'counted unknown-connection'])
  },
)

t.test('bytes for a second connection: "mismatched connection IDs" for both, and both are closed', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  one.open(8, 2)
  one.call.receiveData(1, bytes('x'), true)
  one.asked()
  one.call.receiveData(2, bytes('y'), true)
  const reason = 'mismatched connection IDs'
  t.strictSame(one.said(), [closed(2, reason), closed(1, reason)])
  const code = 'mismatched-connection-ids'
  t.strictSame(one.asked(), [closeRequest(2, code), closeRequest(1, code)])
  t.strictSame(
    one.did.filter((what) => what !== 'settled'),
    ['counted unexpected'],
  )
  one.call.receive(dialRequest(9))
  t.strictSame(one.asked(), [], 'and nothing is served any more')
  t.notOk(one.call.busy())
})

t.test(
  'bytes for a connection of somebody else: the client’s own is closed, and the answer says nothing else',
  async (t) => {
    const one = oneCall()
    one.open(7, 1)
    one.call.receiveData(1, bytes('x'), true)
    one.asked()
    one.call.receiveData(2, bytes('y'), true)
    const reason = 'mismatched connection IDs'
    t.strictSame(one.said(), [closed(2, reason), closed(1, reason)])
    t.strictSame(one.asked(), [closeRequest(1, 'mismatched-connection-ids')])
    t.strictSame(
      one.did.filter((what) => what !== 'settled'),
      ['counted unexpected'],
    )
  },
)

t.test('a target’s early bytes come before the end that a mismatch brings', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  one.call.receiveData(1, bytes('x'), true)
  one.call.receive(dialRequest(8))
  one.agentSays(dialled(8, 2), data(2, 'early'))
  one.said()
  one.call.receiveData(2, bytes('y'), true)
  one.note()
  t.strictSame(
    one.said().map((packet) => (packet as { type: string }).type),
    ['DATA', 'CLOSE_RSP', 'CLOSE_RSP'],
  )
})

t.test('a mismatch with a connection that has ended tells of the other one', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  one.open(8, 2)
  one.call.receiveData(1, bytes('x'), true)
  one.agentSays(endOfData(1))
  one.said()
  one.call.receiveData(2, bytes('y'), true)
  t.strictSame(one.said(), [closed(2, 'mismatched connection IDs')], 'of the first it knows')
})

t.test('DIAL_CLS cancels the dial at the agent, and its answer finds nobody', async (t) => {
  const one = oneCall()
  one.call.receive(dialRequest(7))
  one.asked()
  one.call.receive(dialClose(7))
  t.strictSame(one.asked(), [dialClose(7)])
  t.strictSame(one.did, ['settled'])
  t.notOk(one.call.busy())
  one.agentSays(dialled(7, 1))
  t.strictSame(one.said(), [])
  t.strictSame(one.asked(), [closeRequest(1, 'dial-cancelled')])
})

t.test('DIAL_CLS for a dial that has just succeeded closes the connection in order, without a word', async (t) => {
  const one = oneCall()
  one.call.receive(dialRequest(7))
  one.agentSays(dialled(7, 1), data(1, 'unwanted'))
  one.said()
  one.asked()
  one.call.receive(dialClose(7))
  one.note()
  t.strictSame(one.said(), [])
  t.strictSame(one.asked(), [endOfData(1, 1)])
  t.equal(usedBytes(one.agents[0]!), 0)
  t.notOk(one.call.busy())
})

t.test('so it does with a stock agent, whose answer the client does not hear of either', async (t) => {
  const one = oneCall(noExtensions)
  one.open(7, 1)
  one.call.receive(dialClose(7))
  one.call.receiveData(1, bytes('late'), true)
  t.strictSame(one.asked(), [closeRequest(1)], 'what comes after it is dropped')
  one.agentSays(data(1, 'unwanted'), closed(1))
  t.strictSame(one.said(), [])
  t.notOk(one.call.busy())
})

t.test(
  'DIAL_CLS for a connection that has ended already, and that the client has not noted, leaves nothing',
  async (t) => {
    const one = oneCall()
    one.call.receive(dialRequest(7))
    one.agentSays(dialled(7, 1), data(1, 'unwanted'), endOfData(1))
    one.turn()
    one.said()
    one.call.receive(dialClose(7))
    one.note()
    t.strictSame(one.said(), [])
    t.notOk(one.call.busy())
    t.equal(usedBytes(one.agents[0]!), 0)
  },
)

t.test('DIAL_CLS for a dial that never was is counted', async (t) => {
  const one = oneCall()
  one.call.receive(dialClose(99))
  one.open(7, 1)
  one.call.receive(dialClose(99))
  t.strictSame(one.did, ['counted unknown-dial', 'counted unknown-dial'])
  t.strictSame([one.said(), one.asked()], [[], []])
})

t.test('packets that only a server sends, or nobody, are counted and change nothing', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  one.call.receive({ type: 'UNKNOWN', code: 99 })
  one.call.receive(dialled(7, 1))
  one.call.receive(closed(1))
  one.call.receive({ type: 'DRAIN' })
  one.call.receive({ type: 'WINDOW_UPDATE', connectId: 1, credit: 1 })
  t.strictSame(one.did, ['counted unknown-type', ...Array.from({ length: 4 }, () => 'counted unexpected')])
  one.call.receiveData(1, bytes('x'), true)
  t.strictSame(one.asked(), [shown(1, 'x')])
})

t.test('the reasons of a reset are told where they are known', async (t) => {
  for (const [how, text] of [
    [(one: OneCall) => one.agentSays(closed(1, 'ECONNRESET')), 'ECONNRESET'],
    [(one: OneCall) => one.agentSays(closed(1, 'x'.repeat(4_097))), 'x'.repeat(4_096)],
    [(one: OneCall) => one.agentSays({ type: 'WINDOW_UPDATE', connectId: 1, credit: 0 }), 'flow-control-violation'],
    [(one: OneCall) => one.agents[0]!.session.lost(one.agents[0]!.carrier, 'the agent stream ended'), ''],
  ] as const) {
    const one = oneCall()
    one.open(7, 1)
    how(one)
    t.strictSame(one.said(), [closed(1, text)])
    t.notOk(one.call.busy())
  }
})

t.test('a client is read until its bytes find no room, and again when they have', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  one.call.receiveData(1, bytes('x'), true)
  t.ok(one.reading)
  blocked(one)
  t.notOk(one.reading)
  one.agentSays({ type: 'WINDOW_UPDATE', connectId: 1, credit: INITIAL_CREDIT })
  one.agents[0]!.session.writable(one.agents[0]!.carrier)
  t.ok(one.reading)
})

t.test('bytes that come all at once, however many, overdraw the credit by one read at most', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  const most = 128 * 1024
  one.call.receiveData(1, Buffer.alloc(3 * most, 'f'), true)
  t.strictSame(
    one.asked().map((packet) => (packet as { text?: string }).text?.length),
    [most, undefined],
    'and BLOCKED',
  )
  t.notOk(one.reading)
})

t.test(
  'a message without bytes sends nothing, nor does the end of one that fills whole reads; the client is read on',
  async (t) => {
    const one = oneCall()
    one.open(7, 1)
    one.call.receiveData(1, bytes(''), true)
    t.strictSame(one.asked(), [])
    t.ok(one.reading)
    one.agentSays({ type: 'WINDOW_UPDATE', connectId: 1, credit: 4 * INITIAL_CREDIT })
    one.call.receiveData(1, Buffer.alloc(2 * INITIAL_CREDIT), true)
    t.equal(one.asked().length, 1)
  },
)

t.test('a client whose connection ends while its bytes find no room is read on', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  blocked(one)
  one.agentSays(closed(1, 'ECONNRESET'))
  t.ok(one.reading)
})

t.test('a client whose agent is lost while its bytes are being sent is read on', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  const { session, carrier } = one.agents[0]!
  Object.assign(carrier, { roomBytes: 1, data: () => session.lost(carrier, 'the agent stream ended') })
  one.call.receiveData(1, bytes('x'), true)
  t.strictSame(one.said(), [closed(1)])
  t.ok(one.reading)
})

t.test('a call with two connections is read when neither is blocked', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  one.open(8, 2)
  blocked(one)
  one.call.receiveData(1, bytes('more'), true)
  one.agentSays(endOfData(2))
  one.turn()
  t.notOk(one.reading)
  one.agentSays(endOfData(1))
  one.turn()
  t.notOk(one.reading, 'what it sent has yet to go')
  one.agentSays(closed(1, 'ECONNRESET'))
  t.ok(one.reading)
})

t.test('what the client has not taken counts as waiting, until it has left', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  one.agentSays(data(1, 'abc'), data(1, 'def'))
  t.equal(usedBytes(one.agents[0]!), 6)
  one.write(4)
  t.equal(usedBytes(one.agents[0]!), 2)
  one.write()
  t.equal(usedBytes(one.agents[0]!), 0)
})

t.test('a call is busy until the last byte has left', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  one.agentSays(data(1, 'abc'), endOfData(1))
  one.turn()
  one.write(2)
  t.ok(one.call.busy())
  one.did.length = 0
  one.write()
  t.notOk(one.call.busy())
  t.strictSame(one.did, ['settled'])
})

t.test(
  'a connection that breaks while its client leaves bytes lie hurries the client; one that ends does not',
  async (t) => {
    for (const [last, hurried] of [
      [closed(1, 'ECONNRESET'), true],
      [endOfData(1), false],
      [endOfData(1, 1, 'ECONNRESET'), false], // what waits still counts, and goes when too much does
    ] as const) {
      const one = oneCall()
      one.open(7, 1)
      one.agentSays(data(1, 'abc'))
      one.write(2)
      one.agentSays(last)
      one.turn()
      t.equal(one.did.includes('hurried'), hurried)
      t.equal(one.lie(), hurried)
      one.write()
      t.notOk(one.lie())
    }
    const one = oneCall()
    one.open(7, 1)
    one.agentSays(data(1, 'abc'))
    one.write()
    one.agentSays(closed(1, 'ECONNRESET'))
    t.notOk(one.did.includes('hurried'), 'nor one whose bytes have left')
  },
)

t.test('when too much waits in all, the call of what has ended and lies there is cut', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  one.agentSays(data(1, 'abc'), endOfData(1))
  one.turn()
  one.agents[0]!.budget.closeLargest()
  t.ok(one.did.includes('cut'))
  t.equal(usedBytes(one.agents[0]!), 0)
})

t.test('the end of a call cancels its dials and closes its connections, behind what was sent', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  one.call.receiveData(1, bytes('last'), true)
  one.call.receive(dialRequest(8))
  one.asked()
  one.call.ended(false)
  t.strictSame(one.asked(), [dialClose(8), endOfData(1, 1)])
  t.strictSame(one.endings, [{ kind: 'finished' }])
  t.strictSame(one.said(), [], 'there is nobody to tell')
  t.notOk(one.call.busy())
})

t.test('a call that breaks resets its connections', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  one.call.receive(dialRequest(8))
  one.asked()
  one.call.ended(true)
  t.strictSame(one.asked(), [dialClose(8), closeRequest(1, 'client-lost')])
  t.strictSame(one.endings, [{ kind: 'reset', by: 'self', reason: 'client-lost' }])
  t.notOk(one.call.busy())
})

t.test('what a client sent before it closed a connection arrives, although its call breaks then', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  blocked(one)
  one.call.receiveData(1, bytes('more'), true)
  one.call.receive(closeRequest(1))
  one.asked()
  one.call.ended(true)
  t.strictSame(one.asked(), [])
  t.ok(one.call.busy())
  one.agentSays({ type: 'WINDOW_UPDATE', connectId: 1, credit: INITIAL_CREDIT })
  one.agents[0]!.session.writable(one.agents[0]!.carrier)
  t.strictSame(one.asked().slice(-2), [shown(1, 'more'), endOfData(1, 1)])
  t.strictSame(one.endings, [{ kind: 'finished' }])
  t.notOk(one.call.busy())
})

t.test('a call that has ended is busy while bytes of its client wait for credit', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  blocked(one)
  one.call.receiveData(1, bytes('more'), true)
  one.call.ended(false)
  t.ok(one.call.busy())
  one.did.length = 0
  one.agentSays({ type: 'WINDOW_UPDATE', connectId: 1, credit: INITIAL_CREDIT })
  one.agents[0]!.session.writable(one.agents[0]!.carrier)
  t.strictSame(one.asked().slice(-1), [endOfData(1, 1)])
  t.notOk(one.call.busy())
  t.strictSame(one.did, ['settled'])
})

t.test('a call ends once', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  blocked(one)
  one.call.receiveData(1, bytes('more'), true)
  one.asked()
  one.call.ended(false)
  one.call.ended(true)
  t.strictSame(one.asked(), [], 'the second word does not break what the first one left')
})

t.test('after its end a call neither serves nor tells', async (t) => {
  const one = oneCall()
  one.call.ended(false)
  one.call.receive(dialRequest(7))
  one.call.receive(closeRequest(1))
  one.call.receiveData(1, bytes('x'), true)
  t.strictSame([one.said(), one.asked(), one.did], [[], [], []])
})

t.test('bytes that come for a call that has ended are given back', async (t) => {
  const one = oneCall(noExtensions)
  one.open(7, 1)
  one.call.ended(false)
  one.agentSays(data(1, 'unwanted'))
  t.equal(usedBytes(one.agents[0]!), 0)
  t.ok(one.call.busy())
  one.agentSays(closed(1))
  t.notOk(one.call.busy())
  t.strictSame(one.said(), [])
})

t.test('a call that drains refuses dials, and goes on with what it has', async (t) => {
  const one = oneCall()
  one.open(7, 1)
  one.call.receive(dialRequest(8))
  one.asked()
  one.call.drain()
  one.call.receive(dialRequest(9))
  t.strictSame(one.said(), [dialFailed(9, 'the server is shutting down')])
  one.agentSays(dialled(8, 2))
  t.strictSame(one.said(), [dialled(8, 2)], 'a dial that was under way')
  one.call.receiveData(1, bytes('x'), true)
  t.strictSame(one.asked(), [shown(1, 'x')])
})
