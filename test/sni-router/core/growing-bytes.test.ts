import t from 'tap'
import { growingBytes } from '../../../src/sni-router/core/growing-bytes.ts'

t.test('gives back what was added, and keeps nothing of the pieces themselves', async (t) => {
  const held = growingBytes()
  const piece = Buffer.from('abc')
  const buffers = new Set<unknown>()
  for (let count = 0; count < 5_000; count++) {
    held.add(piece)
    buffers.add(held.view().buffer)
  }
  piece.fill(0)
  t.equal(held.length(), 15_000)
  t.ok(buffers.size <= 5, `copied ${buffers.size} times`)
  t.equal(held.view().toString(), 'abc'.repeat(5_000))
})
