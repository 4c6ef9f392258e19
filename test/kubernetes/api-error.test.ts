import t from 'tap'
import { noAnswer, refusal, refusalBy } from '../../src/kubernetes/api-error.ts'

const server = new URL('https://user:hunter2@api.example:6443/prefix?token=hunter2')

t.test('says what was asked, the status and what the API server said', async (t) => {
  const body = JSON.stringify({
    kind: 'Status',
    code: 200,
    reason: 'Conflict',
    message: 'the object has been modified',
  })
  t.match(refusal('renew lease x', 409, body), {
    name: 'ApiError',
    message: 'renew lease x: the API server refused (409): the object has been modified',
    status: 409,
    reason: 'Conflict',
  })
})

t.test('bears whatever a proxy in between answers', async (t) => {
  for (const body of ['', '<html>', 'null', '7', '[]', '"text"', '{"message":7,"reason":{}}', '{"message":""}', '\0']) {
    const message = 'list leases: the API server refused (502): without a word'
    t.match(refusal('list leases', 502, body), { message, status: 502, reason: '' }, JSON.stringify(body))
  }
})

t.test('hands on 300 characters of what was said, and no more', async (t) => {
  const say = (length: number): string => refusal('x', 400, JSON.stringify({ message: 'm'.repeat(length) })).message
  t.equal(say(300), `x: the API server refused (400): ${'m'.repeat(300)}`)
  t.equal(say(301), say(300))
})

t.test('knows the reasons of Kubernetes and no other: they are labels of metrics', async (t) => {
  for (const [given, reason] of [
    ['Expired', 'Expired'],
    ['TooManyRequests', 'TooManyRequests'],
    ['expired', ''],
    ['constructor', ''],
    ['', ''],
    [410, ''],
    [undefined, ''],
  ] as const) {
    t.equal(refusalBy('watch', { code: 410, reason: given }).reason, reason, String(given))
  }
})

t.test('says what to do where that is known', async (t) => {
  t.match(refusal('x', 401, '').message, /\(401\): without a word; check the credentials of --kubeconfig or of the /)
  t.match(refusal('x', 403, '').message, /\(403\): without a word; docs\/kubernetes\.md says what has to be granted$/)
  t.match(refusal('x', 404, '').message, /\(404\): without a word$/)
})

t.test('has no status where an event of a watch gives none', async (t) => {
  for (const code of [undefined, null, 'x', {}, Number.NaN]) {
    const error = refusalBy('watch leases', { code, message: 'too old' })
    t.strictSame(
      [error.message, error.status],
      ['watch leases: the API server refused (no code): too old', undefined],
      String(code),
    )
  }
})

t.test('names the server that did not answer, and nothing else of its address', async (t) => {
  const error = noAnswer('get lease x', server, new Error('connect ECONNREFUSED 10.0.0.1:6443'))
  t.equal(error.message, 'get lease x: no answer from https://api.example:6443: connect ECONNREFUSED 10.0.0.1:6443')
  t.equal(error.status, undefined)
})

t.test('says what to check where a certificate was not accepted', async (t) => {
  const codes = ['CERT_HAS_EXPIRED', 'UNABLE_TO_VERIFY_LEAF_SIGNATURE', 'UNABLE_TO_GET_ISSUER_CERT_LOCALLY']
  for (const code of [...codes, 'ERR_TLS_CERT_ALTNAME_INVALID', 'ERR_SSL_WRONG_VERSION_NUMBER']) {
    const { message } = noAnswer('x', server, Object.assign(new Error('no'), { code }))
    t.match(message, /: no; check the server and the certificate-authority of --kubeconfig$/, code)
  }
  for (const code of ['ECONNRESET', undefined, 7]) {
    t.match(noAnswer('x', server, Object.assign(new Error('no'), { code })).message, /: no$/, String(code))
  }
})
