/** How long the servers of open connections are taken for good, over real TLS. */
import { execFileSync } from 'node:child_process'
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { connect, createServer, type TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { readCrls } from '../../src/pki/crl.ts'
import { updateList } from '../../src/pki/revocation-list.ts'
import { createRevocations, type Revocations } from '../../src/pki/revocations.ts'
import { createServerStanding } from '../../src/proxy-agent/server-standing.ts'
import { type Leaf, makePki, type Pki } from '../integration/certificates.ts'
import { event } from '../integration/deadline.ts'
import { openSslCa } from '../integration/openssl.ts'
import { manualClock } from '../platform/manual-clock.ts'

async function listOf({ folder, authority }: Pki): Promise<string> {
  await updateList(folder, authority, { serials: [], lifetimeMs: DAY_MS, nowUnixMs: Date.now() })
  return readFileSync(join(folder, 'crl.pem'), 'utf8')
}
function listsOf(text: string, authority: string): Revocations {
  const loaded = createRevocations(text === '' ? [] : readCrls(Buffer.from(text)), [new X509Certificate(authority)])
  if (!loaded.ok) throw new Error(loaded.problem)
  return loaded.revocations
}
const LOOK_MS = 1_000
const DAY_MS = 86_400_000
const pki = await makePki(t)
const ca = pki.authority.certificatePem
const nobody = listsOf('', ca)

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
function setup(t: Test, authority = ca, revocations: () => Revocations = () => nobody) {
  const clock = manualClock()
  clock.advance(Date.now())
  const wall = { aheadMs: 0 }
  const walled = { ...clock, unixMs: () => clock.unixMs() + wall.aheadMs }
  const standing = createServerStanding({ authorities: () => authority, revocations, clock: walled })
  t.teardown(() => standing[Symbol.dispose]())
  const lost: string[] = []
  const until = (unixMs: number): void => clock.advance(unixMs - clock.unixMs())
  return { clock, wall, standing, lost, until, told: (why: string): void => void lost.push(why) }
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
  t.strictSame(lost, [], 'the clock may be wrong for a moment')
  clock.advance(LOOK_MS)
  t.match(lost, [/^the server's certificate, or that of a CA above it, expired at \d/])
  clock.advance(LOOK_MS)
  t.equal(lost.length, 1)
})

t.test('a clock that is wrong for a moment ends nothing, as often as it is', async (t) => {
  const { standing, lost, told, clock, wall } = setup(t)
  standing.hold(await connectTo(t, pki.server), told)
  const aheadMs = endOf(pki.server.cert) + LOOK_MS - clock.unixMs()
  for (const now of [aheadMs, 0, aheadMs, 0, aheadMs]) {
    wall.aheadMs = now
    clock.advance(LOOK_MS)
    t.strictSame(lost, [])
  }
  clock.advance(LOOK_MS)
  t.equal(lost.length, 1)
})

t.test('a CA above it that expires first takes it along', async (t) => {
  const root = openSslCa(t, 'root')
  const below = root.intermediate('below')
  const leaf = below.issue('hub', 'IP:127.0.0.1', 25)
  const authority = readFileSync(root.certFile, 'utf8')
  const { standing, lost, until, told, clock } = setup(t, authority)
  standing.hold(await connectTo(t, leaf, authority), told)
  until(Date.now() + 19 * DAY_MS)
  t.strictSame(lost, [])
  until(Date.now() + 21 * DAY_MS)
  clock.advance(LOOK_MS)
  t.equal(lost.length, 1)
})

t.test('who has hung up is looked at no more', async (t) => {
  const { standing, lost, until, told, clock } = setup(t)
  const socket = await connectTo(t, pki.server)
  standing.hold(socket, told)
  const closed = event(socket, 'close')
  socket.destroy()
  await closed
  standing.hold(socket, told)
  until(endOf(pki.server.cert) + LOOK_MS)
  clock.advance(LOOK_MS)
  t.strictSame(lost, [])
})

t.test('a server is lost when the lists that change have its certificate, or a CA above it', async (t) => {
  const root = openSslCa(t, 'root')
  const below = root.intermediate('below')
  const [bad, good] = [below.issue('bad', 'IP:127.0.0.1'), below.issue('good', 'IP:127.0.0.1')]
  const authority = readFileSync(root.certFile, 'utf8')
  const lists = (): Revocations => listsOf(root.list() + below.list(), authority)
  let now = nobody
  const { standing, lost, told, clock } = setup(t, authority, () => now)
  const [one, two] = [await connectTo(t, bad, authority), await connectTo(t, good, authority)]
  standing.hold(one, (why) => told(`bad: ${why}`))
  standing.hold(two, (why) => told(`good: ${why}`))
  now = lists()
  clock.advance(LOOK_MS)
  t.strictSame(lost, [])
  below.revoke(bad)
  now = lists()
  clock.advance(LOOK_MS)
  t.strictSame(lost, ["bad: the server's certificate, or that of a CA above it, is revoked"])
  t.match(standing.refusal(one.getPeerX509Certificate()!), /is revoked$/)
  t.equal(standing.refusal(two.getPeerX509Certificate()!), undefined)
  root.revoke(below)
  now = lists()
  clock.advance(LOOK_MS)
  t.match(lost[1], /^good: .* is revoked$/)
})

t.test('a server whose way to a CA is not found is refused; a CA that is taken out ends nothing', async (t) => {
  const other = readFileSync(openSslCa(t, 'other').certFile, 'utf8')
  let [authority, lists] = [ca, nobody]
  const clock = manualClock()
  const standing = createServerStanding({ authorities: () => authority, revocations: () => lists, clock })
  t.teardown(() => standing[Symbol.dispose]())
  const socket = await connectTo(t, pki.server)
  const lost: string[] = []
  standing.hold(socket, (why) => lost.push(why))
  lists = listsOf(await listOf(pki), ca)
  authority = other
  clock.advance(LOOK_MS)
  t.strictSame(lost, [])
  t.match(standing.refusal(socket.getPeerX509Certificate()!), /cannot be looked for in the revocation lists$/)
})

for (const how of ['added to', 'put in the place of'] as const) {
  t.test(`a CA that was renewed with its key is counted on when it is ${how} the one before`, async (t) => {
    const root = openSslCa(t, 'root')
    const leaf = root.issue('hub', 'IP:127.0.0.1', 50)
    const short = readFileSync(root.certFile, 'utf8')
    const renewed = ['-key', root.keyFile, '-subj', '/O=Elsewhere/CN=root', '-days', '60']
    const long = execFileSync('openssl', ['req', '-x509', ...renewed, '-addext', 'basicConstraints=critical,CA:TRUE'])
    let authority = short
    const clock = manualClock()
    clock.advance(Date.now())
    const standing = createServerStanding({ authorities: () => authority, revocations: () => nobody, clock })
    t.teardown(() => standing[Symbol.dispose]())
    const lost: string[] = []
    standing.hold(await connectTo(t, leaf, short), (why) => lost.push(why))
    authority = (how === 'added to' ? short : '') + long.toString('utf8')
    clock.advance(31 * DAY_MS)
    clock.advance(LOOK_MS)
    t.strictSame(lost, [])
    clock.advance(20 * DAY_MS)
    clock.advance(LOOK_MS)
    t.equal(lost.length, 1)
  })
}
