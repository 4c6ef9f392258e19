import t from 'tap'
import { formatBytes, parseBytes } from '../../src/platform/bytes.ts'

t.test('reads whole numbers of bytes and binary units', async (t) => {
  const forms: Record<string, number> = {
    '0': 0,
    '512': 512,
    '512B': 512,
    '16KiB': 16_384,
    '64MiB': 67_108_864,
    '2GiB': 2_147_483_648,
    '64Mi': 67_108_864,
  }
  for (const [text, bytes] of Object.entries(forms)) t.equal(parseBytes(text), bytes, text)
})

t.test('refuses fractions, decimal units, signs and numbers that are not exact', async (t) => {
  for (const text of ['', 'KiB', '1.5MiB', '-1', '1MB', '1 MiB', '1mib', 'i', '1i', '9007199254740993', '9999999GiB']) {
    t.equal(parseBytes(text), undefined, JSON.stringify(text))
  }
})

t.test('writes the largest unit that leaves a whole number, which reads back', async (t) => {
  const forms: [number, string][] = [
    [0, '0B'],
    [1_000, '1000B'],
    [16_384, '16KiB'],
    [1_572_864, '1536KiB'],
    [4_194_304, '4MiB'],
    [3_221_225_472, '3GiB'],
  ]
  for (const [bytes, text] of forms) {
    t.equal(formatBytes(bytes), text)
    t.equal(parseBytes(text), bytes)
  }
})
