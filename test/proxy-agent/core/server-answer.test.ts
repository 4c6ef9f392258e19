import t from 'tap'
import { readServerAnswer, type ServerAnswer, statusText } from '../../../src/proxy-agent/core/server-answer.ts'

const KEY = 'culvert-extensions'
const read = (...rawHeaders: string[]): ServerAnswer => readServerAnswer(rawHeaders, KEY)
const count = (...counts: string[]): ServerAnswer =>
  read(':status', '200', 'serverid', 's-1', ...counts.flatMap((value) => ['servercount', value]))
const textOf = (answer: ServerAnswer): string => (answer.kind === 'refused' ? answer.text : 'taken')

t.test('reads what a server of ours answers, and a stock one', async (t) => {
  t.strictSame(read(':status', '200', 'serverid', 's-1', 'servercount', '3', KEY, 'flow-control/1'), {
    kind: 'taken',
    serverId: 's-1',
    serverCount: 3,
    extensions: 'flow-control/1',
  })
  t.strictSame(read(':status', '200', 'ServerID', 's-1', 'serverCount', '0'), {
    kind: 'taken',
    serverId: 's-1',
    serverCount: 0,
    extensions: undefined,
  })
})

t.test('says the gRPC status with which a server does not take us', async (t) => {
  t.equal(
    textOf(read(':status', '200', 'grpc-status', '16', 'grpc-message', 'no 100%25 proof%3A f%C3%BCr')),
    'gRPC status 16: no 100% proof: für',
  )
  t.equal(textOf(read(':status', '200', 'grpc-status', '14')), 'gRPC status 14')
  t.equal(textOf(read(':status', '200', 'serverid', 's', 'servercount', '1', 'grpc-status', '0')), 'gRPC status 0')
})

t.test('says the HTTP status of what is no gRPC server', async (t) => {
  t.equal(textOf(read(':status', '503', 'content-type', 'text/html')), 'the server answered with HTTP status 503')
  t.equal(textOf(read('serverid', 's-1', 'servercount', '1')), 'the server answered with HTTP status none')
})

t.test('wants exactly one server id', async (t) => {
  t.equal(textOf(read(':status', '200', 'servercount', '1')), 'expected one server ID in the context, got []')
  t.equal(
    textOf(read(':status', '200', 'serverid', 'a', 'serverid', 'b', 'servercount', '1')),
    'expected one server ID in the context, got [a b]',
  )
})

t.test('wants exactly one count of servers', async (t) => {
  t.equal(textOf(count()), 'expected one server count, got []')
  t.equal(textOf(count('1', '1')), 'expected one server count, got [1 1]')
})

t.test('reads a count as Go would, and nothing else as one', async (t) => {
  for (const [text, value] of Object.entries({ '1': 1, '007': 7, '-1': -1, '+2': 2 })) {
    t.match(count(text), { kind: 'taken', serverCount: value })
  }
  for (const text of [
    '',
    ' ',
    ' 1',
    '1.0',
    '1e3',
    '0x10',
    '0b1',
    '1_000',
    'Infinity',
    'NaN',
    '9007199254740993',
    '٣',
  ]) {
    t.equal(textOf(count(text)), `expected one server count, got [${text}]`)
  }
})

t.test('shows no more than the beginning of a long text', async (t) => {
  t.equal(textOf(read(':status', '200', 'grpc-status', '2', 'grpc-message', 'x'.repeat(10_000))).length, 300)
  t.equal(textOf(count('9'.repeat(10_000))).length, 300)
  t.equal(statusText('2', 'x'.repeat(10_000)).length, 300)
})

t.test('shows a message that is not in percent form as it is', async (t) => {
  t.equal(statusText('2', 'half %E0%A4%A done'), 'gRPC status 2: half %E0%A4%A done')
  t.equal(statusText('13', undefined), 'gRPC status 13')
})
