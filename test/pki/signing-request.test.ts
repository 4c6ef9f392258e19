import { execFileSync } from 'node:child_process'
import { createPublicKey, generateKeyPairSync } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createSigningRequest, MAX_REQUEST_BYTES, readSigningRequest } from '../../src/pki/signing-request.ts'

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const request = createSigningRequest(privateKey)
const der = (pem: string): Buffer => Buffer.from(pem.replace(/-----[^-]+-----/g, ''), 'base64')
const pem = (bytes: Buffer): string =>
  `-----BEGIN CERTIFICATE REQUEST-----\n${bytes.toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`

t.test('is read back, and OpenSSL agrees, whoever made it', async (t) => {
  t.ok(readSigningRequest(request).equals(publicKey))
  const folder = t.testdir({ 'ours.csr': request, 'req.cnf': '[req]\ndistinguished_name=dn\n[dn]\n' })
  const file = (name: string) => join(folder, name)
  execFileSync('openssl', ['req', '-verify', '-noout', '-config', file('req.cnf'), '-in', file('ours.csr')], {
    stdio: 'pipe',
  })
  const made = [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:P-256',
    '-nodes',
    '-subj',
    '/CN=x',
    '-addext',
    'subjectAltName=DNS:y',
  ]
  execFileSync('openssl', ['req', '-config', file('req.cnf'), ...made, '-keyout', file('key'), '-out', file('csr')], {
    stdio: 'pipe',
  })
  t.ok(readSigningRequest(readFileSync(file('csr'), 'utf8')).equals(createPublicKey(readFileSync(file('key')))))
  for (const other of [['ec', '-pkeyopt', 'ec_paramgen_curve:P-384'], ['rsa:2048'], ['ed25519']]) {
    const args = ['-newkey', ...other, '-nodes', '-subj', '/CN=x', '-keyout', file('k'), '-out', file('c')]
    execFileSync('openssl', ['req', '-config', file('req.cnf'), ...args], { stdio: 'pipe' })
    t.throws(() => readSigningRequest(readFileSync(file('c'), 'utf8')), { code: 'malformed' }, other.join(' '))
  }
  writeFileSync(file('c'), '')
})

t.test('is refused with a damaged byte, cut, too long, or in another form', async (t) => {
  const good = der(request)
  for (let at = 0; at < good.length; at++) {
    const bad = Buffer.from(good)
    bad[at]! ^= 1
    t.throws(() => readSigningRequest(pem(bad)), { code: 'malformed' }, `byte ${at}`)
    t.throws(() => readSigningRequest(pem(good.subarray(0, at))), { code: 'malformed' }, `cut at ${at}`)
  }
  for (const text of ['', 'hello', request + request, request + ' '.repeat(MAX_REQUEST_BYTES)]) {
    t.throws(() => readSigningRequest(text), { code: 'malformed', message: /no certificate request in PEM/ })
  }
})

t.test('cannot be signed by another key than its own', async (t) => {
  const other = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const spki = (key: typeof publicKey) => key.export({ type: 'spki', format: 'der' })
  const at = der(request).indexOf(spki(publicKey))
  const swapped = Buffer.from(der(request))
  spki(other.publicKey).copy(swapped, at)
  t.throws(() => readSigningRequest(pem(swapped)), { message: /its signature is not of its own key/ })
})
