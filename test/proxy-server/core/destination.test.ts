import t from 'tap'
import { hostKey, hostOf } from '../../../src/proxy-server/core/destination.ts'

t.test('cuts the port off as konnectivity does', async (t) => {
  const hosts: Readonly<Record<string, string>> = {
    '10.0.0.1:443': '10.0.0.1',
    'web.default.svc:443': 'web.default.svc',
    '[fd00::1]:443': 'fd00::1',
    'fd00::1': 'fd00::1',
    '::': '::',
    '::1': '::1',
    web: 'web',
    'web:': 'web',
    'a:b': 'a',
    'a:': 'a',
    ':443': '',
    '': '',
    '[web]:443': '[web]', // one colon: nobody looks at brackets
    // What it makes of addresses that nobody should send is nothing to rely on, but is the same.
    '[::1]': ':',
    '[::]:443]': '::',
    '[[::1]]:443': '::1',
    'a:b:c': 'a:b:c',
    '[a:b:c': 'a:b',
    '[]::]': ':',
  }
  for (const [address, host] of Object.entries(hosts)) t.equal(hostOf(address), host, address)
})

t.test('has one key for all spellings of a host', async (t) => {
  const same = [
    ['node-1', 'Node-1', 'NODE-1.', 'node-1.'],
    ['fd00::1', 'FD00::1', 'fd00:0:0::1', 'fd00:0:0:0:0:0:0:1', 'fd00::0001'],
    ['10.0.0.1', '::ffff:10.0.0.1', '::FFFF:a00:1'],
  ]
  for (const spellings of same) t.equal(new Set(spellings.map(hostKey)).size, 1, spellings.join(' '))
  t.equal(new Set(same.flat().map(hostKey)).size, same.length, 'and another one for another host')
  t.not(hostKey('node-1..'), hostKey('node-1'), 'one final dot')
  t.not(hostKey('010.0.0.1'), hostKey('10.0.0.1'), 'octal is not an address')
  t.equal(hostKey('10.0.0.1'), '10.0.0.1', 'an IPv4 address is its own key: most dials are for one')
})
