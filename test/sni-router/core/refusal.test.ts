import t from 'tap'
import { faultAnswer, unroutableAnswer } from '../../../src/sni-router/core/refusal.ts'

t.test('answers by a fatal alert where TLS is spoken', async (t) => {
  const shown = (['no-name', 'no-route', 'no-protocol', 'no-backend', 'route-full'] as const).map((why) =>
    unroutableAnswer(why).toString('hex'),
  )
  t.strictSame(shown, ['15030100020270', '15030100020270', '15030100020278', '15030100020250', '15030100020250'])
  t.equal(faultAnswer('malformed', 50)?.toString('hex'), '15030100020232')
})

t.test('answers HTTP by HTTP, and nothing to what it does not know', async (t) => {
  const text = faultAnswer('http', undefined)?.toString() ?? ''
  const [head = '', body = ''] = text.split('\r\n\r\n')
  t.match(head, /^HTTP\/1\.1 400 Bad Request\r\n/)
  t.match(head, `Content-Length: ${body.length}\r\n`)
  t.equal(faultAnswer('not-tls', undefined), undefined)
})
