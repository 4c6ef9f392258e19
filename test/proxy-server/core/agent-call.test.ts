import t from 'tap'
import { type NoCall, noAgentCall, type RequestHead } from '../../../src/proxy-server/core/agent-call.ts'

const MAX_BYTES = 100
const asked = (head: Partial<RequestHead>): NoCall | undefined =>
  noAgentCall({ path: '/AgentService/Connect', method: 'POST', rawHeaders: [], ...head }, MAX_BYTES)

t.test('takes the call by which agents connect, of messages as they are', async (t) => {
  t.equal(asked({}), undefined)
  t.equal(asked({ rawHeaders: ['grpc-encoding', 'identity'] }), undefined)
})

t.test('refuses a header list that is one byte over the limit, before it reads anything of it', async (t) => {
  const ofBytes = (bytes: number) => ['x', 'y'.repeat(bytes - 33)]
  t.equal(asked({ rawHeaders: ofBytes(MAX_BYTES) }), undefined)
  t.strictSame(asked({ rawHeaders: ofBytes(MAX_BYTES + 1), path: '/' }), {
    why: 'metadata',
    status: 'RESOURCE_EXHAUSTED',
    text: 'the header list is over the limit of 100 bytes',
  })
})

t.test('refuses any other method, before it asks how its messages are written', async (t) => {
  const gzip = ['grpc-encoding', 'gzip']
  t.strictSame(asked({ path: '/AgentService/X', rawHeaders: gzip }), {
    why: 'unknown_method',
    status: 'UNIMPLEMENTED',
    text: 'unknown method X for service AgentService',
  })
  t.match(asked({ method: 'GET' }), { why: 'unknown_method' })
  t.match(asked({ path: undefined }), { text: 'malformed method name: ""' })
})

t.test('refuses messages that it could not read', async (t) => {
  t.strictSame(asked({ rawHeaders: ['grpc-encoding', 'gzip'] }), {
    why: 'encoding',
    status: 'UNIMPLEMENTED',
    text: 'grpc: Decompressor is not installed for grpc-encoding "gzip"',
  })
})
