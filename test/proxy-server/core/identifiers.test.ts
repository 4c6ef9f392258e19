import t from 'tap'
import {
  countIdentifiers,
  hostsOf,
  type Identifiers,
  readIdentifiers,
} from '../../../src/proxy-server/core/identifiers.ts'

function read(text: string): Identifiers {
  const result = readIdentifiers(text)
  if ('problem' in result) throw new Error(result.problem)
  return result.identifiers
}
const nothing: Identifiers = { ipv4: [], ipv6: [], host: [], cidr: [], defaultRoute: false }

t.test('reads every key as often as it is given, in its order', async (t) => {
  t.strictSame(read('host=n2&ipv4=10.0.0.1&host=n1&cidr=10.0.0.0/8&ipv6=fd00::1&ipv4=10.0.0.2&default-route=true'), {
    ipv4: ['10.0.0.1', '10.0.0.2'],
    ipv6: ['fd00::1'],
    host: ['n2', 'n1'],
    cidr: ['10.0.0.0/8'],
    defaultRoute: true,
  })
})

t.test('passes over what it does not know, and what names nothing', async (t) => {
  for (const text of [
    '',
    '?host=n1',
    '&&',
    'uid=1&planet=mars',
    'HOST=n1',
    'host',
    'host=',
    'host=&ipv4=&default-route=',
  ]) {
    t.strictSame(read(text), nothing, text)
  }
})

t.test('keeps each identifier once', async (t) => {
  const identifiers = read('host=n1&host=n1&ipv4=n1&host=n2')
  t.strictSame([identifiers.host, identifiers.ipv4], [['n1', 'n2'], ['n1']])
  t.strictSame([...hostsOf(identifiers)], ['n1', 'n2'], 'whatever kind it is')
  t.equal(countIdentifiers(identifiers), 3)
})

t.test('unescapes as a form does', async (t) => {
  t.strictSame(read('host=a%2Eb&host=c+d&host=e=f&%68ost=g').host, ['a.b', 'c d', 'e=f', 'g'])
})

t.test('takes for a default route what Go takes for true, and only the first one', async (t) => {
  for (const yes of ['1', 't', 'T', 'TRUE', 'true', 'True', 'true&default-route=false', '%74']) {
    t.equal(read(`default-route=${yes}`).defaultRoute, true, yes)
  }
  for (const no of ['0', 'f', 'false', 'False', 'tRUE', 'yes', '', ' true', 'false&default-route=true']) {
    t.equal(read(`default-route=${no}`).defaultRoute, false, no)
  }
})

t.test('no strategy looks at a range of addresses', async (t) => {
  const identifiers = read('cidr=10.0.0.0/8')
  t.equal(hostsOf(identifiers).size, 0)
  t.equal(countIdentifiers(identifiers), 1)
})

t.test('counts identifiers of every kind', async (t) => {
  t.equal(countIdentifiers(read('host=a&ipv4=b&ipv4=c&ipv6=d&cidr=e')), 5)
})

t.test('reads as many parameters as Go does, and not one more', async (t) => {
  const hosts = Array.from({ length: 10_000 }, (_, index) => `host=n${index}`)
  t.equal(read(hosts.join('&')).host.length, 10_000)
  t.strictSame(readIdentifiers([...hosts, ''].join('&')), { problem: 'number of URL query parameters exceeded limit' })
})
