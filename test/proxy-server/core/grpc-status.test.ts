import t from 'tap'
import { TunnelError } from '../../../src/platform/errors.ts'
import {
  brokenSession,
  grpcStatus,
  isGrpc,
  unknownEncoding,
  unknownMethod,
  unreadable,
} from '../../../src/proxy-server/core/grpc-status.ts'

const message = (text: string): string | undefined => grpcStatus('UNKNOWN', text)['grpc-message']

t.test('says the number of a status as gRPC numbers it', async (t) => {
  const codes = {
    OK: '0',
    UNKNOWN: '2',
    INVALID_ARGUMENT: '3',
    DEADLINE_EXCEEDED: '4',
    RESOURCE_EXHAUSTED: '8',
  } as const
  const more = { UNIMPLEMENTED: '12', INTERNAL: '13', UNAVAILABLE: '14', UNAUTHENTICATED: '16' } as const
  for (const [name, code] of Object.entries({ ...codes, ...more }) as [keyof typeof codes, string][]) {
    t.strictSame(grpcStatus(name, 'why'), { 'grpc-status': code, 'grpc-message': 'why' })
  }
})

t.test('sends no message where there is nothing to say', async (t) => {
  t.strictSame(grpcStatus('OK', ''), { 'grpc-status': '0' })
})

t.test('leaves printable ASCII as it is, but for the percent sign', async (t) => {
  const printable = String.fromCharCode(...Array.from({ length: 95 }, (_, index) => 32 + index))
  t.equal(message(printable), printable.replace('%', '%25'))
  t.equal(message('100%'), '100%25')
})

t.test('can be read back, whatever was said', async (t) => {
  for (const text of ['a\r\nb: c', '\u0000\u007f\u0080', 'größer', '日本', '🚀%41', '%', '%%%', 'a\tb']) {
    const sent = message(text) ?? ''
    t.match(sent, /^[ -~]*$/, 'a header value can hold it')
    t.equal(decodeURIComponent(sent), text)
  }
})

t.test('survives half a surrogate pair', async (t) => {
  t.equal(decodeURIComponent(message('a\ud83d!') ?? ''), 'a\ufffd!')
  t.equal(decodeURIComponent(message('\ude80') ?? ''), '\ufffd')
})

t.test('says in the words of grpc-go why bytes could not be read', async (t) => {
  t.strictSame(unreadable(new TunnelError('message-too-large', '5 over 4')), {
    status: 'RESOURCE_EXHAUSTED',
    message: 'grpc: received message larger than max: 5 over 4',
    how: 'too_large',
  })
  t.strictSame(unreadable(new TunnelError('bad-frame', 'no packet')), {
    status: 'INTERNAL',
    message: 'grpc: failed to unmarshal the received message: no packet',
    how: 'protocol_error',
  })
})

t.test('and as it is what another fault says', async (t) => {
  const how = { status: 'RESOURCE_EXHAUSTED', how: 'protocol_error' }
  t.strictSame(unreadable(new TunnelError('reset', 'too much')), { ...how, message: 'too much' })
  t.strictSame(unreadable(Object.assign(new Error('no'), { code: 'bad-frame' })), { ...how, message: 'no' })
  t.strictSame(unreadable('why'), { ...how, message: 'why' })
})

t.test('says why the session of an agent cannot go on, to its stream and to those who count', async (t) => {
  t.strictSame(brokenSession('heartbeat-timeout'), {
    status: 'UNAVAILABLE',
    message: 'nothing heard from the agent for too long',
    how: 'heartbeat_timeout',
  })
  const how = { status: 'RESOURCE_EXHAUSTED', how: 'protocol_error' }
  const unread = 'the agent does not read what it has to be told'
  t.strictSame(brokenSession('peer-does-not-read'), { ...how, message: unread })
  const meaningless = 'too many frames that mean nothing here'
  t.strictSame(brokenSession('too-many-unknown-frames'), { ...how, message: meaningless })
})

t.test('tells in the words of grpc-go a request that is no call of the method', async (t) => {
  const told: Readonly<Record<string, string | undefined>> = {
    '/ProxyService/Proxy': undefined,
    '/ProxyService/Other': 'unknown method Other for service ProxyService',
    '/ProxyService/': 'unknown method  for service ProxyService',
    '/ProxyService/Proxy/more': 'unknown method Proxy/more for service ProxyService',
    '/AgentService/Connect': 'unknown service AgentService',
    '/ProxyService': 'malformed method name: "/ProxyService"',
    '//Proxy': 'malformed method name: "//Proxy"',
    'ProxyService/Proxy': 'malformed method name: "ProxyService/Proxy"',
    '': 'malformed method name: ""',
  }
  for (const [path, text] of Object.entries(told)) {
    t.equal(unknownMethod('ProxyService', 'Proxy', path, 'POST'), text, path)
  }
  t.equal(unknownMethod('ProxyService', 'Proxy'), 'malformed method name: ""')
  t.match(unknownMethod('ProxyService', 'Proxy', '/ProxyService/Proxy', 'GET'), /^unknown method/)
})

t.test('knows the content types of gRPC', async (t) => {
  for (const yes of ['application/grpc', 'application/grpc+proto', 'application/grpc;v=1', 'Application/GRPC']) {
    t.ok(isGrpc(yes), yes)
  }
  for (const no of [undefined, '', 'application/grpc-web', 'application/json', 'x application/grpc']) {
    t.notOk(isGrpc(no), String(no))
  }
})

t.test(
  'takes messages as they are, and says in the words of grpc-go that it cannot read compressed ones',
  async (t) => {
    for (const none of [undefined, '', 'identity']) t.equal(unknownEncoding(none), undefined)
    t.equal(unknownEncoding('gzip'), 'grpc: Decompressor is not installed for grpc-encoding "gzip"')
  },
)
