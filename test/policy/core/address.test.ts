import t from 'tap'
import { ipBytes } from '../../../src/platform/ip-address.ts'
import { addressText, formsOf, holds, isLinkLocal, readRange } from '../../../src/policy/core/address.ts'
import { createRandom } from '../../platform/random.ts'

const bytes = (text: string): readonly number[] => ipBytes(text) ?? []
const text = (range: string): string => {
  const read = readRange(range)
  return 'expected' in read ? `expected ${read.expected}` : read.text
}
const inside = (range: string, address: string): boolean => {
  const read = readRange(range)
  return !('expected' in read) && holds(read, bytes(address))
}

t.test('reads ranges and addresses, in one form each', async (t) => {
  const forms: Record<string, string> = {
    '10.0.0.0/8': '10.0.0.0/8',
    '10.1.2.3': '10.1.2.3/32',
    '0.0.0.0/0': '0.0.0.0/0',
    'FD00:0:0::/8': 'fd00::/8',
    '2001:db8:0:0:1:0:0:0/80': '2001:db8:0:0:1::/80',
    '::/0': '::/0',
    '::1': '::1/128',
    '::ffff:10.0.0.0/104': '10.0.0.0/8',
    '::ffff:10.0.0.1': '10.0.0.1/32',
  }
  for (const [given, form] of Object.entries(forms)) t.equal(text(given), form)
})

t.test('refuses what can be read two ways', async (t) => {
  t.equal(text('10.1.0.0/8'), 'expected the first address of the range, 10.0.0.0/8')
  t.equal(text('fd12::/8'), 'expected the first address of the range, fd00::/8')
  for (const given of ['10.0.0.0/33', '::/129', '::ffff:0:0/95'])
    t.match(text(given), /expected a prefix length/, given)
  for (const given of [
    '10.0.0/8',
    '010.0.0.0/8',
    '0x0a000000/8',
    '10.0.0.0/',
    '/8',
    'fe80::1%eth0',
    'web',
    '',
    '10.0.0.0/8/8',
  ]) {
    t.match(text(given), /expected an address range such as/, given)
  }
})

t.test('holds its own addresses, to the bit', async (t) => {
  t.ok(inside('10.0.0.0/8', '10.255.255.255'))
  t.notOk(inside('10.0.0.0/8', '11.0.0.0'))
  t.ok(inside('10.0.0.128/25', '10.0.0.255'))
  t.notOk(inside('10.0.0.128/25', '10.0.0.127'))
  t.ok(inside('192.168.4.0/22', '192.168.7.255'))
  t.notOk(inside('192.168.4.0/22', '192.168.8.0'))
  t.ok(inside('fe80::/10', 'febf:ffff::1'))
  t.notOk(inside('fe80::/10', 'fec0::'))
  t.ok(inside('0.0.0.0/0', '1.2.3.4'))
  t.notOk(inside('0.0.0.0/0', '::1'), 'families are apart')
  t.ok(inside('10.0.0.0/8', '::ffff:10.1.1.1'), 'an IPv4-mapped address is the IPv4 one')
})

t.test('knows what else reaches an address', async (t) => {
  const forms = (address: string): string[] => formsOf(bytes(address)).map(addressText)
  t.strictSame(forms('10.0.0.1'), ['10.0.0.1'])
  t.strictSame(forms('0.0.0.0'), ['0.0.0.0', '127.0.0.1', '127.0.0.1'])
  t.strictSame(forms('::'), ['::', '::1', '127.0.0.1'])
  t.strictSame(forms('64:ff9b::169.254.169.254'), ['64:ff9b::a9fe:a9fe', '169.254.169.254'])
  t.strictSame(forms('64:ff9b:1:abcd::10.0.0.1'), ['64:ff9b:1:abcd::a00:1', '10.0.0.1'])
  t.strictSame(forms('2002:a00:1::5'), ['2002:a00:1::5', '10.0.0.1'])
  t.strictSame(forms('::10.0.0.1'), ['::a00:1', '10.0.0.1'])
  t.strictSame(forms('::1'), ['::1'])
  t.strictSame(forms('64:ff9b::'), ['64:ff9b::', '0.0.0.0', '127.0.0.1', '127.0.0.1'])
})

t.test('link-local in all forms, and nothing beside it', async (t) => {
  const local = [
    '169.254.0.0',
    '169.254.255.255',
    'fe80::',
    'febf::1',
    '64:ff9b::a9fe:a9fe',
    '64:ff9b:1::a9fe:a9fe',
    '64:ff9b:1:2:3:4:a9fe:1',
    '2002:a9fe:1::',
    '::169.254.1.1',
  ]
  for (const address of [...local, '::ffff:169.254.169.254']) t.ok(isLinkLocal(bytes(address)), address)
  for (const address of [
    '169.253.255.255',
    '169.255.0.0',
    'fe7f::1',
    'fec0::1',
    '0.0.0.0',
    '::1',
    '64:ff9b:2::a9fe:a9fe',
    '64:ff9b:1::a9fe:1:1',
  ]) {
    t.notOk(isLinkLocal(bytes(address)), address)
  }
})

t.test('every address is shown in a form that reads back as itself', async (t) => {
  const { below, chance } = createRandom(3)
  for (let round = 0; round < 2_000; round++) {
    const address = Array.from({ length: chance(30) ? 4 : 16 }, () => (chance(60) ? 0 : below(256)))
    if (address.length === 16 && ipBytes(addressText(address))?.length === 4) continue // IPv4-mapped
    t.strictSame(ipBytes(addressText(address)), address) || t.comment(addressText(address))
  }
})

t.test('a range holds exactly the addresses with its first bits', async (t) => {
  const { below, pick } = createRandom(5)
  for (let round = 0; round < 2_000; round++) {
    const length = pick([4, 16])
    const address = Array.from({ length }, () => below(256))
    if (length === 16) address[0] = 0x20 | (address[0]! & 0x0f)
    const bits = below(length * 8 + 1)
    const first = address.map((byte, index) => byte & ((0xff00 >> Math.min(8, Math.max(0, bits - index * 8))) & 0xff))
    const range = `${addressText(first)}/${bits}`
    if (!inside(range, addressText(address))) t.fail(`${range} holds ${addressText(address)}`)
    if (bits === 0) continue
    const at = below(bits)
    const other = [...address]
    other[at >> 3] = other[at >> 3]! ^ (0x80 >> (at & 7))
    if (inside(range, addressText(other))) t.fail(`${range} does not hold ${addressText(other)}`)
  }
})
