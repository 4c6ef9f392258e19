import t from 'tap'
import { type HeadFault, readConnectHead } from '../../../src/proxy-server/core/connect-head.ts'

const LIMIT = 16_384
const read = (text: string, limitBytes = LIMIT) => readConnectHead(Buffer.from(text, 'latin1'), limitBytes)

// What kube-apiserver writes, and what curl writes.
const apiserverHead = 'CONNECT 10.0.0.1:10250 HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n'
const curlHead =
  'CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\nUser-Agent: curl/8.0\r\nProxy-Connection: Keep-Alive\r\n\r\n'

t.test('reads the head that kube-apiserver sends, and routes by its target', async (t) => {
  t.strictSame(read(apiserverHead), {
    kind: 'connect',
    address: '10.0.0.1:10250',
    host: '10.0.0.1',
    port: 10250,
    version: '1.1',
    headBytes: apiserverHead.length,
  })
})

t.test('takes IPv6 in brackets, names, HTTP/1.0, no Host, and any other fields', async (t) => {
  t.match(read(curlHead), { kind: 'connect', address: '[2001:db8::1]:443', host: '2001:db8::1', port: 443 })
  t.match(read('CONNECT [::1]:80 HTTP/1.0\r\n\r\n'), { kind: 'connect', host: '::1', port: 80, version: '1.0' })
  t.match(read('CONNECT web.default.svc.:1 HTTP/1.1\r\n\r\n'), { host: 'web.default.svc.', port: 1 })
  t.match(read('CONNECT my_Host-1~a:65535 HTTP/1.1\r\n\r\n'), { host: 'my_Host-1~a', port: 65535 })
  t.match(read('CONNECT [::ffff:10.0.0.1]:80 HTTP/1.1\r\n\r\n'), { host: '::ffff:10.0.0.1' })
  const odd = 'CONNECT a:80 HTTP/1.1\r\nA:\r\nB:\t x \r\nC: caf\xe9\r\nContent-Length: 0\r\n!#$: y\r\n\r\n'
  t.match(read(odd), { kind: 'connect', headBytes: odd.length })
})

t.test('says where early data starts, whatever it is', async (t) => {
  for (const early of ['\0\r\n\r\n', 'GET / HTTP/1.1\r\n\r\n', '\x16\x03\x01']) {
    t.match(read(apiserverHead + early), { kind: 'connect', headBytes: apiserverHead.length })
  }
})

t.test('asks for more at every prefix of a good head', async (t) => {
  for (const head of [apiserverHead, curlHead]) {
    for (let cut = 0; cut < head.length; cut++) t.strictSame(read(head.slice(0, cut)), { kind: 'more' }, `cut ${cut}`)
  }
})

