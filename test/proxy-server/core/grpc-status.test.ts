import t from 'tap'
import { grpcStatus } from '../../../src/proxy-server/core/grpc-status.ts'

const message = (text: string): string | undefined => grpcStatus('UNKNOWN', text)['grpc-message']

t.test('says the number of a status as gRPC numbers it', async (t) => {
  const codes = { OK: '0', UNKNOWN: '2', RESOURCE_EXHAUSTED: '8' } as const
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
