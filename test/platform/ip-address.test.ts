import { isIP } from 'node:net'
import t from 'tap'
import { ipBytes, sourceOf } from '../../src/platform/ip-address.ts'
import { createRandom } from './random.ts'

const hex = (text: string): string | undefined => {
  const bytes = ipBytes(text)
  return bytes && Buffer.from(bytes).toString('hex')
}

t.test('gives the bytes of an address', async (t) => {
  t.equal(hex('10.0.255.1'), '0a00ff01')
  t.equal(hex('::'), '0'.repeat(32))
  t.equal(hex('::1'), `${'0'.repeat(31)}1`)
  t.equal(hex('fe80::1'), 'fe800000000000000000000000000001')
  t.equal(hex('2001:DB8:1:2:3:4:5:6'), '20010db8000100020003000400050006')
  t.equal(hex('1:2:3:4:5:6:7::'), '00010002000300040005000600070000')
  t.equal(hex('64:ff9b::10.0.0.1'), '0064ff9b00000000000000000a000001')
})

t.test('gives an IPv4-mapped address as the IPv4 address it stands for', async (t) => {
  for (const text of ['::ffff:169.254.1.2', '::FFFF:a9fe:102', '0:0:0:0:0:ffff:a9fe:0102']) {
    t.equal(hex(text), 'a9fe0102', text)
  }
})

t.test('refuses the forms that can be read two ways', async (t) => {
  const ambiguous = ['010.0.0.1', '0x7f.0.0.1', '2130706433', '127.1', '1.2.3.4.', ' 1.2.3.4', '1.2.3.4\n', '::1%lo']
  for (const text of ambiguous) t.equal(hex(text), undefined, JSON.stringify(text))
})

t.test('agrees with node:net on 40,000 near misses', async (t) => {
  const pieces = ['1', '12', '0', 'f', 'ffff', '12345', '255', '256', ':', ':', ':', ':', '::', '.', '.', 'g', '-', '']
  const random = createRandom(1)
  const wrong: string[] = []
  let addresses = 0
  for (let round = 0; round < 40_000; round++) {
    let text = random.pick(['', '1:2:3:4:5:6', '::1', '1.2.3', '1::'])
    for (let count = random.below(6); count > 0; count--) text += random.pick(pieces)
    if (isIP(text) !== 0) addresses++
    if ((isIP(text) !== 0) !== (ipBytes(text) !== undefined)) wrong.push(text)
  }
  t.strictSame(wrong, [])
  t.ok(addresses > 1000, `saw ${addresses} addresses`)
})

t.test('a source is an IPv4 address or an IPv6 network of 64 bits, however it is written', async (t) => {
  t.equal(sourceOf('::ffff:192.0.2.1'), sourceOf('192.0.2.1'))
  t.not(sourceOf('192.0.2.1'), sourceOf('192.0.2.2'))
  t.equal(sourceOf('2001:db8:0:1::1'), sourceOf('2001:db8:0:1:ffff:ffff:ffff:ffff'))
  t.not(sourceOf('2001:db8:0:1::1'), sourceOf('2001:db8:0:2::1'))
  t.equal(sourceOf('fe80::1%eth0'), sourceOf('fe80::2'))
  t.equal(sourceOf('what is none'), 'what is none')
})
