import t from 'tap'
import {
  helloReader,
  MAX_HELLO_BYTES,
  MAX_HELLO_WIRE_BYTES,
  type Sniff,
} from '../../../src/sni-router/core/hello-reader.ts'
import { processorMs } from '../../platform/processor-time.ts'
import {
  alpn,
  extension,
  handshake,
  helloBody,
  helloRecords,
  nodeHello,
  records,
  serverName,
  unwrapped,
  vector,
} from '../hellos.ts'

const read = (...pieces: readonly Buffer[]): Sniff => {
  const next = helloReader()
  let answer: Sniff = { kind: 'more' }
  for (const piece of pieces) {
    if (answer.kind !== 'more') break
    answer = next(piece)
  }
  return answer
}
const hello = (name: string | undefined, ...protocols: string[]): Sniff => ({
  kind: 'hello',
  hello: { name, alpn: protocols },
})

const real = await nodeHello({ servername: 'EU-1.Hub.example', ALPNProtocols: ['h2', 'culvert-lane/1'] })
const expected = hello('eu-1.hub.example', 'h2', 'culvert-lane/1')

t.test('reads name and protocols of a real client, with its post-quantum key share', async (t) => {
  t.ok(real.length > 1_200, `${real.length} bytes`)
  t.strictSame(read(real), expected)
  t.strictSame(read(await nodeHello({ servername: 'a.b', maxVersion: 'TLSv1.2' })), hello('a.b'))
})

t.test('reads it wherever the network cuts it, and asks for more until its last byte', async (t) => {
  for (let cut = 0; cut < real.length; cut++) {
    if (read(real.subarray(0, cut)).kind !== 'more') t.fail(`answered after ${cut} bytes`)
    const whole = read(real.subarray(0, cut), real.subarray(cut))
    if (whole.kind !== 'hello' || whole.hello.name !== 'eu-1.hub.example') t.fail(`cut at ${cut}`)
  }
  t.strictSame(read(...Array.from(real, (byte) => Buffer.from([byte]))), expected, 'byte by byte')
})

t.test('reads it however it is cut into records, also in the middle of its header', async (t) => {
  const message = unwrapped(real)
  for (const each of [1, 2, 3, 4, 5, 100, 1_000])
    t.strictSame(read(records(message, each)), expected, `${each} bytes each`)
})

t.test('reads what comes behind the ClientHello no more', async (t) => {
  t.strictSame(read(Buffer.concat([real, Buffer.from('early data')])), expected)
})

t.test('reads a hello of exactly the limit and refuses one that is a byte longer, from its header alone', async (t) => {
  const filler = (bytes: number) => Buffer.concat([serverName('a.example'), extension(21, Buffer.alloc(bytes))])
  const overhead = helloBody({ extensions: [filler(0)] }).length
  const most = records(
    handshake(
      helloBody({ extensions: [filler(MAX_HELLO_BYTES - overhead - 2_000), extension(22, Buffer.alloc(1_996))] }),
    ),
  )
  t.strictSame(read(most), hello('a.example'))
  const header = Buffer.from([22, 3, 1, 0, 4, 1, 0, 0x40, 1])
  t.match(read(header), { kind: 'refused', fault: 'too-large', why: /16385 bytes/, alert: 47 })
})

t.test('gives up a hello that comes in too many records', async (t) => {
  const bytes = helloRecords({ extensions: [serverName('a.example'), extension(21, Buffer.alloc(16_000))] }, 1)
  t.ok(bytes.length > MAX_HELLO_WIRE_BYTES)
  t.match(read(bytes), { kind: 'refused', fault: 'too-large', alert: 50 })
  t.equal(read(bytes.subarray(0, MAX_HELLO_WIRE_BYTES)).kind, 'more', 'not before the limit')
  t.equal(read(bytes.subarray(0, MAX_HELLO_WIRE_BYTES + 6)).kind, 'refused', 'and not later')
})

t.test('takes time in proportion to the bytes, whatever the size of records and reads', async (t) => {
  const tookMs = (bytes: number): number => {
    const wire = helloRecords({ extensions: [extension(21, Buffer.alloc(bytes))] }, 1)
    return processorMs(() => {
      for (let round = 0; round < 20; round++) {
        const next = helloReader()
        for (let at = 0; at < wire.length; at++) if (next(wire.subarray(at, at + 1)).kind !== 'more') break
      }
    })
  }
  tookMs(500) // to be compiled
  const least = (bytes: number): number => Math.min(...Array.from({ length: 3 }, () => tookMs(bytes)))
  const [small, large] = [least(500), least(5_000)]
  t.ok(large < 40 * small, `ten times the bytes took ${(large / small).toFixed(1)} times as long`)
})

t.test('passes over what it does not know: GREASE, and the hello inside an Encrypted Client Hello', async (t) => {
  const extensions = [
    extension(0x0a0a, Buffer.alloc(0)),
    serverName('public.example'),
    extension(0xfe0d, Buffer.alloc(300, 9)), // ECH, outer
    alpn('\x0a\x0a', 'h2'),
    extension(0xfafa, Buffer.from([0])),
  ]
  t.strictSame(read(helloRecords({ extensions })), hello('public.example', '\x0a\x0a', 'h2'))
})

