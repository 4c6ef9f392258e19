import t from 'tap'
import { readYaml } from '../../src/platform/yaml.ts'
import { processorMs } from './processor-time.ts'
import { createRandom } from './random.ts'

const read = (text: string, limits = {}) => readYaml(text, { name: 'f.yaml', ...limits })
const values = (text: string): unknown[] => {
  const got = read(text)
  if (!got.ok) throw new Error(got.problems.join('\n'))
  return got.documents.map(({ value }) => value)
}
const problems = (text: string, limits = {}): readonly string[] => {
  const got = read(text, limits)
  return got.ok ? [] : got.problems
}

t.test('gives plain values of one document and of several', async (t) => {
  t.strictSame(values('id: a\nports: [1, 0x10]\non: yes\nnone: null\nt: true\n'), [
    { id: 'a', ports: [1, 16], on: 'yes', none: null, t: true },
  ])
  t.strictSame(values('# only this\n---\na: 1\n---\n---\n- b\n---\n'), [{ a: 1 }, ['b']])
  t.strictSame(values('{"a": ["x", {"b": 1.5}]}'), [{ a: ['x', { b: 1.5 }] }], 'JSON is YAML')
  t.strictSame(values(''), [])
  t.strictSame(values('\ufeffa: 1'), [{ a: 1 }], 'a byte order mark')
  t.strictSame(values('a: |\n  two\n  lines\n'), [{ a: 'two\nlines\n' }])
})

t.test('says the line of what a pointer names', async (t) => {
  const got = read('id: a\nrules:\n  - allow: x\n  - deny: y\n    "a/b": 1\n---\nid: b\n')
  const [first, second] = got.ok ? got.documents : []
  const lines = ['', '/id', '/rules', '/rules/1', '/rules/1/a~1b', '/rules/7/x', '/none', '/id/0'].map(first!.lineOf)
  t.strictSame(lines, [1, 1, 2, 4, 5, 2, 1, 1])
  t.strictSame([second!.lineOf('/id'), second!.name], [7, 'f.yaml'])
})

t.test('finds the lines of many keys of one map at once', async (t) => {
  const keys = Array.from({ length: 20_000 }, (_, index) => `k${index}`)
  const got = read(keys.map((key) => `${key}: 1\n`).join(''))
  t.ok(got.ok)
  let lines: number[] = []
  const tookMs = processorMs(() => {
    lines = got.ok ? keys.map((key) => got.documents[0]!.lineOf(`/${key}`)) : []
  })
  t.ok(tookMs < 1_000, `${tookMs} ms`)
  t.strictSame([lines.length, lines[0], lines.at(-1)], [20_000, 1, 20_000])
})

t.test('refuses what could grow or hold itself', async (t) => {
  t.strictSame(problems('a: 1\nb: &x [*x]\n'), [
    'f.yaml:2: expected no anchor (&name): write each value out',
    'f.yaml:2: expected no alias (*name): write the value out',
  ])
  t.match(problems('a: &x 1'), [/:1: expected no anchor/])
  t.match(problems('? &k a\n: 1'), [/:1: expected no anchor/])
  t.match(problems('a: !!binary aGk='), [/:1: expected no tag/])
  t.match(problems('a: 1\n---\n!x\nb: 1\n'), [/:3: expected no tag/])
  t.match(problems('%YAML 1.1\n---\na: yes\n'), [/:1: expected no directive/])
  t.match(problems('<<: *base\n'), [/:1: expected no alias/])
  t.strictSame(values('<<: {a: 1}'), [{ '<<': { a: 1 } }], 'no merge')
})

t.test('refuses keys that come twice or are no texts', async (t) => {
  t.strictSame(problems('a: 1\nb:\n  c: 1\n  c: 2\n'), ['f.yaml:4: expected each key once, got "c" twice'])
  t.match(problems('1: x'), [/:1: expected a key that is a text: put it in quotes/])
  t.match(problems('{[1]: x}'), [/expected a key that is a text/])
  t.match(problems('a: 1\n__proto__: {b: 1}'), [/:2: expected another key than __proto__/])
})

t.test('says where the text is no YAML', async (t) => {
  t.match(problems('a: 1\nb: [1,\n'), [/^f\.yaml:\d: /])
  t.match(problems('a: 1\n\tb: 2\n'), [/^f\.yaml:2: /])
  t.match(problems('a: "x'), [/^f\.yaml:1: /])
  t.match(problems('a: b: c'), [/^f\.yaml:1: /])
})

t.test('both sides of the limits', async (t) => {
  t.strictSame(problems('a: 12', { maxBytes: 5 }), [])
  t.strictSame(problems('a: 12', { maxBytes: 4 }), ['f.yaml: expected at most 4 bytes, got 5'])
  t.strictSame(problems(`${'['.repeat(32)}${']'.repeat(32)}`), [])
  t.strictSame(problems(`\n${'['.repeat(33)}${']'.repeat(33)}`), [
    'f.yaml:2: expected at most 32 maps and lists inside each other',
  ])
  t.match(problems(`${'- '.repeat(33)}a`), [/expected at most 32/])
  t.match(problems('{a: '.repeat(100_000)), [/expected at most 32/], 'no recursion as deep as the text')
})

t.test('a large map takes no square of its size', { timeout: 20_000 }, async (t) => {
  const keys = Array.from({ length: 60_000 }, (_, index) => `k${index}: 1`).join('\n')
  t.equal(problems(`${keys}\nk7: 2`).length, 1)
})

t.test('a CR alone, which is a line break to some, is refused with its line', async (t) => {
  t.strictSame(values('a: 1\r\nb: 2\r\n'), [{ a: 1, b: 2 }])
  const expected = 'expected lines that end with LF or CR LF, got a CR alone'
  for (const text of ['\rtrue', 'a: 1\rb: 2', '"\r"', '# c\r']) t.strictSame(problems(text), [`f.yaml:1: ${expected}`])
  t.strictSame(problems('a: 1\r\n\nb\r: 2'), [`f.yaml:3: ${expected}`])
})

t.test('never throws, whatever it reads', async (t) => {
  const { below, pick } = createRandom(7)
  const parts = [
    'a',
    ': ',
    '\n',
    '- ',
    '[',
    ']',
    '{',
    '}',
    '&x ',
    '*x',
    '!t ',
    '"',
    "'",
    '|\n',
    '>\n',
    '---\n',
    '  ',
    '\t',
  ]
  parts.push('...\n', '%Y\n', '? ', ', ', '#', '\0', '\u2028', '😀', '\ud800', '<<: ', '0x', '.inf', '\r')
  for (let round = 0; round < 3_000; round++) {
    const text = Array.from({ length: below(30) }, () => pick(parts)).join('')
    const got = read(text)
    if (!got.ok && got.problems.length === 0) t.fail(`no problem is said of ${JSON.stringify(text)}`)
    if (got.ok) for (const { lineOf } of got.documents) lineOf('/a/0/a')
  }
})
