/**
 * Whatever the bytes: no exception, and an answer that does not depend on how the network cut them; Node's own TLS, given the same
 * bytes, hears the same name. The corpus is hellos of real clients, and what once was a finding. A failing round prints its seed;
 * CULVERT_FUZZ_SEED and CULVERT_FUZZ_ROUNDS replay or prolong.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { duplexPair } from 'node:stream'
import { TLSSocket } from 'node:tls'
import t from 'tap'
import { helloReader, type Sniff } from '../../src/sni-router/core/hello-reader.ts'
import { createRandom, type Random } from '../platform/random.ts'
import { alpn, extension, helloRecords, records, serverName, unwrapped } from '../sni-router/hellos.ts'

const ROUNDS = Number(process.env.CULVERT_FUZZ_ROUNDS ?? 4_000)
const SEED = Number(process.env.CULVERT_FUZZ_SEED ?? 1)
const FOLDER = join(import.meta.dirname, 'corpus/client-hello')

const corpus = readdirSync(FOLDER).map((name) => Buffer.from(readFileSync(join(FOLDER, name), 'latin1').trim(), 'hex'))
const pieces = [
  ...[serverName('x.example'), alpn('h2', 'http/1.1'), extension(0x1a1a, Buffer.alloc(3)), Buffer.alloc(200, 0xff)],
  ...[
    Buffer.from([22, 3, 1]),
    Buffer.from([22, 3, 3, 0, 1, 1]),
    Buffer.from([0, 0]),
    Buffer.from('GET / HTTP/1.1\r\n'),
  ],
]

/** Bytes changed, put in and left out; or put into records anew. */
function mutated(random: Random): Buffer {
  let bytes = random.chance(20)
    ? helloRecords({ extensions: [serverName('a.example'), alpn('h2')] })
    : random.pick(corpus)
  if (random.chance(30)) bytes = records(unwrapped(bytes), 1 + random.below(random.pick([3, 50, 2_000])))
  for (let count = random.below(4); count > 0; count--) {
    const at = random.below(random.chance(50) ? bytes.length + 1 : Math.min(bytes.length, 300))
    const dropped = random.below(3) === 0 ? random.below(12) : 1
    const piece = random.chance(25) ? random.pick(pieces) : Buffer.from([random.below(256)])
    bytes = Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at + dropped)])
  }
  return bytes
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

/** The name that Node's TLS server is told of; undefined: it refused before, or there is none. */
function nameForNode(bytes: Buffer): Promise<string | undefined> {
  const [client, accepted] = duplexPair()
  const { promise, resolve } = Promise.withResolvers<string | undefined>()
  const server = new TLSSocket(accepted, {
    isServer: true,
    SNICallback(name, done) {
      resolve(name)
      done(new Error('heard'))
    },
  })
  for (const it of [server, client]) it.on('error', () => resolve(undefined))
  server.on('close', () => resolve(undefined))
  client.on('data', () => resolve(undefined)) // it answered, and asked nobody for a name
  server.resume().on('end', () => resolve(undefined))
  client.write(bytes)
  setImmediate(() => setImmediate(() => client.end())) // an end that comes together with the bytes is looked at first
  return promise.finally(() => {
    server.destroy()
    client.destroy()
  })
}

t.test('never throws, and answers alike however the bytes are cut', async (t) => {
  const kinds: Record<Sniff['kind'], number> = { hello: 0, more: 0, refused: 0 }
  for (let seed = SEED; seed < SEED + ROUNDS; seed++) {
    const random = createRandom(seed)
    const bytes = mutated(random)
    const bytewise = read(bytes, () => 1)
    const most = random.pick([2, 7, 100, 3_000])
    for (const other of [read(bytes, () => bytes.length), read(bytes, () => 1 + random.below(most))]) {
      if (JSON.stringify(other.answer) !== JSON.stringify(bytewise.answer) || other.atMost < bytewise.atMost) {
        t.fail(`seed ${seed}`, { bytewise, other })
      }
    }
    kinds[bytewise.answer.kind]++
  }
  t.ok(Math.min(...Object.values(kinds)) > ROUNDS / 50, JSON.stringify(kinds))
})

t.test("hears the name that Node's own TLS hears", async (t) => {
  let heard = 0
  for (let seed = SEED; seed < SEED + ROUNDS / 4; seed++) {
    const bytes = mutated(createRandom(seed))
    const { answer } = read(bytes, () => bytes.length)
    const theirs = await nameForNode(bytes)
    if (theirs === undefined || theirs === '') continue
    heard++
    // What Node takes we may refuse (names that are none of DNS, say), but never read as another.
    const ours = answer.kind === 'hello' ? answer.hello.name : undefined
    if (answer.kind === 'hello' && ours !== theirs.toLowerCase().replace(/\.$/, ''))
      t.fail(`seed ${seed}`, { ours, theirs })
  }
  t.ok(heard > ROUNDS / 40, `${heard} names`)
})
