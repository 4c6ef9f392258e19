import t from 'tap'
import { ipText, isWithin, readRange } from '../../src/platform/address-range.ts'
import { ipBytes } from '../../src/platform/ip-address.ts'

t.test('reads ranges, and single addresses as the range of one', async (t) => {
  for (const text of ['10.0.0.0/8', '10.1.2.3', '0.0.0.0/0', '::/0', 'fd00::/8', '::1', '10.0.0.128/25']) {
    t.ok(readRange(text), text)
  }
  for (const text of [
    '',
    '10.0.0.1/8',
    '10.0.0.0/33',
    '::/129',
    '10.0.0.0/',
    'a/8',
    '10.0.0/8',
    '10.0.0.0/8/8',
    '010.0.0.0/8',
  ]) {
    t.equal(readRange(text), undefined, text)
  }
})

t.test('says whether an address is in a range, on both sides of its bounds', async (t) => {
  const ranges = ['10.0.0.128/25', 'fd00::/9', '192.0.2.7'].map((text) => readRange(text)!)
  for (const ip of ['10.0.0.128', '10.0.0.255', '::ffff:10.0.0.200', 'fd7f::1', '192.0.2.7'])
    t.ok(isWithin(ip, ranges), ip)
  for (const ip of ['10.0.0.127', '10.0.1.0', 'fd80::', 'fc00::', '192.0.2.8', '', 'x'])
    t.notOk(isWithin(ip, ranges), ip)
  t.notOk(isWithin('10.0.0.1', []))
})

t.test('writes addresses as RFC 5952 does', async (t) => {
  for (const text of ['10.0.0.1', '::', '::1', '2001:db8::1', '2001:db8:0:1:1:1:1:1', '1:0:0:2::3', 'fe80::']) {
    t.equal(ipText(Uint8Array.from(ipBytes(text)!)), text)
  }
})
