/**
 * The ClientHello at the front door: one answer however the network cuts the bytes, names in their one form, and the same name and
 * protocols that Node's own TLS hears of the same bytes.
 */
import { duplexPair } from 'node:stream'
import { createSecureContext, TLSSocket } from 'node:tls'
import { crc32 } from 'node:zlib'
import { createAuthority } from '../../../src/pki/authority.ts'
import { issueLeaf } from '../../../src/pki/leaf.ts'
import { helloReader, MAX_HELLO_WIRE_BYTES, type Sniff } from '../../../src/sni-router/core/hello-reader.ts'
import { hostName } from '../../../src/sni-router/core/host-name.ts'
import { createRandom, type Random } from '../../platform/random.ts'
import { alpn, extension, helloRecords, records, serverName, unwrapped } from '../../sni-router/hellos.ts'
import { latin1, mutated } from '../mutate.ts'
import { hold, type Target } from '../target.ts'

const pieces = [
  ...[serverName('x.example'), alpn('h2', 'http/1.1'), extension(0x1a1a, Buffer.alloc(3)), Buffer.alloc(200, 0xff)],
  ...[Buffer.from([22, 3, 1]), Buffer.from([22, 3, 3, 0, 1, 1]), Buffer.from([0, 0]), Buffer.from([0x80, 0x2e, 1, 3])],
  ...latin1('GET / HTTP/1.1\r\n', 'A.', '.', '_', 'xn--'),
]
/** Node's TLS takes as long as a hundred rounds without it. */
const PERCENT_BESIDE_NODE = 5
const authority = await createAuthority({ trustDomain: 'hub.example' })
const leaf = await issueLeaf(authority, { identity: { role: 'server', id: 'a' } })
const secureContext = createSecureContext({ cert: leaf.certificatePem, key: leaf.keyPem })

export const clientHello: Target = {
  name: 'client-hello',
  ending: 'hex',
  covers: ['hello-reader', 'client-hello', 'host-name', 'growing-bytes'].map(
    (file) => `src/sni-router/core/${file}.ts`,
  ),
  maxMs: 50,
  kinds: ['hello', 'more', 'refused'],

  make(random, corpus) {
    const picked = random.chance(20) ? made(random) : random.pick(corpus)
    const begun = random.chance(10) ? misnamed(random, picked) : picked
    const anew = random.chance(30) ? inRecords(random, begun) : begun
    return mutated(random, anew, corpus, pieces)
  },

  async check(bytes) {
    const random = createRandom(crc32(bytes))
    const bytewise = read(bytes, () => 1)
    const most = random.pick([2, 7, 100, 3_000])
    for (const other of [read(bytes, () => bytes.length), read(bytes, () => 1 + random.below(most))]) {
      const isSame = JSON.stringify(other.answer) === JSON.stringify(bytewise.answer) && other.atMost >= bytewise.atMost
      hold(isSame, () => `by cuts: ${JSON.stringify({ bytewise, other })}`)
    }
    const { answer, atMost } = bytewise
    hold(
      answer.kind !== 'more' || bytes.length <= MAX_HELLO_WIRE_BYTES + 5,
      () => 'more is awaited than a hello may have',
    )
    if (answer.kind === 'hello') {
      const { name, alpn } = answer.hello
      hold(name === undefined || hostName(name) === name, () => `a name in another form: ${name}`)
      hold(
        alpn.every(({ length }) => length > 0 && length < 256),
        () => `protocols: ${alpn}`,
      )
    }
    if (random.chance(PERCENT_BESIDE_NODE))
      await compare(bytes.subarray(0, answer.kind === 'hello' ? atMost : bytes.length), answer)
    return answer.kind
  },
}

function made(random: Random): Buffer {
  const extensions = [
    serverName(random.pick(['a.example', 'A.Example.', 'x'])),
    alpn('h2'),
    extension(0x2a2a, Buffer.alloc(1)),
  ]
  const version = random.pick([0x0303, 0x0301, 0x0304, 0x0200])
  return helloRecords({ version, extensions: random.chance(10) ? undefined : extensions.slice(random.below(3)) })
}

/** Its name stands where none is looked for. */
function misnamed(random: Random, hello: Buffer): Buffer {
  const at = hello.indexOf(serverName('eu-1.hub.example'))
  if (at < 0) return hello
  const copy = Buffer.from(hello)
  copy.writeUInt16BE(random.pick([0x5a5a, 0xff00]), at) // which OpenSSL does not know either
  return copy
}

/** Cut into other records. What is not in records stays as it is. */
function inRecords(random: Random, bytes: Buffer): Buffer {
  try {
    return records(unwrapped(bytes), 1 + random.below(random.pick([3, 50, 2_000])))
  } catch {
    return bytes
  }
}

/** As the network may deliver it. @returns the answer, and how many bytes it took */
function read(bytes: Buffer, nextLength: () => number): { answer: Sniff; atMost: number } {
  const next = helloReader()
  for (let at = 0; at < bytes.length; ) {
    const end = Math.min(bytes.length, at + nextLength())
    const answer = next(bytes.subarray(at, end))
    if (answer.kind !== 'more') return { answer, atMost: end }
    at = end
  }
  return { answer: { kind: 'more' }, atMost: bytes.length }
}

/** What Node takes we may refuse (names that are none of DNS, say), but never read as something else, nor what it does not hear. */
async function compare(bytes: Buffer, answer: Sniff): Promise<void> {
  const { name, protocols } = await heardByNode(bytes)
  if (answer.kind !== 'hello') return
  const { hello } = answer
  hold(
    name === undefined || name === '' || hello.name === name.toLowerCase().replace(/\.$/, ''),
    () => `name: ${hello.name}, Node: ${name}`,
  )
  hold(protocols === undefined || hello.name === undefined || Boolean(name), () => `name: ${hello.name}, Node: none`)
  const asNode = Buffer.from(hello.alpn.join(), 'latin1').toString('ascii') // without the eighth bit
  hold(protocols === undefined || protocols.join() === asNode, () => `protocols: ${asNode}, Node: ${protocols}`)
}

type Heard = { readonly name?: string; readonly protocols?: readonly string[] }

/** What Node's TLS server is told of; nothing: it refused before, or there is none. */
export function heardByNode(bytes: Buffer): Promise<Heard> {
  const [client, accepted] = duplexPair()
  const { promise, resolve } = Promise.withResolvers<Heard>()
  let name: string | undefined
  const done = (protocols?: readonly string[]): void =>
    resolve({ ...(name !== undefined && { name }), ...(protocols && { protocols }) })
  const server = new TLSSocket(accepted, {
    isServer: true,
    secureContext,
    SNICallback(asked, answer) {
      name = asked
      answer(null)
    },
    ALPNCallback({ servername, protocols }) {
      name = servername || name // it is asked for a context by name before, but not with a hello that needs another key share
      done(protocols)
      return undefined
    },
  })
  for (const it of [server, client]) it.on('error', () => done())
  server.on('close', () => done())
  client.on('data', () => done()) // it answered, and asked nobody for protocols
  server.resume().on('end', () => done())
  client.write(bytes)
  setImmediate(() => setImmediate(() => client.end())) // an end that comes together with the bytes is looked at first
  return promise.finally(() => {
    server.destroy()
    client.destroy()
  })
}
