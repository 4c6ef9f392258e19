import t from 'tap'
import { isDnsName, isIpAddress, plainAddress } from '../../src/pki/hosts.ts'

t.test('knows DNS names and addresses from what is neither', async (t) => {
  for (const name of ['a', 'A-1.example', '*.a.b', `${'a'.repeat(63)}.b`, 'xn--bcher-kva.example', '1.a']) {
    t.ok(isDnsName(name), name)
  }
  for (const name of [
    '',
    '.',
    'a.',
    '.a',
    'a..b',
    '-a',
    'a-',
    'a_b',
    '*',
    'a.*',
    '*a.b',
    `${'a'.repeat(64)}`,
    'a:1',
    '::1',
    '1.2.3.4',
  ]) {
    t.notOk(isDnsName(name), name)
  }
  t.ok(isDnsName(`${'a.'.repeat(126)}a`), '253 characters')
  t.notOk(isDnsName(`${'a.'.repeat(126)}aa`), '254 characters')
  for (const address of ['10.0.0.7', '::', '2001:db8::7']) t.ok(isIpAddress(address), address)
  for (const address of ['', '10.0.0', '010.0.0.7', 'fe80::1%eth0', '10.0.0.0/8', '[::1]'])
    t.notOk(isIpAddress(address), address)
})

t.test('writes any address in a form without IPv4 inside IPv6', async (t) => {
  t.equal(plainAddress('10.0.0.7'), '10.0.0.7')
  t.equal(plainAddress('::FFFF:192.0.2.7'), '::ffff:c000:207')
  t.equal(plainAddress('0:0:0:0:0:0:0:1'), '::1')
})
