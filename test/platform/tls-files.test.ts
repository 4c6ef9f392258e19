import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import { mkdirSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect, createServer } from 'node:tls'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { listen } from '../../src/platform/listen.ts'
import { watchTlsFiles } from '../../src/platform/tls-files.ts'
import { manualClock } from './manual-clock.ts'

const authority = await createAuthority({ trustDomain: 'test' })
const pairs = await Promise.all([1, 2].map(() => issueLeaf(authority, { dnsNames: ['localhost'] })))
const [old, renewed] = pairs.map(({ certificatePem, keyPem }) => ({ cert: certificatePem, key: keyPem }))
const ca = authority.certificatePem

/** A watch over a folder that starts with the old pair; `events` are its calls. */
function setup(t: Test) {
  const folder = t.testdir({ 'tls.crt': old!.cert, 'tls.key': old!.key, 'ca.crt': ca })
  const path = (name: string): string => join(folder, name)
  const events: string[] = []
  const clock = manualClock()
  const watch = watchTlsFiles(
    {
      cert: { flag: '--server-cert', path: path('tls.crt') },
      key: { flag: '--server-key', path: path('tls.key') },
      ca: { flag: '--server-ca-cert', path: path('ca.crt') },
    },
    {
      clock,
      intervalMs: 5_000,
      changed: ({ cert }) => events.push(cert === renewed!.cert ? 'renewed' : 'old'),
      broken: (error) => events.push(error.message),
      mended: () => events.push('mended'),
    },
  )
  t.teardown(() => watch[Symbol.dispose]())
  return { path, events, clock, watch, write: (name: string, text: string) => writeFileSync(path(name), text) }
}

t.test('gives what it found at the start, and is quiet while nothing changes', async (t) => {
  const { watch, clock, events } = setup(t)
  t.strictSame(watch.current(), { ...old, ca })
  clock.advance(5_000)
  clock.advance(5_000)
  t.strictSame(events, [])
})

t.test('refuses to start with broken files, with every mistake', async (t) => {
  const folder = t.testdir({ 'tls.crt': 'x', 'tls.key': 'canary' })
  const files = {
    cert: { flag: '--agent-cert', path: join(folder, 'tls.crt') },
    key: { flag: '--agent-key', path: join(folder, 'tls.key') },
  }
  const none = (): void => void t.fail('nothing to tell')
  const clock = manualClock()
  t.throws(() => watchTlsFiles(files, { clock, intervalMs: 1, changed: none, broken: none, mended: none }), {
    code: 'bad-option',
    message: /^--agent-cert: .* holds no certificate in PEM form\n--agent-key: .* holds no private key/,
  })
  t.equal(clock.waiting(), 0)
})

t.test('uses rewritten files once two looks have found them', async (t) => {
  const { watch, clock, events, write } = setup(t)
  write('tls.crt', renewed!.cert)
  write('tls.key', renewed!.key)
  clock.advance(4_999)
  t.strictSame(watch.current().cert, old!.cert, 'not yet')
  clock.advance(1)
  clock.advance(5_000)
  t.strictSame(watch.current(), { ...renewed, ca })
  t.strictSame(events, ['renewed'])
})

t.test('a server that is given the new files serves them from the next handshake on', async (t) => {
  const { watch, write } = setup(t)
  const server = createServer(watch.current(), (socket) => socket.end())
  t.teardown(() => server.close())
  const port = await listen(server, { flag: '--server-port', host: '127.0.0.1', port: 0 })
  const served = async (): Promise<string> => {
    const socket = connect({ port, host: '127.0.0.1', servername: 'localhost', ca })
    t.teardown(() => socket.destroy())
    await once(socket, 'secureConnect')
    return socket.getPeerX509Certificate()?.toString() ?? ''
  }
  t.equal(await served(), new X509Certificate(old!.cert).toString())
  write('tls.crt', renewed!.cert)
  write('tls.key', renewed!.key)
  watch.check()
  server.setSecureContext(watch.current())
  t.equal(await served(), new X509Certificate(renewed!.cert).toString())
})

