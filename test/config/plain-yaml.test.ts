import t from 'tap'
import { readYaml } from './plain-yaml.ts'

t.test('reads maps, lists and plain values', async (t) => {
  const text =
    '# sample\na: https://x:1 # beside\nb:\n  c: d#e\n\nlist:\n  - name: one\n    deep:\n      f: 1\n  # next\n  - name: two\n'
  t.strictSame(readYaml(text), {
    a: 'https://x:1',
    b: { c: 'd#e' },
    list: [{ name: 'one', deep: { f: '1' } }, { name: 'two' }],
  })
})

t.test('refuses what means something else to a real parser', async (t) => {
  for (const [text, message] of [
    ['a: 1\na: 2', 'line 2 repeats a key: a: 2'],
    ['a:\nb: 1', 'line 1 has no value: a:'],
    ['a: 1\n  b: 2', 'line 2 is indented more than what it belongs to: b: 2'],
    ['  a: 1\nb: 2', 'line 2 is indented less than what it belongs to: b: 2'],
    ['a: "1"', 'line 1 is no plain key with a plain value: a: "1"'],
    ['a: {b: 1}', 'line 1 is no plain key with a plain value: a: {b: 1}'],
    ['a:\n\tb: 1', 'line 2 has a tab: b: 1'],
    ['a:1', 'line 1 is no plain key with a plain value: a:1'],
    ['- a: 1\nb: 2', 'line 2 is indented less than what it belongs to: b: 2'],
    ['', 'expected more lines'],
  ] as const) {
    t.throws(() => readYaml(text), { message }, text)
  }
})