t.test('reads a hello that names no server', async (t) => {
  t.strictSame(read(helloRecords({ extensions: undefined })), hello(undefined))
  t.strictSame(read(helloRecords({ extensions: [] })), hello(undefined))
  t.strictSame(read(await nodeHello({})), hello(undefined))
})

t.test('reads as many protocols and extensions as it may have', async (t) => {
  const protocols = Array<string>(64).fill('x')
  const others = Array.from({ length: 254 }, (_, type) => extension(1_000 + type, Buffer.alloc(0)))
  const extensions = [serverName('a.example'), alpn(...protocols), ...others]
  t.strictSame(read(helloRecords({ extensions })), hello('a.example', ...protocols))
})

t.test('says of what is no TLS what it is, from its first bytes', async (t) => {
  for (const [text, fault, alert] of [
    ['GET / HTTP/1.1\r\n', 'http', undefined],
    ['PROXY TCP4 1.2.3.4', 'http', undefined],
    ['\x80\x2e\x01\x03\x01', 'sslv2', 70],
    ['\x80\x2e\x02', 'not-tls', undefined],
    ['\0\0\0', 'not-tls', undefined],
    ['\x16\x02', 'not-tls', undefined],
    ['\x15\x03\x01\0\x02', 'not-tls', undefined],
    ['\r\n\r\n\0\r\nQUIT\n', 'not-tls', undefined],
  ] as const) {
    const answer = read(Buffer.from(text, 'latin1'))
    t.match(answer, { kind: 'refused', fault, why: /\w/ }, text)
    t.equal(answer.kind === 'refused' && answer.alert, alert, text)
  }
})

t.test('refuses records and hellos that are malformed, with the alert that says so', async (t) => {
  const good = [serverName('a.example')]
  const entry = Buffer.concat([Buffer.from([0]), vector(2, Buffer.from('a.example'))])
  const twoNames = extension(0, vector(2, entry, entry))
  const cases: readonly (readonly [string, Buffer, number])[] = [
    ['an empty record', Buffer.from([22, 3, 1, 0, 0]), 10],
    ['a record over 2^14 bytes', Buffer.from([22, 3, 1, 0x40, 1]), 22],
    ['a ServerHello', records(handshake(helloBody({ extensions: good }), 2)), 10],
    ['a version that is none', helloRecords({ version: 0x0203, extensions: good }), 70],
    ['a session id of 33 bytes', helloRecords({ session: Buffer.alloc(33), extensions: good }), 50],
    ['no cipher suites', helloRecords({ ciphers: Buffer.alloc(0), extensions: good }), 50],
    ['half a cipher suite', helloRecords({ ciphers: Buffer.alloc(3), extensions: good }), 50],
    ['no compression method', helloRecords({ compressions: Buffer.alloc(0), extensions: good }), 50],
    ['bytes behind the extensions', helloRecords({ extensions: good, behind: Buffer.from([0]) }), 50],
    ['an extension that is cut', helloRecords({ extensions: [Buffer.from([0, 0, 0, 9, 1])] }), 50],
    ['the name twice', helloRecords({ extensions: [...good, ...good] }), 47],
    ['a name of another type', helloRecords({ extensions: [serverName('a.example', 1)] }), 50],
    ['two names', helloRecords({ extensions: [twoNames] }), 50],
    ['an empty list of names', helloRecords({ extensions: [extension(0, Buffer.from([0, 0]))] }), 50],
    ['an empty name', helloRecords({ extensions: [serverName('')] }), 47],
    ['a name with a zero', helloRecords({ extensions: [serverName('a.example\0.evil')] }), 47],
    ['a name with a blank', helloRecords({ extensions: [serverName('a b')] }), 47],
    ['a name of 300 bytes', helloRecords({ extensions: [serverName('a.'.repeat(150))] }), 47],
    ['no protocols', helloRecords({ extensions: [extension(16, Buffer.from([0, 0]))] }), 50],
    ['an empty protocol', helloRecords({ extensions: [alpn('')] }), 50],
    ['65 protocols', helloRecords({ extensions: [...good, alpn(...Array<string>(65).fill('x'))] }), 50],
    [
      '257 extensions',
      helloRecords({ extensions: Array.from({ length: 257 }, (_, type) => extension(1_000 + type, Buffer.alloc(0))) }),
      50,
    ],
    ['a hello of no bytes', records(handshake(Buffer.alloc(0))), 50],
  ]
  for (const [what, bytes, alert] of cases) t.match(read(bytes), { kind: 'refused', fault: 'malformed', alert }, what)
})

t.test('refuses a hello that is cut at any of its own bytes, and never throws', async (t) => {
  const body = helloBody({ extensions: [serverName('a.example'), alpn('h2')] })
  const whole = body.length - serverName('a.example').length - alpn('h2').length - 2
  for (let length = 0; length < body.length; length++) {
    const answer = read(records(handshake(body.subarray(0, length))))
    if (length === whole) t.strictSame(answer, hello(undefined), 'ends before the extensions')
    else if (answer.kind !== 'refused') t.fail(`${length} bytes: ${answer.kind}`)
  }
})

t.test('takes a name with a dot at its end, and an underscore, in lower case', async (t) => {
  t.strictSame(read(helloRecords({ extensions: [serverName('A_1.Example.')] })), hello('a_1.example'))
})
