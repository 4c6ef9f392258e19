import t from 'tap'
import { headerListBytes, type Registration, readRegistration } from '../../../src/proxy-server/core/registration.ts'

const nothing = { ipv4: [], ipv6: [], host: [], cidr: [], defaultRoute: false }
const KEY = 'culvert-extensions'
const read = (...rawHeaders: string[]): Registration => readRegistration([':method', 'POST', ...rawHeaders], KEY)
const textOf = (registration: Registration): string => (registration.kind === 'refused' ? registration.text : 'taken')

t.test('reads what an agent of ours says, and what a stock one says', async (t) => {
  t.strictSame(read('agentid', 'a-1', 'agentidentifiers', 'ipv4=10.0.0.1&host=n1', KEY, 'flow-control/1'), {
    kind: 'agent',
    agentId: 'a-1',
    identifiers: { ...nothing, ipv4: ['10.0.0.1'], host: ['n1'] },
    extensions: 'flow-control/1',
  })
  t.strictSame(read('agentid', 'a-1', 'agentidentifiers', ''), {
    kind: 'agent',
    agentId: 'a-1',
    identifiers: nothing,
    extensions: undefined,
  })
  t.strictSame(read('agentid', 'a-1'), { kind: 'agent', agentId: 'a-1', identifiers: nothing, extensions: undefined })
})

t.test('takes the empty agent id, as the reference does', async (t) => {
  t.match(read('agentid', ''), { kind: 'agent', agentId: '' })
})

t.test('refuses none and two agent ids in the words of the reference', async (t) => {
  t.equal(textOf(read()), 'expected one agent ID in the context, got []')
  t.equal(textOf(read('agentid', 'a', 'agentid', 'b')), 'expected one agent ID in the context, got [a b]')
  t.equal(textOf(read('agentid', 'a', 'AgentID', 'a')), 'expected one agent ID in the context, got [a a]')
})

t.test('an id with a comma is one id', async (t) => {
  t.match(read('agentid', 'a, b'), { kind: 'agent', agentId: 'a, b' })
})

t.test('does not take a value for a name', async (t) => {
  t.equal(textOf(read('user-agent', 'agentid', 'x', 'agentid')), 'expected one agent ID in the context, got []')
})

t.test('refuses two sets of identifiers', async (t) => {
  t.equal(
    textOf(read('agentid', 'a', 'agentidentifiers', 'x=1', 'agentidentifiers', 'y=2')),
    'expected at most one set of agent identifiers in the context, got [x=1 y=2]',
  )
})

t.test('refuses identifiers that Go cannot parse, and only those', async (t) => {
  const refusals = {
    'ipv4=1;host=2': 'invalid semicolon separator in query',
    'host=%zz': 'invalid URL escape "%zz"',
    'host=%4': 'invalid URL escape "%4"',
    'host=%': 'invalid URL escape "%"',
    'host=%4&host=%zz': 'invalid URL escape "%4"',
    'host%4=1': 'invalid URL escape "%4"',
    '%4=1': 'invalid URL escape "%4"',
    'host=%4=': 'invalid URL escape "%4="',
  }
  for (const [identifiers, why] of Object.entries(refusals)) {
    t.equal(textOf(read('agentid', 'a', 'agentidentifiers', identifiers)), `fail to parse url encoded string: ${why}`)
  }
  for (const fine of ['ipv6=::1', 'host=%2e', 'uid=1&unknown', '&&', 'a=b=c', 'host=a+b']) {
    t.match(read('agentid', 'a', 'agentidentifiers', fine), { kind: 'agent' })
  }
})

t.test('refuses an id one character over the limit, and leaves the identifiers to theirs', async (t) => {
  const identifiers = Array.from({ length: 3_000 }, (_, index) => `host=node-${index}`).join('&')
  t.match(read('agentid', 'a'.repeat(4096), 'agentidentifiers', identifiers), { kind: 'agent' })
  t.equal(textOf(read('agentid', 'a'.repeat(4097))), 'agent ID must not be longer than 4096 characters')
})

t.test('repeats no more than the beginning of a long id', async (t) => {
  const text = textOf(read('agentid', 'a'.repeat(5000), 'agentid', 'b'))
  t.equal(text, `expected one agent ID in the context, got [${'a'.repeat(100)} b]`)
})

t.test('counts a header list as HTTP/2 does', async (t) => {
  t.equal(headerListBytes([]), 0)
  t.equal(headerListBytes(['agentid', 'a-1']), 7 + 3 + 32)
  t.equal(headerListBytes([':path', '/', 'te', 'trailers']), 6 + 10 + 64)
})
