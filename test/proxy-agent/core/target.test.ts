import t from 'tap'
import { readTarget } from '../../../src/proxy-agent/core/target.ts'

const tcp = (address: string) => readTarget('tcp', address)
const refusal = (address: string): string => {
  const read = tcp(address)
  return read.kind === 'refused' ? read.text : `taken as ${JSON.stringify(read)}`
}

t.test('takes names and addresses, in one form each', async (t) => {
  t.strictSame(tcp('10.0.0.1:443'), { kind: 'address', host: '10.0.0.1', port: 443, family: 0 })
  t.strictSame(tcp('[2001:DB8::1]:80'), { kind: 'address', host: '2001:db8::1', port: 80, family: 0 })
  t.strictSame(tcp('[::ffff:10.0.0.1]:80'), { kind: 'address', host: '10.0.0.1', port: 80, family: 0 })
  t.strictSame(tcp('[::FFFF:a00:1]:80'), { kind: 'address', host: '10.0.0.1', port: 80, family: 0 })
  t.strictSame(tcp('Web.Default.svc:65535'), { kind: 'name', host: 'web.default.svc', port: 65535, family: 0 })
  t.strictSame(tcp('db.example.:1'), { kind: 'name', host: 'db.example.', port: 1, family: 0 })
  t.strictSame(tcp('10-0-0-1.ns.pod:1'), { kind: 'name', host: '10-0-0-1.ns.pod', port: 1, family: 0 })
  t.strictSame(tcp('127.0.0.1:1'), { kind: 'address', host: '127.0.0.1', port: 1, family: 0 })
})

t.test('takes an address of the family that was asked for, and no other', async (t) => {
  const address = { kind: 'address', port: 80 }
  t.match(readTarget('tcp4', '10.0.0.1:80'), { ...address, host: '10.0.0.1', family: 4 })
  t.match(readTarget('tcp6', '[2001:db8::1]:80'), { ...address, host: '2001:db8::1', family: 6 })
  t.match(readTarget('tcp4', '[::ffff:10.0.0.1]:80'), { ...address, host: '10.0.0.1', family: 4 })
  t.match(readTarget('tcp4', 'Web:80'), { kind: 'name', host: 'web', family: 4 })
  t.match(tcp('web:80'), { kind: 'name', host: 'web', family: 0 })
  const refused = (host: string): object => ({
    kind: 'refused',
    why: 'malformed',
    text: `dial tcp: address ${host}: no suitable address found`,
  })
  t.strictSame(readTarget('tcp6', '10.0.0.1:80'), refused('10.0.0.1'))
  t.strictSame(readTarget('tcp6', '[::ffff:10.0.0.1]:80'), refused('10.0.0.1'))
  t.strictSame(readTarget('tcp4', '[::1]:80'), refused('::1'))
})

t.test('refuses every protocol but tcp', async (t) => {
  for (const protocol of ['unix', 'udp', 'tcp5', 'TCP', '']) {
    t.strictSame(readTarget(protocol, '/run/secret:1'), {
      kind: 'refused',
      why: 'protocol',
      text: `dial ${protocol}: protocol not allowed by this agent, it dials tcp, tcp4 and tcp6 only`,
    })
  }
})

t.test('says like Go why an address is none', async (t) => {
  t.equal(refusal('127.0.0.1'), 'dial tcp: address 127.0.0.1: missing port in address')
  t.equal(refusal('[::1]'), 'dial tcp: address [::1]: missing port in address')
  t.equal(refusal(''), 'dial tcp: missing address')
  t.equal(refusal('::1:80'), 'dial tcp: address ::1:80: too many colons in address')
  t.equal(refusal('[::1'), "dial tcp: address [::1: missing ']' in address")
  t.equal(refusal('a[b]:80'), "dial tcp: address a[b]:80: unexpected '[' in address")
  t.equal(refusal(':80'), 'dial tcp: address :80: missing host')
  t.equal(refusal('[]:80'), 'dial tcp: address []:80: missing host')
  t.equal(refusal('[web]:80'), 'dial tcp: address [web]:80: not an IPv6 address')
  t.equal(refusal('[fe80::1%eth0]:80'), 'dial tcp: address [fe80::1%eth0]:80: not an IPv6 address')
  for (const port of ['0', '65536', '70000', '-1', '+1', '080', '']) {
    t.equal(refusal(`10.0.0.1:${port}`), `dial tcp: address ${port}: invalid port`)
  }
  for (const port of ['http', ' 1', '1e3', '0x50']) {
    t.equal(refusal(`10.0.0.1:${port}`), `dial tcp: lookup tcp/${port}: unknown port`)
  }
})

t.test('knows no host by a number in disguise, or by what no name can be', async (t) => {
  const numbers = [
    '0xa9fea9fe',
    '2852039166',
    '0251.0376.0251.0376',
    '169.254.43518',
    '1.2.3.4.',
    '0x',
    'a.0x7F',
    '256.1.1.1',
  ]
  for (const host of [...numbers, 'two words', 'a%41', 'a'.repeat(255)]) {
    t.equal(refusal(`${host}:80`), `dial tcp: lookup ${host}: no such host`)
  }
})

t.test('never throws, and shows little, of whatever bytes come as an address', async (t) => {
  for (const address of [
    '\0:\0',
    '\r\n:80',
    '\u{1f600}:80',
    ':'.repeat(1_000_000),
    '['.repeat(1_000_000),
    'a'.repeat(1e6),
  ]) {
    t.match(refusal(address), /^[ -~]{10,400}$/)
  }
})