const bad: readonly (readonly [name: string, head: string, status: number, why: HeadFault])[] = [
  ['another method', 'GET http://a/ HTTP/1.1\r\n', 405, 'method'],
  ['a method in lower case', 'connect a:80 HTTP/1.1\r\n', 405, 'method'],
  ['the preface of HTTP/2', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400, 'version'],
  ['HTTP/2.0 in words', 'CONNECT a:80 HTTP/2.0\r\n', 505, 'version'],
  ['HTTP/0.9', 'CONNECT a:80 HTTP/0.9\r\n', 505, 'version'],
  ['no version', 'CONNECT a:80\r\n', 400, 'malformed'],
  ['two spaces', 'CONNECT  a:80 HTTP/1.1\r\n', 400, 'malformed'],
  ['a space at the end', 'CONNECT a:80 HTTP/1.1 \r\n', 400, 'malformed'],
  ['a tab for a space', 'CONNECT\ta:80 HTTP/1.1\r\n', 400, 'malformed'],
  ['an empty first line', '\r\n', 400, 'malformed'],
  ['a version that is no digit', 'CONNECT a:80 HTTP/1.x\r\n', 400, 'malformed'],
  ['a target that is not ASCII', 'CONNECT caf\xe9:80 HTTP/1.1\r\n', 400, 'malformed'],
  ['an absolute-form target', 'CONNECT http://10.0.0.1:80/ HTTP/1.1\r\n', 400, 'target'],
  ['an origin-form target', 'CONNECT / HTTP/1.1\r\n', 400, 'target'],
  ['an authority with a path', 'CONNECT a:80/ HTTP/1.1\r\n', 400, 'target'],
  ['user information', 'CONNECT me@a:80 HTTP/1.1\r\n', 400, 'target'],
  ['an asterisk', 'CONNECT *:80 HTTP/1.1\r\n', 400, 'target'],
  ['no host', 'CONNECT :80 HTTP/1.1\r\n', 400, 'target'],
  ['a name of 255 characters', `CONNECT ${'a'.repeat(255)}:80 HTTP/1.1\r\n`, 400, 'target'],
  ['percent-encoding', 'CONNECT a%2eb:80 HTTP/1.1\r\n', 400, 'target'],
  ['IPv6 without brackets', 'CONNECT ::1:80 HTTP/1.1\r\n', 400, 'target'],
  ['an IPv6 zone', 'CONNECT [fe80::1%25eth0]:80 HTTP/1.1\r\n', 400, 'target'],
  ['a name in brackets', 'CONNECT [web]:80 HTTP/1.1\r\n', 400, 'target'],
  ['IPv4 in brackets', 'CONNECT [10.0.0.1]:80 HTTP/1.1\r\n', 400, 'target'],
  ['an address of a later version', 'CONNECT [v1.fe80::a]:80 HTTP/1.1\r\n', 400, 'target'],
  ['an opening bracket alone', 'CONNECT [::1:80 HTTP/1.1\r\n', 400, 'target'],
  ['a closing bracket alone', 'CONNECT ::1]:80 HTTP/1.1\r\n', 400, 'target'],
  ['no port', 'CONNECT 10.0.0.1 HTTP/1.1\r\n', 502, 'port'],
  ['no port after IPv6', 'CONNECT [::1] HTTP/1.1\r\n', 502, 'port'],
  ['an asterisk alone', 'CONNECT * HTTP/1.1\r\n', 502, 'port'],
  ['an empty port', 'CONNECT a: HTTP/1.1\r\n', 400, 'port'],
  ['port 0', 'CONNECT a:0 HTTP/1.1\r\n', 400, 'port'],
  ['port 65536', 'CONNECT a:65536 HTTP/1.1\r\n', 502, 'port'],
  ['port 70000', 'CONNECT a:70000 HTTP/1.1\r\n', 502, 'port'],
  ['a port with a zero in front', 'CONNECT a:080 HTTP/1.1\r\n', 400, 'port'],
  ['a signed port', 'CONNECT a:+80 HTTP/1.1\r\n', 400, 'port'],
  ['a port by name', 'CONNECT a:http HTTP/1.1\r\n', 400, 'port'],
  ['a bare LF', 'CONNECT a:80 HTTP/1.1\n', 400, 'line-end'],
  ['a bare LF in the fields', 'CONNECT a:80 HTTP/1.1\r\nA: b\n', 400, 'line-end'],
  ['a bare CR', 'CONNECT a:80 HTTP/1.1\r\nA: b\rC', 400, 'line-end'],
  ['NUL', 'CONNECT a:80 HTTP/1.1\r\nA: b\0', 400, 'control-byte'],
  ['DEL', 'CONNECT a:80 HTTP/1.1\r\nA: b\x7f', 400, 'control-byte'],
  ['a TLS handshake', '\x16\x03\x01\x02\x00', 400, 'control-byte'],
  ['a folded line', 'CONNECT a:80 HTTP/1.1\r\nA: b\r\n c\r\n', 400, 'folded-line'],
  ['a folded line before any field', 'CONNECT a:80 HTTP/1.1\r\n\tc: d\r\n', 400, 'folded-line'],
  ['a field without colon', 'CONNECT a:80 HTTP/1.1\r\nA\r\n', 400, 'malformed'],
  ['a field without name', 'CONNECT a:80 HTTP/1.1\r\n: b\r\n', 400, 'malformed'],
  ['a space before the colon', 'CONNECT a:80 HTTP/1.1\r\nContent-Length : 0\r\n', 400, 'malformed'],
  ['Transfer-Encoding', 'CONNECT a:80 HTTP/1.1\r\ntransfer-ENCODING: identity\r\n', 400, 'body'],
  ['a body', 'CONNECT a:80 HTTP/1.1\r\nContent-Length: 5\r\n', 400, 'body'],
  ['an empty Content-Length', 'CONNECT a:80 HTTP/1.1\r\nContent-Length:\r\n', 400, 'body'],
  ['a list of lengths', 'CONNECT a:80 HTTP/1.1\r\nContent-Length: 0, 0\r\n', 400, 'body'],
  ['two lengths', 'CONNECT a:80 HTTP/1.1\r\nContent-Length: 0\r\nContent-Length: 0\r\n', 400, 'body'],
  ['a length behind a wide space', 'CONNECT a:80 HTTP/1.1\r\nContent-Length: \xa00\r\n', 400, 'body'],
  ['two Hosts', 'CONNECT a:80 HTTP/1.1\r\nHost: a\r\nhost: a\r\n', 400, 'repeated-host'],
]

t.test('refuses, as soon as the offending line is there and whatever follows', async (t) => {
  for (const [name, head, status, why] of bad) {
    const first = read(head)
    t.match(first, { kind: 'refused', status, why, detail: /^[ -~]{10,120}$/ }, name)
    t.strictSame(read(`${head}\r\n\r\n\0\n: x`), first, `${name}, with more behind it`)
  }
})

t.test('names the port that it was given, or says that there is none', async (t) => {
  t.match(read('CONNECT [::1] HTTP/1.1\r\n'), {
    status: 502,
    detail: 'dial tcp: address [::1]: missing port in address',
  })
  t.match(read('CONNECT a:70000 HTTP/1.1\r\n'), { status: 502, detail: 'dial tcp: address 70000: invalid port' })
})

t.test('takes a head of exactly the limit, and refuses one byte more as soon as it must be longer', async (t) => {
  const limitBytes = apiserverHead.length
  t.match(read(apiserverHead, limitBytes), { kind: 'connect' })
  t.match(read(`${apiserverHead}early data`, limitBytes), { kind: 'connect' })
  t.match(read(apiserverHead.slice(0, -1), limitBytes), { kind: 'more' })
  t.match(read(apiserverHead.slice(0, -1), limitBytes - 1), { kind: 'refused', status: 431, why: 'too-large' })
  const detail = `the request head is over the limit of ${limitBytes - 1} bytes`
  t.match(read(apiserverHead, limitBytes - 1), { kind: 'refused', status: 431, detail })
  t.match(read('a'.repeat(LIMIT)), { kind: 'refused', status: 431 }, 'also without any line end')
})

t.test('takes 100 fields and refuses 101', async (t) => {
  const withFields = (count: number) => `CONNECT a:80 HTTP/1.1\r\n${'A: b\r\n'.repeat(count)}\r\n`
  t.match(read(withFields(100)), { kind: 'connect' })
  t.match(read(withFields(101)), { kind: 'refused', status: 431, why: 'too-many-fields' })
})
