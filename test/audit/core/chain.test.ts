import t from 'tap'
import { BEGINNING, MAX_LINE_BYTES, open, seal } from '../../../src/audit/core/chain.ts'
import { sha256 } from '../../../src/audit/sha256.ts'

t.test('writes the line that docs/audit.md shows', async (t) => {
  const { line, head } = seal(BEGINNING, { time: '2026-11-22T08:00:00.000Z', event: 'started' }, sha256)
  const body = `{"seq":1,"prev":"${'0'.repeat(64)}","time":"2026-11-22T08:00:00.000Z","event":"started"}`
  t.equal(line, `${body.slice(0, -1)},"hash":"${sha256(body)}"}\n`)
  t.strictSame(head, { seq: 1, hash: sha256(body) })
})

t.test('each line names the one before', async (t) => {
  const first = seal(BEGINNING, { event: 'a' }, sha256)
  const second = seal(first.head, { event: 'b' }, sha256)
  t.match(JSON.parse(second.line), { seq: 2, prev: first.head.hash, event: 'b' })
})

t.test('opens what it sealed, whatever is in it', async (t) => {
  for (const text of ['', '","hash":"', 'ünïcode \u2028 \u0000 \ud800', '}\n{', '\\"']) {
    const { line, head } = seal({ seq: 41, hash: 'ab'.repeat(32) }, { text }, sha256)
    t.equal(line.indexOf('\n'), line.length - 1, 'one line')
    t.match(open(Buffer.from(line.slice(0, -1)), sha256), { kind: 'line', head, prev: 'ab'.repeat(32), intact: true })
  }
})

t.test('takes nothing else for a line', async (t) => {
  const seal75 = `,"hash":"${'0'.repeat(64)}"}`
  for (const text of [
    '',
    '{}',
    'x'.repeat(200),
    `${seal75}`,
    `[1${seal75}`,
    `{"seq":1${seal75}`,
    `{"prev":""${seal75}`,
  ]) {
    t.strictSame(open(Buffer.from(text), sha256), { kind: 'foreign' }, text)
  }
  t.strictSame(open(Buffer.from(`{"seq":1.5,"prev":""${seal75}`), sha256), { kind: 'foreign' }, 'a fraction')
  const long = seal(BEGINNING, { text: 'x'.repeat(MAX_LINE_BYTES) }, sha256).line
  t.strictSame(open(Buffer.from(long.slice(0, -1)), sha256), { kind: 'foreign' }, 'over the limit')
})
