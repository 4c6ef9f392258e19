import t from 'tap'
import { escaped } from '../../src/platform/plain-text.ts'

t.test('escapes as JSON does what would steer a terminal or break a line, and nothing else', async (t) => {
  const texts: Record<string, string> = {
    'a\u001b[8m': 'a\\u001b[8m',
    '\u007f\u009b': '\\u007f\\u009b',
    'x\u2028y\u2029': 'x\\u2028y\\u2029',
    '\u202e\u{e0041}': '\\u202e\\udb40\\udc41',
    'Zürich 東京 \u{1f600} "q" \\': 'Zürich 東京 \u{1f600} "q" \\',
  }
  for (const [text, wanted] of Object.entries(texts)) t.equal(escaped(text), wanted)
})
