/**
 * Whatever the bytes: no exception, an answer that does not depend on how the network cut them, and a CONNECT only where
 * Node's own HTTP parser sees the same CONNECT with the same data behind it.
 * A failing round prints its seed; CULVERT_FUZZ_SEED and CULVERT_FUZZ_ROUNDS replay or prolong.
 */
import { createServer } from 'node:http'
import { duplexPair } from 'node:stream'
import t from 'tap'
import { type ConnectHead, readConnectHead } from '../../src/proxy-server/core/connect-head.ts'
import { createRandom, type Random } from '../platform/random.ts'

const LIMIT = 512
const ROUNDS = Number(process.env.CULVERT_FUZZ_ROUNDS ?? 3_000)
const SEED = Number(process.env.CULVERT_FUZZ_SEED ?? 1)

const head = Buffer.from('CONNECT [::1]:443 HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nX-A: b c\r\n\r\nearly')

const pieces = [
  ...['CONNECT ', 'GET ', 'PRI * HTTP/2.0', 'a:80', '[::1]:80', '10.0.0.1:0', 'http://a:80/', '[', ']', ':', '@'],
  ...[' HTTP/1.1', ' HTTP/1.0', ' HTTP/2.0', '\r\n', '\r\n', '\r\n\r\n', '\n', '\r', ' ', '\t', '\0', '\xff', '%41'],
  ...[
    'Host: a',
    'Content-Length: 0',
    'Content-Length: 7',
    'Transfer-Encoding: chunked',
    'X: y',
    ': z',
    'A'.repeat(200),
  ],
].map((text) => Buffer.from(text, 'latin1'))

function mutated(random: Random): Buffer {
  let bytes = random.below(4) === 0 ? Buffer.alloc(0) : head
  for (let count = 1 + random.below(6); count > 0; count--) {
    const at = random.below(bytes.length + 1)
    const dropped = random.below(3) === 0 ? random.below(12) : 0
    const piece = random.below(2) === 0 ? random.pick(pieces) : Buffer.from([random.below(256)])
    bytes = Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at + dropped)])
  }
  return bytes
}

/** Undefined when the answers to all prefixes agree: `more` up to some length, then one answer for good. */
function disagreement(bytes: Buffer): string | undefined {
  const whole = JSON.stringify(readConnectHead(bytes, LIMIT))
  let answered = false
  for (let cut = 0; cut < bytes.length; cut++) {
    const answer = JSON.stringify(readConnectHead(bytes.subarray(0, cut), LIMIT))
    if (answer === '{"kind":"more"}' ? answered : answer !== whole) return `cut ${cut}: ${answer}, whole: ${whole}`
    answered = answer !== '{"kind":"more"}'
  }
  return undefined
}

/** What Node's HTTP server makes of the bytes: the target and the data behind the head. */
async function nodeReads(bytes: Buffer): Promise<{ address: string; early: string } | 'nothing'> {
  const server = createServer({ requireHostHeader: false, insecureHTTPParser: false })
  const [client, accepted] = duplexPair()
  const { promise, resolve } = Promise.withResolvers<{ address: string; early: string } | 'nothing'>()
  server.on('connect', (request, _socket, early) => {
    resolve({ address: request.url ?? '', early: early.toString('latin1') })
  })
  server.on('clientError', () => resolve('nothing'))
  server.on('request', () => resolve('nothing'))
  server.emit('connection', accepted)
  client.on('error', () => {})
  client.end(bytes)
  try {
    return await promise
  } finally {
    client.destroy()
    accepted.destroy()
    server.close()
  }
}

t.test('never throws, and answers alike at every split, with each byte damaged in every way', async (t) => {
  const problems: string[] = []
  for (let at = 0; at < head.length; at++) {
    for (let byte = 0; byte < 256; byte++) {
      const damaged = Buffer.from(head)
      damaged[at] = byte
      readConnectHead(damaged, LIMIT)
      const problem = byte % 16 === 0 ? disagreement(damaged) : undefined
      if (problem !== undefined) problems.push(`byte ${at} = ${byte}: ${problem}`)
    }
  }
  t.strictSame(problems, [])
})

t.test('never throws, and answers alike at every split, on mutated heads', async (t) => {
  const problems: string[] = []
  const kinds: Record<ConnectHead['kind'], number> = { connect: 0, more: 0, refused: 0 }
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = mutated(createRandom(SEED + round))
    kinds[readConnectHead(bytes, LIMIT).kind]++
    const problem = disagreement(bytes)
    if (problem !== undefined) problems.push(`seed ${SEED + round}: ${problem}`)
  }
  t.strictSame(problems, [])
  t.ok(Math.min(...Object.values(kinds)) > 0, `saw every kind of answer: ${JSON.stringify(kinds)}`)
})

t.test("takes a head only where Node's own HTTP parser reads the same CONNECT", async (t) => {
  const problems: unknown[] = []
  let taken = 0
  for (let round = 0; round < ROUNDS; round++) {
    const bytes = mutated(createRandom(SEED + round))
    const ours = readConnectHead(bytes, LIMIT)
    if (ours.kind !== 'connect') continue
    taken++
    const theirs = await nodeReads(bytes)
    const early = bytes.subarray(ours.headBytes).toString('latin1')
    if (theirs === 'nothing' || theirs.address !== ours.address || theirs.early !== early) {
      problems.push({ seed: SEED + round, bytes: bytes.toString('latin1'), ours, theirs })
    }
  }
  t.strictSame(problems, [])
  t.ok(taken > 0, `${taken} heads taken`)
})
