/**
 * Whatever the bytes: no exception, an answer that does not depend on how the network cut them, never past its limit; and what is
 * written is read again. A failing round prints its seed; CULVERT_FUZZ_SEED and CULVERT_FUZZ_ROUNDS replay or prolong.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ipText } from '../../src/sni-router/core/address.ts'
import { MAX_PROXY_HEADER_BYTES, type ProxyHeader, readProxyHeader } from '../../src/sni-router/core/proxy-header.ts'
import { proxyHeader } from '../../src/sni-router/core/proxy-header-out.ts'
import { createRandom, type Random } from '../platform/random.ts'

const ROUNDS = Number(process.env.CULVERT_FUZZ_ROUNDS ?? 6_000)
const SEED = Number(process.env.CULVERT_FUZZ_SEED ?? 1)
const FOLDER = join(import.meta.dirname, 'corpus/proxy-header')

const corpus = readdirSync(FOLDER).map((name) => Buffer.from(readFileSync(join(FOLDER, name), 'latin1').trim(), 'hex'))
const pieces = [
  'PROXY ',
  'TCP4',
  'TCP6',
  'UNKNOWN',
  ' ',
  ' ',
  '\r\n',
  '\r',
  '1.2.3.4',
  '::1',
  '65536',
  '0',
  'x'.repeat(60),
].map((text) => Buffer.from(text, 'latin1'))

function mutated(random: Random): Buffer {
  let bytes = random.pick(corpus)
  for (let count = random.below(4); count > 0; count--) {
    const at = random.below(bytes.length + 1)
    const dropped = random.below(3) === 0 ? random.below(8) : 1
    const piece = random.chance(30) ? random.pick(pieces) : Buffer.from([random.below(256)])
    bytes = Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(at + dropped)])
  }
  return bytes
}

t.test('never throws, and answers alike at every split', async (t) => {
  const kinds: Record<ProxyHeader['kind'], number> = { header: 0, more: 0, refused: 0 }
  for (let seed = SEED; seed < SEED + ROUNDS; seed++) {
    const bytes = mutated(createRandom(seed))
    const whole = readProxyHeader(bytes)
    kinds[whole.kind]++
    if (whole.kind === 'header' && whole.bytes > Math.min(bytes.length, MAX_PROXY_HEADER_BYTES)) t.fail(`seed ${seed}`)
    let answered = false
    for (let cut = 0; cut < bytes.length; cut++) {
      const part = readProxyHeader(bytes.subarray(0, cut))
      if (part.kind === 'more' ? answered : JSON.stringify(part) !== JSON.stringify(whole)) {
        t.fail(`seed ${seed}, cut at ${cut}`, { part, whole })
      }
      answered ||= part.kind !== 'more'
    }
  }
  t.ok(Math.min(...Object.values(kinds)) > ROUNDS / 50, JSON.stringify(kinds))
})

t.test('reads what it writes', async (t) => {
  for (let seed = SEED; seed < SEED + ROUNDS; seed++) {
    const random = createRandom(seed)
    const length = random.pick([4, 16])
    const end = () => {
      const bytes = Uint8Array.from({ length }, () => (random.chance(60) ? 0 : random.below(256)))
      if (length === 16) bytes[0] = 0x20 // not one that stands for an address of IPv4
      return { ip: ipText(bytes), port: random.below(65_536) }
    }
    const ends = { source: end(), destination: end() }
    const bytes = proxyHeader('v2', ends)
    const read = readProxyHeader(Buffer.concat([bytes, Buffer.alloc(3)]))
    const wanted = { kind: 'header', bytes: bytes.length, ends }
    if (JSON.stringify(read) !== JSON.stringify(wanted)) t.fail(`seed ${seed}`, { read, wanted })
    const first = readProxyHeader(proxyHeader('v1', ends))
    const again = first.kind === 'header' && first.ends ? proxyHeader('v2', first.ends) : undefined
    if (!again?.equals(bytes)) t.fail(`seed ${seed}, version 1`, { ends, first })
  }
})
