import { generateKeyPairSync, webcrypto } from 'node:crypto'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type ConnectionOptions, connect, createServer } from 'node:tls'
import t, { type Test } from 'tap'
import { x509 } from '../../src/pki/x509.ts'
import {
  cipherSuiteNames,
  cipherSuiteProblem,
  type TlsProtocol,
  tlsProtocol,
} from '../../src/platform/cipher-suites.ts'

/** What Go 1.26 lists in tls.CipherSuites(). */
const GO = [
  'TLS_AES_128_GCM_SHA256',
  'TLS_AES_256_GCM_SHA384',
  'TLS_CHACHA20_POLY1305_SHA256',
  'TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA',
  'TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA',
  'TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA',
  'TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA',
  'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384',
  'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256',
  'TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384',
  'TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256',
  'TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256',
]
/** All that the other side could speak; OpenSSL's own word for it. */
const ALL = { ciphers: 'ALL:TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256' }

type Pair = { readonly cert: string; readonly key: string }

async function selfSigned(kind: 'RSA' | 'EC'): Promise<Pair> {
  const { publicKey, privateKey } =
    kind === 'RSA'
      ? generateKeyPairSync('rsa', { modulusLength: 2_048 })
      : generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const algorithm =
    kind === 'RSA'
      ? { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' }
      : { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' }
  const { subtle } = webcrypto
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=server',
    signingAlgorithm: algorithm,
    keys: {
      publicKey: await subtle.importKey('spki', publicKey.export({ type: 'spki', format: 'der' }), algorithm, true, [
        'verify',
      ]),
      privateKey: await subtle.importKey(
        'pkcs8',
        privateKey.export({ type: 'pkcs8', format: 'der' }),
        algorithm,
        true,
        ['sign'],
      ),
    },
  })
  return { cert: certificate.toString('pem'), key: String(privateKey.export({ type: 'pkcs8', format: 'pem' })) }
}

const pairs = await Promise.all([selfSigned('RSA'), selfSigned('EC')])

/** A server with certificates for every suite. */
async function listen(t: Test, protocol: TlsProtocol): Promise<number> {
  const server = createServer({
    cert: pairs.map(({ cert }) => cert),
    key: pairs.map(({ key }) => key),
    ...protocol,
    honorCipherOrder: true,
  })
  server.on('tlsClientError', () => undefined)
  server.on('secureConnection', (socket) => socket.on('error', () => undefined).end())
  server.listen(0, '127.0.0.1')
  t.teardown(() => server.close())
  await once(server, 'listening')
  return (server.address() as AddressInfo).port
}

/** The suite that a handshake ends with, or why there is none. */
async function suiteOf(t: Test, port: number, options: ConnectionOptions): Promise<string> {
  const socket = connect({ host: '127.0.0.1', port, rejectUnauthorized: false, ...options })
  t.teardown(() => socket.destroy())
  return new Promise((resolve) => {
    socket.once('secureConnect', () => resolve(socket.getCipher().standardName))
    socket.once('error', ({ message }) => resolve(message))
  })
}

const TLS12 = { maxVersion: 'TLSv1.2' } as const
const TLS13 = { minVersion: 'TLSv1.3' } as const
const is13 = (name: string): boolean => !name.includes('_WITH_')

t.test('knows the suites that Go lists, and no others', async (t) => {
  t.strictSame([...cipherSuiteNames].sort(), [...GO].sort())
  t.equal(cipherSuiteProblem([]), undefined)
  t.equal(cipherSuiteProblem(GO), undefined)
  const others = ['TLS_RSA_WITH_AES_128_CBC_SHA', 'ECDHE-RSA-AES128-GCM-SHA256', 'tls_aes_128_gcm_sha256', 'toString']
  for (const name of others) {
    t.equal(
      cipherSuiteProblem([...GO, name]),
      `cipher suite ${name} not supported, doesn't exist or considered as insecure`,
    )
  }
})

for (const name of GO) {
  t.test(`a server with ${name} alone speaks that and nothing else of its version`, async (t) => {
    const port = await listen(t, tlsProtocol('', [name]))
    const same = is13(name) ? TLS13 : TLS12
    t.equal(await suiteOf(t, port, { ...ALL, ...same }), name)
    const others = GO.filter((other) => other !== name && is13(other) === is13(name))
    t.match(await suiteOf(t, port, { ...tlsProtocol('', others), ...same }), /alert handshake failure/)
    // As Go does: TLS 1.3 stays as it is beside a suite of TLS 1.2, and TLS 1.2 has nothing beside one of TLS 1.3.
    if (is13(name)) t.match(await suiteOf(t, port, { ...ALL, ...TLS12 }), /alert protocol version/)
    else t.equal(await suiteOf(t, port, { ...ALL, ...TLS13 }), 'TLS_AES_128_GCM_SHA256')
  })

  t.test(`a client with ${name} alone offers that and nothing else of its version`, async (t) => {
    const port = await listen(t, { minVersion: 'TLSv1.2', ...ALL })
    const same = is13(name) ? {} : TLS12
    t.equal(await suiteOf(t, port, { ...tlsProtocol('', [name]), ...same }), name)
  })
}

t.test('without names speaks all but those with CBC, and its own order counts', async (t) => {
  const port = await listen(t, tlsProtocol('', []))
  t.equal(await suiteOf(t, port, { ...ALL, ...TLS13 }), 'TLS_AES_128_GCM_SHA256')
  t.equal(await suiteOf(t, port, { ...ALL, ...TLS12 }), 'TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256')
  for (const name of GO) {
    const answer = await suiteOf(t, port, { ...tlsProtocol('', [name]), ...(is13(name) ? TLS13 : TLS12) })
    if (name.endsWith('CBC_SHA')) t.match(answer, /alert handshake failure/, name)
    else t.equal(answer, name)
  }
})

t.test('does not mind the order of the names', async (t) => {
  t.strictSame(tlsProtocol('', GO), tlsProtocol('', GO.toReversed()))
})

t.test('speaks no version older than the least one, whatever the suites', async (t) => {
  const suite = 'TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256'
  for (const [version, suites, speaks12] of [
    ['', [], true],
    ['VersionTLS10', [], true],
    ['VersionTLS12', [suite], true],
    ['VersionTLS13', [], false],
    ['VersionTLS13', [suite], false],
    ['', ['TLS_AES_256_GCM_SHA384'], false],
    ['', [suite, 'TLS_AES_256_GCM_SHA384'], true],
  ] as const) {
    const port = await listen(t, tlsProtocol(version, suites))
    const answer = await suiteOf(t, port, { ...ALL, ...TLS12 })
    t.equal(/^TLS_/.test(answer), speaks12, `${version} ${suites}: ${answer}`)
    t.match(await suiteOf(t, port, { ...ALL, ...TLS13 }), /^TLS_AES/)
    t.match(
      await suiteOf(t, port, { ciphers: 'ALL@SECLEVEL=0', minVersion: 'TLSv1', maxVersion: 'TLSv1.1' }),
      /alert|no protocols/,
    )
  }
})
