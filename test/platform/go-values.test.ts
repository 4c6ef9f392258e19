import t from 'tap'
import { readCommaList, readGoInteger } from '../../src/platform/go-values.ts'

const int64 = (text: string): number | string => {
  const read = readGoInteger(text, 'int64')
  return read.kind === 'integer' ? read.value : read.kind
}

t.test('reads whole numbers to the bases that their prefixes name', async (t) => {
  const read = { '0': 0, '-0': 0, '8091': 8_091, '+7': 7, '010': 8, '0o17': 15, '0O17': 15, '0b11': 3, '0X1f': 31 }
  for (const [text, value] of Object.entries({ ...read, '-0x10': -16, '00': 0 })) t.equal(int64(text), value, text)
})

t.test('takes underscores between digits and behind a prefix', async (t) => {
  for (const [text, value] of Object.entries({ '1_0': 10, '0_7': 7, '0x_f_f': 255, '0b_1': 1 })) {
    t.equal(int64(text), value, text)
  }
  for (const text of ['_1', '1_', '1__0', '0_x1', '0x1_', '-_1', '0_']) t.equal(int64(text), 'none', text)
})

t.test('refuses what is none', async (t) => {
  for (const text of ['', '+', ' 1', '1 ', '1.0', '1e3', '08', '0b2', '0x', '0b', '0o8', 'x', '--1']) {
    t.equal(int64(text), 'none', text)
  }
  for (const text of ['-1', '+1']) t.strictSame(readGoInteger(text, 'uint64'), { kind: 'none' }, text)
  for (const text of ['0x1', '1_0', '']) t.strictSame(readGoInteger(text, 'decimal32'), { kind: 'none' }, text)
})

t.test('keeps to the bits of the form', async (t) => {
  t.equal(int64('9223372036854775807'), 2 ** 63)
  t.equal(int64('-9223372036854775808'), -(2 ** 63))
  t.strictSame(readGoInteger('9223372036854775808', 'int64'), { kind: 'out of range', bits: '64' })
  t.equal(int64('-9223372036854775809'), 'out of range')
  t.strictSame(readGoInteger('0xffffffffffffffff', 'uint64'), { kind: 'integer', value: 2 ** 64 })
  t.match(readGoInteger('18446744073709551616', 'uint64'), { kind: 'out of range' })
  t.strictSame(readGoInteger('-02147483648', 'decimal32'), { kind: 'integer', value: -2_147_483_648 })
  t.strictSame(readGoInteger('2147483648', 'decimal32'), { kind: 'out of range', bits: '32' })
})

t.test('reads a list as a line of comma-separated values', async (t) => {
  const lines: [string, string[] | undefined][] = [
    ['', []],
    ['a', ['a']],
    [' a, b ', [' a', ' b ']],
    [',', ['', '']],
    ['a,', ['a', '']],
    ['"a,b",""', ['a,b', '']],
    ['"a""b"', ['a"b']],
    ['a,b\n', ['a', 'b']],
    ['a\r\nb', ['a']],
    ['"a"\r', ['a']],
    ['a"b', undefined],
    [' "a"', undefined],
    ['"a', undefined],
    ['"a"b', undefined],
    ['"a" ', undefined],
  ]
  for (const [line, items] of lines) t.strictSame(readCommaList(line), items, JSON.stringify(line))
})
