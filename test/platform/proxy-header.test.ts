import t from 'tap'
import {
  MAX_PROXY_HEADER_BYTES,
  type ProxyHeader,
  readProxyHeader,
  V2_SIGNATURE,
} from '../../src/platform/proxy-header.ts'
import { proxyHeader } from '../../src/sni-router/core/proxy-header-out.ts'

const read = (text: string): ProxyHeader => readProxyHeader(Buffer.from(text, 'latin1'))
const v2 = (command: number, family: number, body: Buffer, length = body.length): Buffer =>
  Buffer.concat([V2_SIGNATURE, Buffer.from([command, family, length >> 8, length & 255]), body])
const four = { source: { ip: '192.0.2.1', port: 56_324 }, destination: { ip: '192.0.2.2', port: 443 } }
const six = { source: { ip: '2001:db8::1', port: 1 }, destination: { ip: '::1', port: 65_535 } }

t.test('reads version 1', async (t) => {
  const line = 'PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n'
  t.strictSame(read(`${line}\x16`), { kind: 'header', bytes: line.length, ends: four })
  t.match(read('PROXY TCP6 2001:db8::1 ::1 1 65535\r\n'), { kind: 'header', ends: six })
  t.strictSame(read('PROXY UNKNOWN\r\n'), { kind: 'header', bytes: 15, ends: undefined })
  t.match(read('PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n'), { kind: 'header', ends: undefined })
})

t.test('reads version 2, and passes over what follows the addresses', async (t) => {
  const body = Buffer.from([192, 0, 2, 1, 192, 0, 2, 2, 0xdc, 4, 1, 0xbb])
  t.strictSame(readProxyHeader(v2(0x21, 0x11, body)), { kind: 'header', bytes: 28, ends: four })
  const withMore = v2(0x21, 0x11, Buffer.concat([body, Buffer.alloc(40, 3)]))
  t.strictSame(readProxyHeader(Buffer.concat([withMore, Buffer.from('next')])), {
    kind: 'header',
    bytes: 68,
    ends: four,
  })
  for (const [what, bytes] of [
    ['the balancer for itself', v2(0x20, 0, Buffer.alloc(0))],
    ['the balancer for itself, with addresses', v2(0x20, 0x11, body)],
    ['a Unix socket', v2(0x21, 0x31, Buffer.alloc(216))],
    ['no family', v2(0x21, 0, Buffer.alloc(0))],
    ['datagrams', v2(0x21, 0x12, body)],
    ['datagrams of IPv6', v2(0x21, 0x22, Buffer.alloc(36))],
    ['datagrams of a Unix socket', v2(0x21, 0x32, Buffer.alloc(216))],
    ['the balancer for itself, of an unknown family', v2(0x20, 0x41, Buffer.alloc(3))],
  ] as const) {
    t.match(readProxyHeader(bytes), { kind: 'header', bytes: bytes.length, ends: undefined }, what)
  }
})

t.test('asks for more until the last byte, and reads the same then', async (t) => {
  for (const version of ['v1', 'v2'] as const) {
    for (const ends of [four, six]) {
      const bytes = proxyHeader(version, ends)
      for (let cut = 0; cut < bytes.length; cut++) {
        if (readProxyHeader(bytes.subarray(0, cut)).kind !== 'more') t.fail(`${version} cut at ${cut}`)
      }
      t.strictSame(readProxyHeader(bytes), { kind: 'header', bytes: bytes.length, ends })
    }
  }
})

t.test('refuses what is none, or has no two addresses and ports', async (t) => {
  for (const text of [
    ...['\x16\x03\x01', 'GET / HTTP/1.1\r\n', 'proxy TCP4', 'PROXY\r\n', 'PROXY TCP5 1.2.3.4 1.2.3.4 1 1\r\n'],
    ...['PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n', 'PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n', 'PROXY TCP4 ::1 ::1 1 1\r\n'],
    ...['PROXY TCP6 1.2.3.4 ::1 1 1\r\n', 'PROXY TCP4 1.2.3.4 1.2.3.4 01 1\r\n', 'PROXY TCP4  1.2.3.4 1.2.3.4 1 1\r\n'],
    ...[
      'PROXY TCP4 01.2.3.4 1.2.3.4 1 1\r\n',
      'PROXY TCP4 1.2.3.4 1.2.3.4 1 1 \r\n',
      'PROXY TCP4 1.2.3.4 1.2.3.4 -1 1\r\n',
    ],
  ]) {
    t.match(read(text), { kind: 'refused', why: /\w/ }, text)
  }
  for (const [what, bytes] of [
    ['version 1 in the form of 2', v2(0x11, 0x11, Buffer.alloc(12))],
    ['an unknown command', v2(0x22, 0x11, Buffer.alloc(12))],
    ['too few bytes for two addresses', v2(0x21, 0x11, Buffer.alloc(11))],
    ['too few bytes for two of IPv6', v2(0x21, 0x21, Buffer.alloc(35))],
    ...[0x12, 0x22, 0x31, 0x32].map(
      (family, at) =>
        ['too few bytes for two others', v2(0x21, family, Buffer.alloc([11, 35, 215, 215][at]!))] as const,
    ),
    ...[0x01, 0x10, 0x13, 0x41, 0xff].map(
      (family) => ['an unknown family or transport', v2(0x21, family, Buffer.alloc(300))] as const,
    ),
  ] as const) {
    t.match(readProxyHeader(bytes), { kind: 'refused' }, what)
  }
})

t.test('is bounded: by 107 bytes in version 1, and by the length in its head in version 2', async (t) => {
  t.equal(read(`PROXY UNKNOWN ${'x'.repeat(92)}`).kind, 'more')
  t.match(read(`PROXY UNKNOWN ${'x'.repeat(93)}`), { kind: 'refused', why: /does not end/ })
  t.equal(read(`PROXY UNKNOWN ${'x'.repeat(91)}\r\n`).kind, 'header')
  t.equal(readProxyHeader(v2(0x21, 0x11, Buffer.alloc(0), MAX_PROXY_HEADER_BYTES - 16)).kind, 'more')
  t.match(readProxyHeader(v2(0x21, 0x11, Buffer.alloc(0), MAX_PROXY_HEADER_BYTES - 15)), { why: /over 4096 bytes/ })
})

t.test('writes what the specification shows', async (t) => {
  t.equal(proxyHeader('v1', four).toString(), 'PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n')
  t.equal(proxyHeader('v2', four).toString('hex'), '0d0a0d0a000d0a515549540a2111000cc0000201c0000202dc0401bb')
  t.equal(proxyHeader('none', four).length, 0)
})

t.test('writes IPv4-mapped addresses as IPv4, and two families as IPv6', async (t) => {
  const mapped = { source: { ip: '::ffff:192.0.2.1', port: 56_324 }, destination: four.destination }
  t.strictSame(proxyHeader('v1', mapped), proxyHeader('v1', four))
  t.strictSame(proxyHeader('v2', mapped), proxyHeader('v2', four))
  const mixed = { source: six.source, destination: four.destination }
  t.equal(proxyHeader('v1', mixed).toString(), 'PROXY TCP6 2001:db8::1 ::ffff:c000:202 1 443\r\n')
  t.equal(proxyHeader('v2', mixed).subarray(12, 16).toString('hex'), '21210024')
})

t.test('says that it does not know where there is no address', async (t) => {
  const gone = { ...four, source: { ip: '', port: 0 } }
  for (const version of ['v1', 'v2'] as const) {
    t.match(readProxyHeader(proxyHeader(version, gone)), { kind: 'header', ends: undefined })
  }
})
