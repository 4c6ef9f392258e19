/**
 * What strangers write of certificates, damaged: join tokens, requests, lists, new certificates. Each is read or refused by the
 * one error that is meant for it, and nothing that is signed is believed once a byte of it has changed. A failing round prints
 * its seed; CULVERT_FUZZ_SEED and CULVERT_FUZZ_ROUNDS replay or prolong.
 */
import { Buffer } from 'node:buffer'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { isSignedBy, readCrls } from '../../src/pki/crl.ts'
import { readAnswer, readAuthorities, readRequest, writeRequest } from '../../src/pki/enrolment-wire.ts'
import { createJoinToken, readJoinToken, writeJoinToken } from '../../src/pki/join-token.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { readNewCertificate, writeNewCertificate } from '../../src/pki/new-certificate.ts'
import { updateList } from '../../src/pki/revocation-list.ts'
import { createSigningRequest, readSigningRequest } from '../../src/pki/signing-request.ts'
import { TunnelError } from '../../src/platform/errors.ts'
import { createRandom, type Random } from '../platform/random.ts'

const ROUNDS = Number(process.env.CULVERT_FUZZ_ROUNDS ?? 2_000)
const SEED = Number(process.env.CULVERT_FUZZ_SEED ?? 1)

const authority = await createAuthority({ trustDomain: 'hub.example' })
const { publicKey } = new X509Certificate(authority.certificatePem)
const folder = t.testdir()
const serials = ['01', 'ff', 'abcdef0123456789']
await updateList(folder, authority, { serials, lifetimeMs: 3_600_000, nowUnixMs: Date.now() })
const derOf = (pem: string): Buffer => Buffer.from(pem.replace(/-----[^-]+-----/g, ''), 'base64')
const list = derOf(readFileSync(join(folder, 'crl.pem'), 'utf8'))
const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const request = createSigningRequest(privateKey)
const leaf = await issueLeaf(authority, { identity: { role: 'user', name: 'a' } })

/** Bytes changed, cut out or put in. */
function damage(bytes: Buffer, random: Random): Buffer {
  let damaged = Buffer.from(bytes)
  for (let count = 1 + random.below(3); count > 0; count--) {
    const at = random.below(damaged.length + 1)
    const dropped = random.below(4)
    const put = Buffer.from(Array.from({ length: random.below(4) }, () => random.below(256)))
    damaged = Buffer.concat([damaged.subarray(0, at), put, damaged.subarray(at + dropped)])
  }
  return damaged
}

/** @param believes whether what was read of damaged bytes would be believed */
function fuzz(name: string, whole: Buffer, codes: readonly string[], believes: (bytes: Buffer) => boolean): void {
  t.test(name, async (t) => {
    for (let seed = SEED; seed < SEED + ROUNDS; seed++) {
      const bytes = damage(whole, createRandom(seed))
      if (bytes.equals(whole)) continue
      try {
        if (believes(bytes)) t.fail(`seed ${seed}: believed`, { bytes: bytes.toString('hex') })
      } catch (error) {
        if (!(error instanceof TunnelError) || !codes.includes(error.code)) t.fail(`seed ${seed}: ${error}`)
      }
    }
    t.pass(`${ROUNDS} rounds`)
  })
}

const token = createJoinToken('ab'.repeat(32))
const text = (bytes: Buffer): string => bytes.toString('latin1')

fuzz('a join token', Buffer.from(writeJoinToken(token)), ['bad-option'], (bytes) => {
  const read = readJoinToken(text(bytes))
  return JSON.stringify(read) !== JSON.stringify(token) // blanks around it are no damage
})

fuzz('a request for a certificate', Buffer.from(writeRequest({ kind: 'join', ...token, request })), [], (bytes) => {
  const line = text(bytes)
  readAnswer(line)
  readAuthorities(line)
  const read = readRequest(line)
  return read?.kind === 'join' && (!/^[a-z0-9]{12}$/.test(read.id) || read.secret.length !== 43)
})

fuzz('a certificate signing request', derOf(request), ['malformed'], (bytes) => {
  readSigningRequest(
    `-----BEGIN CERTIFICATE REQUEST-----\n${bytes.toString('base64')}\n-----END CERTIFICATE REQUEST-----`,
  )
  return true
})

fuzz('a revocation list', list, ['bad-option'], (bytes) => readCrls(bytes).some((crl) => isSignedBy(crl, publicKey)))

fuzz('a new certificate', derOf(leaf.certificatePem), [], (bytes) => {
  const pem = `-----BEGIN CERTIFICATE-----\n${bytes.toString('base64')}\n-----END CERTIFICATE-----\n`
  const read = readNewCertificate(writeNewCertificate(pem, Buffer.alloc(70)))
  readNewCertificate(text(bytes))
  return read?.leaf.verify(publicKey) === true
})
