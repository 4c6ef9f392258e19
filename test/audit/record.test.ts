import t from 'tap'
import { fieldsOf, MAX_TEXT_CHARS } from '../../src/audit/record.ts'
import { processorMs } from '../platform/processor-time.ts'

t.test('writes what is known, in the order of the record', async (t) => {
  const fields = fieldsOf({ event: 'end', id: 's/1', cluster: undefined, bytesToTarget: 0, durationMs: 1.5 })
  t.strictSame(Object.entries(fields), [
    ['event', 'end'],
    ['id', 's/1'],
    ['bytesToTarget', 0],
    ['durationMs', 1.5],
  ])
})

t.test('cuts a text that is over the limit, and leaves one that is just within', async (t) => {
  const longest = 'x'.repeat(MAX_TEXT_CHARS)
  t.equal(fieldsOf({ event: 'dial', reason: longest }).reason, longest)
  t.equal(fieldsOf({ event: 'dial', reason: `${longest}y` }).reason, `${longest}…`)
})

t.test('takes passwords out of what clients wrote, and leaves names that only look like them', async (t) => {
  const shown = (destination: string): unknown => fieldsOf({ event: 'dial', destination }).destination
  t.equal(shown('alice:secret@10.0.0.1:443'), '…@10.0.0.1:443')
  t.equal(shown('https://alice:s:cret@10.0.0.1:443/'), 'https://…@10.0.0.1:443/')
  t.equal(shown('dial tcp: lookup alice:secret@nowhere: no such host'), 'dial tcp: lookup …@nowhere: no such host')
  t.equal(shown(`a:${'s'.repeat(MAX_TEXT_CHARS)}@b`), '…@b', 'also a long one')
  t.equal(shown('"a:b@c" and "d:e@f"'), '"…@c" and "…@f"')
  for (const text of [
    'alice@example.com',
    'system:serviceaccount:eu-1:agent',
    '[fe80::1]:443',
    'CN=a@example.com, O=b',
  ]) {
    t.equal(shown(text), text)
  }
  t.ok(String(shown(`${'a:'.repeat(50_000)}@`)).length <= MAX_TEXT_CHARS + 1, 'of any length')
  const principal = 'oidc:alice@example.com'
  t.strictSame(fieldsOf({ event: 'dial', principal }), { event: 'dial', principal }, 'a name is no destination')
})

t.test('what a peer words costs no more than its length', async (t) => {
  for (const text of [`@${'a'.repeat(4_000)}`, `@${'a:'.repeat(2_000)}`, `@${'a:b"'.repeat(1_000)}`]) {
    const tookMs = processorMs(() => {
      for (let count = 0; count < 200; count++) fieldsOf({ event: 'dial', destination: text })
    })
    t.ok(tookMs < 400, `${tookMs} ms for 200`)
  }
})
