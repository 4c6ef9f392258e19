/**
 * Addresses that are none, or that nobody listens at, given to konnectivity's agent and to ours: what an agent answers crosses the
 * wire to the client. What differs is what docs/compatibility.md lists.
 */
import t, { type Test } from 'tap'
import { makePki } from '../integration/certificates.ts'
import { eventually } from '../integration/deadline.ts'
import { stockServer } from '../integration/stock-server.ts'
import { closedPort } from '../integration/target.ts'
import { type Maker, RELEASES } from './pairing.ts'
import { agentOf } from './programs-of.ts'

const pki = await makePki(t)
const closed = await closedPort()
const closedAt = closed.slice(closed.lastIndexOf(':'))

/** In the same words. */
const SAME = [
  ...[closed, `[127.0.0.1]${closedAt}`, '', '::', ']', '[', '[]', 'host', '127.0.0.1', '::1', '::1:80', 'a:b:c'],
  ...['[::1', '[::1]', '[::1]80', '[::1]x:80', '[::1]::80', '[::1:80', '[::1]:[8', '[::1]:8]', '127.0.0.1:8]'],
  ...['a[b]:80', 'a[b:80', 'a]b:80', '[a[b]:80', '[a]b]:80', '127.0.0.1:[8', 'a:[8]'],
  ...['65536', '-1', '99999999999', 'x', 'no-such', ' 1', '1e3', '0x50', '1_0'].map((port) => `127.0.0.1:${port}`),
  ...['127.1', '1.2.3.4.', '256.1.1.1', 'two words', 'a%41', 'a..b', '-', '*', '/'].map((host) => `${host}:1`),
  `${'a'.repeat(64)}.invalid:1`,
]
const refusedAt = (address: string): string => `dial tcp ${address}: connect: connection refused`
/** The rows of docs/compatibility.md, "Addresses", but link-local addresses, which may be there: what ours and what konnectivity's says. */
const OTHER: readonly (readonly [address: string, ours: string | RegExp, stock: string | RegExp])[] = [
  ['127.0.0.1:0', 'dial tcp: address 0: invalid port', refusedAt('127.0.0.1:0')],
  ['127.0.0.1:', 'dial tcp: address : invalid port', refusedAt('127.0.0.1:0')],
  [`127.0.0.1:0${closedAt.slice(1)}`, `dial tcp: address 0${closedAt.slice(1)}: invalid port`, refusedAt(closed)],
  [`127.0.0.1:+${closedAt.slice(1)}`, `dial tcp: address +${closedAt.slice(1)}: invalid port`, refusedAt(closed)],
  ['127.0.0.1:tcpmux', 'dial tcp: lookup tcp/tcpmux: unknown port', /tcpmux|127\.0\.0\.1:1\b/],
  [closedAt, `dial tcp: address ${closedAt}: missing host`, refusedAt(closedAt)],
  [`[]${closedAt}`, `dial tcp: address []${closedAt}: missing host`, refusedAt(closedAt)],
  ['[::1%lo]:1', 'dial tcp: address [::1%lo]:1: not an IPv6 address', /^dial tcp \[::1%lo\]:1: connect: /],
  ['[web.invalid]:1', 'dial tcp: address [web.invalid]:1: not an IPv6 address', /^dial tcp: lookup web\.invalid\b/],
  ['nobody.invalid:1', /^dial tcp: lookup nobody\.invalid: /, /^dial tcp: lookup nobody\.invalid on \S+: /],
  ['0x7f000001:1', 'dial tcp: lookup 0x7f000001: no such host', /^dial tcp: lookup 0x7f000001 on \S+: /],
  ['é:1', 'dial tcp: lookup ?: no such host', 'dial tcp: lookup é: no such host'],
]

type Dial = (address: string) => Promise<string>

/** Gives the agent an address to dial; the answer is its error, which is empty when it connected. */
async function agentThatDials(t: Test, maker: Maker): Promise<Dial> {
  const server = await stockServer(t, pki)
  await agentOf(t, maker, { pki, agentPort: server.agentPort })
  const stream = await eventually('the agent', () => server.streams[0], Boolean)
  let random = 0
  return async (address) => {
    stream?.send({ type: 'DIAL_REQ', dialRequest: { protocol: 'tcp', address, random: String(++random) } })
    return (await stream?.next('dialResponse'))?.error ?? ''
  }
}

t.test('what an agent says of an address', async (t) => {
  const [ours, stock] = [await agentThatDials(t, 'ours'), await agentThatDials(t, RELEASES[0])]

  t.test('is the same by both', async (t) => {
    for (const address of SAME) {
      const text = await stock(address)
      t.match(text, /^dial tcp/, address)
      t.equal(await ours(address), text, address)
    }
  })

  t.test('differs where docs/compatibility.md says so', async (t) => {
    for (const [address, our, their] of OTHER) {
      t.match(await ours(address), our, address)
      t.match(await stock(address), their, address)
    }
  })
})
