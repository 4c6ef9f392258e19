/** What an agent that would join says to who is not the hub of its token: nothing. */
import { X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { AddressInfo } from 'node:net'
import { createServer } from 'node:tls'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { ENROLMENT_ALPN, writeAuthorities } from '../../src/pki/enrolment-wire.ts'
import { createJoinToken, plainFingerprint, writeJoinToken } from '../../src/pki/join-token.ts'
import { type Leaf, makePki } from './certificates.ts'
import { joinWith } from './joining.ts'
import { openSslCa } from './openssl.ts'

/** Nearly all of it is waiting. */
t.jobs = 3
const together = { buffered: true }

t.test('a hub that is not the one of the token is told nothing', together, async (t) => {
  const pki = await makePki(t)
  const stranger = await createAuthority({ trustDomain: 'hub.example' })
  const names = { ipAddresses: ['127.0.0.1'] }
  const cases: readonly (readonly [string, Leaf, string, RegExp])[] = [
    [
      'shows the CA, but has no certificate of it',
      await pki.issue('s', { identity: { role: 'server', id: 's' }, ...names }, stranger),
      pki.authority.certificatePem,
      /was not issued by the CA of that fingerprint/,
    ],
    [
      'an agent that would be a hub',
      await pki.issue('a', { identity: { role: 'agent', cluster: 'eu-1', name: 'a' }, ...names }),
      pki.authority.certificatePem,
      /is not for servers/,
    ],
    [
      'a server of another name',
      await pki.issue('n', { identity: { role: 'server', id: 's' }, dnsNames: ['elsewhere.example'] }),
      pki.authority.certificatePem,
      /does not match certificate's altnames/,
    ],
    ['shows another CA', pki.server, stranger.certificatePem, /its CA has another fingerprint/],
  ]
  for (const [what, leaf, shown, said] of cases) await toldNothing(t, { what, leaf, shown, ca: pki.authority, said })
})

t.test(
  'a hub is verified as TLS does it, with what the CA of the token lets those below it do',
  together,
  async (t) => {
    const root = openSslCa(t)
    const ca = { certificatePem: readFileSync(root.certFile, 'utf8') }
    const issuing = 'keyUsage=critical,keyCertSign,cRLSign\nbasicConstraints=critical,CA:TRUE'
    const names = 'URI:spiffe://hub.example/server/s,IP:127.0.0.1'
    for (const [what, leaf, said] of [
      [
        'below a CA for other addresses',
        root
          .intermediate('dev', `${issuing}\nnameConstraints=critical,permitted;IP:10.0.0.0/255.0.0.0\n`)
          .issue('a', names),
        /its certificate is no good: permitted subtree violation/,
      ],
      [
        'below a CA that may have no CA below it',
        root.intermediate('last', `${issuing},pathlen:0\n`).intermediate('more').issue('b', names),
        /its certificate is no good: path length constraint exceeded/,
      ],
      [
        'below a CA for clients',
        root.intermediate('clients', `${issuing}\nextendedKeyUsage=clientAuth\n`).issue('c', names),
        /its certificate is no good: un(suitable|supported) certificate purpose/,
      ],
    ] as const) {
      await toldNothing(t, { what, leaf, shown: ca.certificatePem, ca, said })
    }
  },
)

/** What an agent does that joins with a token of `ca` where somebody else waits for it. */
async function toldNothing(
  t: Test,
  it: {
    readonly what: string
    readonly leaf: Leaf
    readonly shown: string
    readonly ca: { readonly certificatePem: string }
    readonly said: RegExp
  },
): Promise<void> {
  const heard: Buffer[] = []
  const { cert, key } = it.leaf
  const hub = createServer({ cert, key, ALPNProtocols: [ENROLMENT_ALPN] }, (socket) => {
    socket.on('error', () => undefined)
    socket.on('data', (chunk: Buffer) => heard.push(chunk))
    socket.write(writeAuthorities(it.shown))
  })
  t.teardown(() => hub.close())
  await new Promise<void>((resolve) => hub.listen(0, '127.0.0.1', resolve))
  const fingerprint = plainFingerprint(new X509Certificate(it.ca.certificatePem).fingerprint256)
  const agent = joinWith(t, (hub.address() as AddressInfo).port, writeJoinToken(createJoinToken(fingerprint)))
  t.match(await agent.logged('could not join the hub, trying again'), { reason: it.said }, it.what)
  t.equal(Buffer.concat(heard).length, 0, it.what)
  agent.signal('SIGTERM')
  t.match(await agent.ended, { code: 0 })
}
