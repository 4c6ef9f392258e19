import { PassThrough } from 'node:stream'
import t from 'tap'
import {
  readAnswer,
  readAuthorities,
  readLines,
  readRequest,
  writeAnswer,
  writeAuthorities,
  writeRequest,
} from '../../src/pki/enrolment-wire.ts'
import { createJoinToken } from '../../src/pki/join-token.ts'

const { id, secret } = createJoinToken('')
const requests = [
  { kind: 'join', id, secret, request: 'a\nb' },
  { kind: 'renew', request: '' },
] as const
const answers = [
  { kind: 'issued', certificate: 'x\n' },
  { kind: 'refused', why: 'busy', reason: 'later' },
] as const

t.test('what is written is read back', async (t) => {
  for (const request of requests) t.strictSame(readRequest(writeRequest(request)), request)
  for (const answer of answers) t.strictSame(readAnswer(writeAnswer(answer)), answer)
  t.equal(readAuthorities(writeAuthorities('pem\n')), 'pem\n')
})

t.test('what is of another form is none', async (t) => {
  const join = { id, secret }
  for (const text of [
    '',
    'x',
    'null',
    '[]',
    '1',
    '{}',
    '{"request":""}',
    '{"renew":"true","request":""}',
    '{"renew":true}',
  ]) {
    t.equal(readRequest(text), undefined, text)
  }
  for (const value of [
    { join, renew: true, request: '' },
    { join, request: 1 },
    { join: { id, secret: 'x' }, request: '' },
    { join: { id: '../../../..', secret }, request: '' },
    { join: null, request: '' },
  ]) {
    t.equal(readRequest(JSON.stringify(value)), undefined)
  }
  for (const text of ['{"refused":"because","reason":""}', '{"refused":"busy"}', '{"certificate":1}', ''])
    t.equal(readAnswer(text), undefined)
  const long = readAnswer(JSON.stringify({ refused: 'busy', reason: `\u001b[31m${'x'.repeat(1_000)}` }))
  t.match(long, { reason: /^\?\[31mx+$/ })
  t.equal(long?.kind === 'refused' && long.reason.length, 300)
  t.equal(readAuthorities('{"authorities":[]}'), undefined)
})

t.test('lines come whole wherever the network splits them, and never longer than they may be', async (t) => {
  const text = 'one\ntwo ü\n'
  for (let cut = 0; cut <= Buffer.byteLength(text); cut++) {
    const lines: string[] = []
    const stream = new PassThrough()
    readLines(stream, 6, { line: (line) => lines.push(line), failed: (error) => t.fail(error.message) })
    const bytes = Buffer.from(text)
    stream.write(bytes.subarray(0, cut))
    stream.write(bytes.subarray(cut))
    t.strictSame(lines, ['one', 'two ü'], `cut at ${cut}`)
  }
  for (const [given, message] of [
    ['1234567', /a line is over the limit of 6 bytes/],
    ['1234567\n', /a line is over the limit of 6 bytes/],
    ['12', /the connection ended before its time/],
  ] as const) {
    const failures: Error[] = []
    const stream = new PassThrough()
    readLines(stream, 6, { line: () => t.fail('no line'), failed: (error) => failures.push(error) })
    stream.write(given)
    stream.write('8')
    stream.end()
    await new Promise((resolve) => stream.once('close', resolve))
    t.equal(failures.length, 1)
    t.match(failures, [{ code: 'malformed', message }])
  }
})
