import t, { type Test } from 'tap'
import {
  boolean,
  bytes,
  duration,
  integer,
  integerOr,
  list,
  number,
  oneOf,
  words,
} from '../../src/platform/option-types.ts'
import type { Option } from '../../src/platform/options.ts'

const help = 'What it is for.'

/** Both sides of a limit: the values that are read, by text, and the texts that are refused. */
function check<T>(t: Test, option: Option<T>, read: Record<string, T>, refused: string[]): void {
  for (const [text, value] of Object.entries(read)) t.strictSame(option.parse(text), { value }, text)
  for (const text of refused) t.hasProp(option.parse(text), 'expected', JSON.stringify(text))
}

t.test('an integer may be left to be found out, by a word', async (t) => {
  const option = integerOr('auto', { help, min: 0, max: 16 })
  check(t, option, { auto: 'auto', '0': 0, '16': 16 }, ['', 'Auto', '17', '-1', '1.5', 'x'])
  t.strictSame(option.parse('17'), { expected: 'auto or a whole number from 0 to 16' })
})

t.test('an integer keeps its bounds, and those of its form', async (t) => {
  check(t, integer({ help }), { '-5': -5, '+7': 7, '010': 8, '0x1F': 31, '1_000': 1_000 }, ['', '1.5', 'x'])
  check(t, integer({ help, form: 'decimal32' }), { '010': 10, '2147483647': 2_147_483_647 }, ['0x1', '2147483648'])
  t.strictSame(integer({ help }).parse('9223372036854775808'), { expected: 'a whole number of 64 bits' })
  t.strictSame(integer({ help, min: 2 }).parse('9223372036854775808'), { expected: 'a whole number, at least 2' })
  check(t, integer({ help, min: 2, max: 4 }), { '2': 2, '4': 4 }, ['1', '5'])
  t.strictSame(integer({ help, min: 2, max: 4 }).parse('5'), { expected: 'a whole number from 2 to 4' })
})

t.test('a number may have a fraction and an exponent', async (t) => {
  const read = { '5': 5, '-1': -1, '2.5': 2.5, '.5': 0.5, '1e3': 1_000 }
  check(t, number({ help }), read, ['', 'x', '1,5', '0x10', 'NaN', 'Infinity', '1e999'])
})

t.test('a duration is in milliseconds, not negative, and as long as a timer can wait', async (t) => {
  check(t, duration({ help }), { '0': 0, '2147483647ms': 2_147_483_647, '87600h': 2_147_483_647 }, ['-1s', '5', ''])
  check(t, duration({ help, min: 10, max: 20 }), { '10ms': 10, '20ms': 20 }, ['9ms', '21ms'])
  t.strictSame(duration({ help, min: 10 }).parse('0'), {
    expected: 'a duration such as 250ms, 10s or 5m, at least 10ms',
  })
})

t.test('a size keeps its bounds', async (t) => {
  check(t, bytes({ help, min: 1_024, max: 2_048 }), { '1KiB': 1_024, '2048': 2_048 }, ['1023', '2049', '1kb'])
})

t.test('a boolean takes the words of Go', async (t) => {
  check(t, boolean({ help }), { '1': true, t: true, TRUE: true, '0': false, f: false, False: false }, [
    '',
    'yes',
    'tRUE',
  ])
})

t.test('a choice is one of its words', async (t) => {
  check(t, oneOf(['text', 'json'], { help }), { text: 'text', json: 'json' }, ['', 'Text', 'xml'])
  const optional = oneOf(['', 'text', 'json'], { help })
  t.strictSame(optional.parse(''), { value: '' })
  t.strictSame(optional.parse('xml'), { expected: 'one of text, json' }, 'the empty one is not worth a word')
  t.equal(optional.takes, 'text|json')
  t.strictSame(oneOf(['a'], { help, refusal: (given) => `no ${given}` }).parse('b'), { refused: 'no b' })
})

t.test('a list has its items as they are', async (t) => {
  check(t, list({ help }), { '': [], 'a, b,,c': ['a', ' b', '', 'c'], '"a,b",c': ['a,b', 'c'] }, ['a"b', '"a'])
})

t.test('words are as they are, and an empty one is none', async (t) => {
  const option = words({ help, refusal: 'none at all' })
  check(t, option, { '': [], 'a, b,,c': ['a', ' b', 'c'], '"a"': ['"a"'] }, [])
  t.strictSame(option.parse(',,'), { refused: 'none at all' })
})
