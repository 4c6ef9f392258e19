import t from 'tap'
import { readServerAddress } from '../../src/platform/server-address.ts'

t.test('reads a host with and without a port of its own', async (t) => {
  const addresses: readonly [string, string, number][] = [
    ['hub.example', 'hub.example', 8091],
    ['hub.example:443', 'hub.example', 443],
    ['10.0.0.1', '10.0.0.1', 8091],
    ['10.0.0.1:65535', '10.0.0.1', 65_535],
    ['fd00::1', 'fd00::1', 8091],
    ['::1:443', '::1:443', 8091], // an address: without brackets there is no telling a port from its last group
    ['[fd00::1]', 'fd00::1', 8091],
    ['[fd00::1]:443', 'fd00::1', 443],
    ['hub_0:1', 'hub_0', 1],
  ]
  for (const [given, host, port] of addresses) t.strictSame(readServerAddress(given, 8091), { host, port }, given)
})

t.test('refuses what is no address', async (t) => {
  const wrong = [
    '',
    ':443',
    'hub:',
    'hub:0',
    'hub:65536',
    'hub:http',
    '[hub]:443',
    '[10.0.0.1]:1',
    '[]:1',
    '[::1',
    '::1]',
    'a b',
  ]
  for (const given of [
    ...wrong,
    'https://hub',
    'hub/path',
    'user@hub',
    '10.0.0.256',
    'fe80::1%eth0',
    'h\u00fcb',
    'hub:1:2',
  ]) {
    t.equal(readServerAddress(given, 8091), undefined, given)
  }
})
