/**
 * The PROXY header: one answer at every cut, never past its limit; what it says is read again from what we write, in both versions; a line
 * of version 1 is taken exactly where a grammar of it, with Node's own idea of an address, takes it.
 */
import { isIPv4, isIPv6 } from 'node:net'
import { ipText } from '../../../src/platform/address-range.ts'
import { MAX_PROXY_HEADER_BYTES, type ProxyHeader, readProxyHeader } from '../../../src/platform/proxy-header.ts'
import { type ProxyVersion, proxyHeader } from '../../../src/sni-router/core/proxy-header-out.ts'
import type { Random } from '../../platform/random.ts'
import { latin1, mutated } from '../mutate.ts'
import { hold, type Target } from '../target.ts'

const pieces = [
  ...latin1('PROXY ', 'TCP4', 'TCP6', 'UNKNOWN', ' ', '  ', '\r\n', '\r', '\n', '1.2.3.4', '::1', '::ffff:1.2.3.4'),
  ...latin1(
    '65536',
    '65535',
    '0',
    '01',
    '0x1',
    'fe80::1%lo',
    '1.2.3',
    'x'.repeat(60),
    '\r\n\r\n\0\r\nQUIT\n',
    '!\x11\0\x0c',
    ' \0\0\0',
  ),
]

export const proxyHeaders: Target = {
  name: 'proxy-header',
  ending: 'hex',
  covers: ['src/platform/proxy-header.ts', 'src/sni-router/core/proxy-header-out.ts', 'src/platform/ip-address.ts'],
  maxMs: 100,
  kinds: ['header', 'more', 'refused'],

  make: (random, corpus) => mutated(random, random.chance(30) ? made(random) : random.pick(corpus), corpus, pieces),

  check(bytes) {
    const whole = readProxyHeader(bytes)
    cutEverywhere(bytes, whole)
    if (whole.kind === 'header') {
      hold(whole.bytes <= Math.min(bytes.length, MAX_PROXY_HEADER_BYTES), () => 'it ends behind its end')
      if (whole.ends) readAgain(whole)
    }
    const isV1 = bytes.length > 6 && bytes.toString('latin1', 0, 6) === 'PROXY '
    const taken = isV1 && whole.kind === 'header'
    hold(!isV1 || taken === isLineOfV1(bytes), () => `version 1: ${JSON.stringify(whole)}`)
    return whole.kind
  },
}

function made(random: Random): Buffer {
  const length = random.pick([4, 16])
  const end = () => {
    const bytes = Uint8Array.from({ length }, () => (random.chance(60) ? 0 : random.below(256)))
    return { ip: ipText(bytes), port: random.below(65_536) }
  }
  const header = proxyHeader(random.pick(['v1', 'v2']), { source: end(), destination: end() })
  return Buffer.concat([header, Buffer.alloc(random.below(4), 22)])
}

function cutEverywhere(bytes: Buffer, whole: ProxyHeader): void {
  const wanted = JSON.stringify(whole)
  let answered = false
  for (let cut = 0; cut < bytes.length; cut++) {
    const part = readProxyHeader(bytes.subarray(0, cut))
    const isRight = part.kind === 'more' ? !answered : JSON.stringify(part) === wanted
    hold(isRight, () => `cut at ${cut}: ${JSON.stringify(part)}, whole: ${wanted}`)
    answered ||= part.kind !== 'more'
  }
}

function readAgain({ ends }: Extract<ProxyHeader, { readonly kind: 'header' }>): void {
  if (!ends) return
  for (const { ip, port } of [ends.source, ends.destination]) {
    hold(isIPv4(ip) || isIPv6(ip), () => `no address: ${ip}`)
    hold(Number.isInteger(port) && port >= 0 && port <= 65_535, () => `no port: ${port}`)
  }
  const again = (version: ProxyVersion): Buffer => {
    const read = readProxyHeader(proxyHeader(version, ends))
    hold(
      read.kind === 'header' && read.ends !== undefined,
      () => `${version} is not read again: ${JSON.stringify(ends)}`,
    )
    return proxyHeader('v2', read.ends)
  }
  const wanted = proxyHeader('v2', ends)
  for (const version of ['v1', 'v2'] as const) {
    hold(again(version).equals(wanted), () => `${version} is read as another: ${JSON.stringify(ends)}`)
  }
}

/** The PROXY protocol, section 2.1, as one expression. */
function isLineOfV1(bytes: Buffer): boolean {
  const [line] = /^.*?\r\n/s.exec(bytes.toString('latin1', 0, 107)) ?? []
  if (line === undefined) return false
  if (/^PROXY UNKNOWN(?: |\r\n$)/.test(line)) return true
  const [, family, from = '', to = '', ...ports] =
    /^PROXY TCP([46]) ([^ ]+) ([^ ]+) (\d{1,5}) (\d{1,5})\r\n$/.exec(line) ?? []
  const isAddress = family === '4' ? isIPv4 : (ip: string) => isIPv6(ip) && !ip.includes('%')
  const isPort = (text: string): boolean => String(Number(text)) === text && Number(text) < 65_536
  return family !== undefined && isAddress(from) && isAddress(to) && ports.every(isPort)
}
