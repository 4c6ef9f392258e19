import t from 'tap'
import { compact, createWaitingPayloads } from '../../src/tunnel/waiting-payloads.ts'

const READ = Buffer.allocUnsafeSlow(64 * 1024).map((_, index) => index % 251)
/** The memory behind some payloads, each piece of it once. */
const kept = (pieces: readonly Uint8Array[]): number =>
  [...new Set(pieces.map(({ buffer }) => buffer))].reduce((sum, { byteLength }) => sum + byteLength, 0)

t.test('gives back what was put in, in order, whatever the sizes', async (t) => {
  const waiting = createWaitingPayloads()
  const sizes = [1, 600, 2_047, 1, 2_048, 65_536, 3, 2_047, 2_047, 2_047, 2_047, 2_047, 2_047, 2_047, 2_047, 2_047, 5]
  let at = 0
  const given = sizes.map((size) => {
    at = (at + 7) % 1_000
    return READ.subarray(size === READ.length ? 0 : at, size === READ.length ? size : at + size)
  })
  for (const bytes of given) waiting.push(bytes, true)
  t.notOk(waiting.isEmpty())
  t.ok(Buffer.concat(waiting.take()).equals(Buffer.concat(given)))
  t.ok(waiting.isEmpty())
  t.strictSame(waiting.take(), [])
  waiting.push(READ.subarray(0, 3), true)
  t.ok(Buffer.concat(waiting.take()).equals(READ.subarray(0, 3)), 'and goes on')
})

t.test('keeps small parts of large reads in little more than their own bytes', async (t) => {
  for (const size of [1, 100, 2_047, 2_048, 20_000]) {
    const waiting = createWaitingPayloads()
    const count = Math.ceil(100_000 / size)
    for (let each = 0; each < count; each++) waiting.push(Buffer.from(READ).subarray(0, size), true)
    const pieces = waiting.take()
    const bytes = count * size
    t.equal(Buffer.concat(pieces).length, bytes)
    t.ok(kept(pieces) <= bytes + 32_768, `${count} of ${size} bytes keep ${kept(pieces)}`)
    t.ok(pieces.length <= Math.max(count * 0.2, bytes / 2_048 + 1) || size >= 2_048, `in ${pieces.length} pieces`)
  }
})

t.test('keeps one byte in half a kibibyte', async (t) => {
  const waiting = createWaitingPayloads()
  waiting.push(READ.subarray(5, 6), true)
  t.equal(kept(waiting.take()), 512)
})

t.test('copies what is less than half of its read, and nothing else', async (t) => {
  const half = READ.subarray(100, 100 + READ.length / 2)
  t.equal(compact(half), half)
  const less = READ.subarray(100, 99 + READ.length / 2)
  const copy = compact(less)
  t.not(copy, less)
  t.ok(Buffer.from(copy).equals(less))
  t.equal(copy.buffer.byteLength, less.length)
})

t.test('copies nothing that will soon be taken', async (t) => {
  const waiting = createWaitingPayloads()
  const given = [READ.subarray(0, 1), READ.subarray(1, 4_000)]
  waiting.push(given[0]!, false)
  waiting.push(READ.subarray(4_000, 4_001), true)
  waiting.push(given[1]!, false)
  waiting.push(READ.subarray(0, 1), true)
  const pieces = waiting.take()
  t.equal(pieces.length, 4)
  t.equal(pieces[0], given[0])
  t.equal(pieces[2], given[1])
})
