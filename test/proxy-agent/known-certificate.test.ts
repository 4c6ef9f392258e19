/** What a server is shown of the agent's certificate while a connection lasts, over real TLS and HTTP/2. */
import { X509Certificate } from 'node:crypto'
import { connect as connectHttp2, createSecureServer, type Http2SecureServer, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import { connect as connectTls } from 'node:tls'
import t, { type Test } from 'tap'
import { readNewCertificate } from '../../src/pki/new-certificate.ts'
import { createKnownCertificate } from '../../src/proxy-agent/known-certificate.ts'
import { type Leaf, makePki } from '../integration/certificates.ts'
import { event, eventually } from '../integration/deadline.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'

const TAKEN = 'the server knows the new certificate'
const NOT_TAKEN = 'the server does not take the new certificate for this connection'
const NAMES = ['second', 'third']
const identity = { role: 'agent', cluster: 'eu-1', name: 'a1' } as const

const pki = await makePki(t)
const [second, third] = await Promise.all([pki.issue('second', { identity }), pki.issue('third', { identity })])

/** Refuses what it is shown so often. */
async function listen(t: Test, refusals: number): Promise<{ readonly server: Http2SecureServer; shown: string[] }> {
  const { cert, key } = pki.server
  const server = createSecureServer({ cert, key, ca: pki.authority.certificatePem, requestCert: true })
  const shown: string[] = []
  server.on('stream', (stream: ServerHttp2Stream) => {
    let body = ''
    stream.on('data', (chunk) => {
      body += String(chunk)
    })
    stream.on('end', () => {
      shown.push(readNewCertificate(body)?.leaf.serialNumber ?? 'nothing')
      const refuses = shown.length <= refusals
      stream.respond({ ':status': refuses ? 403 : 200 })
      stream.end(refuses ? 'not known\r\nhere' : '')
    })
  })
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  t.teardown(() => server.close())
  return { server, shown }
}

async function setup(t: Test, refusals = 0) {
  const { server, shown } = await listen(t, refusals)
  const { cert, key } = pki.agent
  const { port } = server.address() as AddressInfo
  const ca = pki.authority.certificatePem
  const socket = connectTls({ host: '127.0.0.1', port, ca, cert, key, ALPNProtocols: ['h2'] })
  await event(socket, 'secureConnect')
  const http = connectHttp2('https://127.0.0.1', { createConnection: () => socket })
  t.teardown(() => http.destroy())
  let now: Pick<Leaf, 'cert' | 'key'> = pki.agent
  const log = recordedLog()
  const clock = manualClock()
  const known = createKnownCertificate({ http, socket, material: () => now, clock, random: () => 1 }, cert)
  return {
    known,
    clock,
    log,
    http,
    shown,
    renew(leaf: Leaf) {
      now = leaf
      known.renewed()
    },
    said: (msg: string, times = 1) =>
      eventually(
        `${times} times: ${msg}`,
        () => log.lines.filter(({ message }) => message === msg).length,
        (count) => count === times,
      ),
  }
}
const serials = new Map([second, third].map(({ cert }, at) => [new X509Certificate(cert).serialNumber, NAMES[at]]))
const names = (shown: readonly string[]): string[] => shown.map((serial) => serials.get(serial) ?? 'another')

t.test('shows each certificate that comes, once, and the one that the connection was made with never', async (t) => {
  const { known, log, shown, renew, said } = await setup(t)
  known.begin(log)
  known.renewed() // nothing is new
  renew(second)
  await said(TAKEN)
  known.renewed()
  renew(third)
  await said(TAKEN, 2)
  t.strictSame(names(shown), ['second', 'third'])
})

t.test('shows nothing before the server takes new ones, and then what was renewed meanwhile', async (t) => {
  const { known, log, shown, renew, said } = await setup(t)
  renew(second)
  renew(third)
  known.begin(log)
  await said(TAKEN)
  t.strictSame(names(shown), ['third'])
})

t.test('shows one that is not taken again, later each time, and says why', async (t) => {
  const { known, clock, log, shown, renew, said } = await setup(t, 2)
  known.begin(log)
  renew(second)
  await said(NOT_TAKEN)
  t.match(log.lines.at(-1), { level: 'warn', fields: { reason: 'not known??here', refusals: 1 } })
  clock.advance(2_000)
  await said(NOT_TAKEN, 2)
  t.match(log.lines.at(-1), { fields: { refusals: 2 } })
  clock.advance(3_000)
  await said(TAKEN)
  t.strictSame(names(shown), ['second', 'second', 'second'])
  t.strictSame(clock.asked, [2_000, 3_000])
})

t.test('shows a newer one at once, and the one before no more', async (t) => {
  const { known, clock, log, shown, renew, said } = await setup(t, 1)
  known.begin(log)
  renew(second)
  await said(NOT_TAKEN)
  renew(third)
  await said(TAKEN)
  t.equal(clock.waiting(), 0, 'nobody is shown again')
  clock.advance(600_000)
  renew(third)
  t.strictSame(names(shown), ['second', 'third'])
})

t.test('shows no more when the connection is over', async (t) => {
  const { known, clock, log, shown, renew, said } = await setup(t, 9)
  known.begin(log)
  renew(second)
  await said(NOT_TAKEN)
  t.equal(clock.waiting(), 1)
  known[Symbol.dispose]()
  t.equal(clock.waiting(), 0)
  t.strictSame(names(shown), ['second'])
})

t.test('takes no notice of an answer that comes when the connection is over', async (t) => {
  const { known, clock, log, http, shown, renew } = await setup(t, 9)
  known.begin(log)
  renew(second)
  known[Symbol.dispose]()
  const later = http.request({ ':method': 'POST' }).end('{}') // whose answer comes behind it
  later.resume()
  await event(later, 'close')
  t.strictSame(names(shown), ['second', 'another'])
  t.strictSame([log.lines, clock.asked], [[], []])
})

t.test('does not show one again that was refused when there was a newer one already', async (t) => {
  const { known, clock, log, shown, renew, said } = await setup(t, 1)
  known.begin(log)
  renew(second)
  renew(third)
  await said(TAKEN)
  await said(NOT_TAKEN)
  t.strictSame(names(shown), ['second', 'third'])
  t.strictSame(clock.asked, [])
})