t.test('notices files that were renamed into place', async (t) => {
  const { watch, events, path, write } = setup(t)
  write('new.crt', renewed!.cert)
  write('new.key', renewed!.key)
  renameSync(path('new.crt'), path('tls.crt'))
  renameSync(path('new.key'), path('tls.key'))
  watch.check()
  t.strictSame(events, ['renewed'])
})

t.test('follows the link that Kubernetes swaps', async (t) => {
  const { path } = setup(t)
  for (const [version, pair] of [
    ['..1', old!],
    ['..2', renewed!],
  ] as const) {
    mkdirSync(path(version))
    writeFileSync(join(path(version), 'tls.crt'), pair.cert)
    writeFileSync(join(path(version), 'tls.key'), pair.key)
  }
  symlinkSync('..1', path('..data'))
  for (const name of ['tls.crt', 'tls.key']) {
    rmSync(path(name))
    symlinkSync(join('..data', name), path(name))
  }
  const events: string[] = []
  using watch = watchTlsFiles(
    { cert: { flag: '--cert', path: path('tls.crt') }, key: { flag: '--key', path: path('tls.key') } },
    {
      clock: manualClock(),
      intervalMs: 1,
      changed: () => events.push('changed'),
      broken: () => events.push('broken'),
      mended: () => events.push('mended'),
    },
  )
  symlinkSync('..2', path('..data_tmp'))
  renameSync(path('..data_tmp'), path('..data'))
  watch.check()
  t.strictSame(watch.current(), renewed)
  t.strictSame(events, ['changed'])
})

t.test('keeps the old files while the new ones are broken, and raises one alarm until they are mended', async (t) => {
  const { watch, events, clock, write, path } = setup(t)
  write('tls.crt', 'canary')
  clock.advance(5_000)
  t.strictSame([events, watch.alarm()], [[], undefined], 'one look may have met a writer')
  clock.advance(5_000)
  clock.advance(5_000)
  t.strictSame(events, [`--server-cert: ${path('tls.crt')} holds no certificate in PEM form`])
  t.match(watch.alarm(), { code: 'bad-option' })
  t.strictSame(watch.current(), { ...old, ca })
  write('tls.crt', renewed!.cert)
  write('tls.key', renewed!.key)
  watch.check()
  t.strictSame(events.slice(1), ['mended', 'renewed'])
  t.equal(watch.alarm(), undefined)
})

t.test('says that the files are mended when the old ones come back', async (t) => {
  const { watch, events, write, path } = setup(t)
  rmSync(path('ca.crt'))
  watch.check()
  watch.check()
  write('ca.crt', ca)
  watch.check()
  t.strictSame(events, [`--server-ca-cert: could not read ${path('ca.crt')}: there is no such file`, 'mended'])
})

t.test('raises a new alarm when something else breaks', async (t) => {
  const { watch, events, write, path } = setup(t)
  write('tls.key', renewed!.key)
  watch.check()
  watch.check()
  write('tls.key', '')
  watch.check()
  watch.check()
  t.strictSame(events, [
    `--server-key: ${path('tls.key')} is not the key of the certificate ${path('tls.crt')}`,
    `--server-key: ${path('tls.key')} holds no private key in PEM form that can be read without a passphrase`,
  ])
})

t.test('raises no alarm for a certificate that is written a moment before its key', async (t) => {
  const { clock, events, write } = setup(t)
  write('tls.crt', renewed!.cert)
  clock.advance(5_000)
  write('tls.key', renewed!.key)
  clock.advance(5_000)
  clock.advance(5_000)
  t.strictSame(events, ['renewed'])
})

t.test('looks no more once it is disposed of', async (t) => {
  const { watch, clock, events, write } = setup(t)
  clock.advance(5_000)
  t.equal(clock.waiting(), 1)
  watch[Symbol.dispose]()
  write('tls.crt', 'x')
  clock.advance(60_000)
  t.equal(clock.waiting(), 0)
  t.strictSame(events, [])
})
