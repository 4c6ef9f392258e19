/**
 * The head of a CONNECT: one answer at every cut; a CONNECT only where Node's own HTTP parser sees the same one with the same data behind
 * it; and its address is one that whatever comes behind (the policy, the agent) takes apart alike.
 */
import { createServer } from 'node:http'
import { duplexPair } from 'node:stream'
import { splitAddress } from '../../../src/platform/split-address.ts'
import { type Connect, readConnectHead } from '../../../src/proxy-server/core/connect-head.ts'
import { latin1, mutated } from '../mutate.ts'
import { hold, type Target } from '../target.ts'

/** As a flag may set it: bytes. */
export const LIMIT = 512
const pieces = [
  ...latin1('CONNECT ', 'GET ', 'PRI * HTTP/2.0', 'a:80', '[::1]:80', '10.0.0.1:0', 'http://a:80/', '[', ']', ':', '@'),
  ...latin1(
    ' HTTP/1.1',
    ' HTTP/1.0',
    ' HTTP/2.0',
    '\r\n',
    '\r\n',
    '\r\n\r\n',
    '\n',
    '\r',
    ' ',
    '\t',
    '\0',
    '\xff',
    '%41',
  ),
  ...latin1(
    'Host: a',
    'Content-Length: 0',
    'Content-Length: 7',
    'Transfer-Encoding: chunked',
    'X: y',
    ': z',
    'A'.repeat(200),
  ),
  ...latin1('[::ffff:1.2.3.4]:1', '[1.2.3.4]:1', '[::1%lo]:1', '0x7f.1:80', '65536', 'a.:1', 'Connection: close\r\n'),
]

export const connectHead: Target = {
  name: 'connect-head',
  ending: 'hex',
  covers: ['src/proxy-server/core/connect-head.ts', 'src/platform/ip-address.ts', 'src/platform/split-address.ts'],
  maxMs: 150,
  kinds: ['connect', 'more', 'refused'],

  make: (random, corpus) =>
    mutated(random, random.chance(5) ? Buffer.alloc(0) : random.pick(corpus), corpus, pieces).subarray(0, 3 * LIMIT),

  async check(bytes) {
    const ours = readConnectHead(bytes, LIMIT)
    const different = disagreement(bytes)
    hold(different === undefined, () => different ?? '')
    if (ours.kind === 'connect') {
      writtenAgain(ours)
      const theirs = await nodeReads(withKnownVersion(bytes))
      const early = bytes.subarray(ours.headBytes).toString('latin1')
      const isSame = theirs !== 'nothing' && theirs.address === ours.address && theirs.early === early
      hold(isSame, () => JSON.stringify({ ours, theirs }))
    }
    return ours.kind
  },
}

/** Undefined when the answers to all prefixes agree: `more` up to some length, then one answer for good. */
export function disagreement(bytes: Buffer): string | undefined {
  const whole = JSON.stringify(readConnectHead(bytes, LIMIT))
  let answered = false
  for (let cut = 0; cut < bytes.length; cut++) {
    const answer = JSON.stringify(readConnectHead(bytes.subarray(0, cut), LIMIT))
    if (answer === '{"kind":"more"}' ? answered : answer !== whole) return `cut ${cut}: ${answer}, whole: ${whole}`
    answered = answer !== '{"kind":"more"}'
  }
  return undefined
}

/** Of the address nothing is lost or added on its way. */
function writtenAgain({ address, host, port, version, headBytes }: Connect): void {
  hold(headBytes <= LIMIT, () => 'the head is over its limit')
  const text = `CONNECT ${host.includes(':') ? `[${host}]` : host}:${port} HTTP/${version}\r\n\r\n`
  const again = readConnectHead(Buffer.from(text, 'latin1'), text.length)
  const isSame = again.kind === 'connect' && again.address === address && again.host === host && again.port === port
  hold(isSame, () => `written again it is ${JSON.stringify(again)}`)
  const split = splitAddress(address)
  const isAlike = split.kind === 'host and port' && split.host === host && split.port === String(port)
  hold(isAlike, () => `taken apart it is ${JSON.stringify(split)}`)
}

/** RFC 9110 section 2.5: HTTP/1.9 is read as HTTP/1.1. Node refuses it, Go and we do not. */
function withKnownVersion(bytes: Buffer): Buffer {
  const end = bytes.indexOf('\r\n')
  return Buffer.concat([
    Buffer.from(bytes.toString('latin1', 0, end).replace(/[2-9]$/, '1'), 'latin1'),
    bytes.subarray(end),
  ])
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
