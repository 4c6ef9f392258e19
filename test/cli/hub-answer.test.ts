import t from 'tap'
import { parse } from 'yaml'
import { jsonOf, readAnswer, yamlOf } from '../../src/cli/hub-answer.ts'

const hostile = {
  id: 'eu-1',
  reason: 'a\u009b31m b\u007f\u0085 c\u001b[8m',
  agents: [{ agentId: '\u202ereversed\u2028', lines: 'one\ntwo\r', tag: '\u{e0041}', name: 'Zürich – 東京', n: 1 }],
}
const STEERS = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u

t.test('nothing that steers a terminal is left of what agents say, and the value is the same', async (t) => {
  for (const text of [jsonOf(hostile), jsonOf(hostile, 2), yamlOf(hostile)]) {
    t.notMatch(text.replaceAll('\n', ''), STEERS, text)
    t.match(text, 'Zürich – 東京', 'what is only foreign stays')
    t.strictSame(parse(text), hostile)
  }
  t.strictSame(readAnswer(jsonOf(hostile, 2)), hostile)
  t.equal(jsonOf({ a: 1 }), '{"a":1}')
  t.equal(yamlOf({ a: 'x', b: [1] }), 'a: x\nb:\n  - 1\n')
})

t.test('says so of what is no JSON', async (t) => {
  for (const text of ['', '<html>', '{"clusters":']) {
    t.throws(() => readAnswer(text), { code: 'no-answer', message: /is no JSON: is it the admin port/ })
  }
})
