/** How long the servers of open connections are taken for good, over real TLS. */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { connect, createServer, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { createServerStanding } from '../../src/proxy-agent/server-standing.ts'
import { type Leaf, makePki } from '../integration/certificates.ts'
import { event } from '../integration/deadline.ts'
import { openSslCa } from '../integration/openssl.ts'
import { manualClock } from '../platform/manual-clock.ts'

const LOOK_MS = 1_000
const DAY_MS = 86_400_000
const pki = await makePki(t)
const ca = pki.authority.certificatePem

async function connectTo(t: Test, { cert, key }: Pick<Leaf, 'cert' | 'key'>, authority = ca): Promise<TLSSocket> {
  const server = createServer({ cert, key })
  server.listen(0, '127.0.0.1')
  await event(server, 'listening')
  const socket = connect({ host: '127.0.0.1', port: (server.address() as AddressInfo).port, ca: authority })
  socket.on('error', () => undefined)
  t.teardown(() => {
    socket.destroy()
    server.close()
  })
  await event(socket, 'secureConnect')
  return socket
}

/** At a time that is so long before that of now. */
function setup(t: Test, authority = ca) {
  const clock = manualClock()
  clock.advance(Date.now())
  const standing = createServerStanding({ authorities: () => authority, clock })
  t.teardown(() => standing[Symbol.dispose]())
  const lost: string[] = []
  const until = (unixMs: number): void => clock.advance(unixMs - clock.unixMs())
  return { clock, standing, lost, until, told: (why: string): void => void lost.push(why) }
}
const endOf = (pem: string): number => new X509Certificate(pem).validToDate.getTime()

t.test('a server is lost when its certificate has expired, once, and not before', async (t) => {
  const { standing, lost, until, told, clock } = setup(t)
  standing.hold(await connectTo(t, pki.server), told)
  const endUnixMs = endOf(pki.server.cert)
  until(endUnixMs)
  clock.advance(0)
  t.strictSame(lost, [])
  clock.advance(LOOK_MS)
  t.match(lost, [/^the server's certificate, or that of a CA above it, expired at \d/])
  clock.advance(LOOK_MS)
  t.equal(lost.length, 1)
})

t.test('a CA above it that expires first takes it along', async (t) => {
  const root = openSslCa(t, 'root')
  const below = root.intermediate('below')
  const leaf = below.issue('hub', 'IP:127.0.0.1', 25)
  const authority = readFileSync(root.certFile, 'utf8')
  const { standing, lost, until, told } = setup(t, authority)
  standing.hold(await connectTo(t, leaf, authority), told)
  until(Date.now() + 19 * DAY_MS)
  t.strictSame(lost, [])
  until(Date.now() + 21 * DAY_MS)
  t.equal(lost.length, 1)
})

t.test('who has hung up is looked at no more', async (t) => {
  const { standing, lost, until, told } = setup(t)
  const socket = await connectTo(t, pki.server)
  standing.hold(socket, told)
  const closed = event(socket, 'close')
  socket.destroy()
  await closed
  standing.hold(socket, told)
  until(endOf(pki.server.cert) + LOOK_MS)
  t.strictSame(lost, [])
})
