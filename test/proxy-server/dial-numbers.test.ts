import t from 'tap'
import { createDialNumbers } from '../../src/proxy-server/dial-numbers.ts'
import { decodePacket, encodePacket } from '../../src/tunnel/packet-codec.ts'

const COUNT = 5_000 // several fillings of the pool

t.test('gives numbers from 0 to the greatest int64, each another one', async (t) => {
  const next = createDialNumbers()
  const numbers = Array.from({ length: COUNT }, next)
  t.equal(new Set(numbers).size, COUNT)
  t.ok(numbers.every((number) => number >= 0 && BigInt(number) < 1n << 63n))
  const top = numbers.filter((number) => BigInt(number) >= 1n << 62n).length
  t.ok(top > COUNT * 0.4 && top < COUNT * 0.6, `the highest bit is set in half of them: ${top}`)
})

t.test('gives them in the form in which they come back from an agent', async (t) => {
  const next = createDialNumbers()
  for (let count = 0; count < COUNT; count++) {
    const random = next()
    const back = decodePacket(encodePacket({ type: 'DIAL_CLS', random }))
    if (back.type !== 'DIAL_CLS' || back.random !== random) t.fail(`${random} comes back as another one`)
  }
})

t.test('two sources give different numbers', async (t) => {
  t.not(createDialNumbers()(), createDialNumbers()())
})
