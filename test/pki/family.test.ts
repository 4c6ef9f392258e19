import { execFileSync } from 'node:child_process'
import { generateKeyPairSync, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { revoke } from '../../src/pki/commands/revoke.ts'
import { readCrls } from '../../src/pki/crl.ts'
import { FAMILY_OID, familyOf, statedFamily } from '../../src/pki/family.ts'
import { issueLeafFor } from '../../src/pki/leaf.ts'
import { plainSerial } from '../../src/pki/revocation-list.ts'
import { createRevocations } from '../../src/pki/revocations.ts'
import { writePair } from '../../src/pki/store.ts'
import { openSslCa } from '../integration/openssl.ts'
import { run } from '../platform/run-command.ts'

const authority = await createAuthority({ trustDomain: 'hub.example' })
const ca = new X509Certificate(authority.certificatePem)
const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const identity = { role: 'agent', cluster: 'eu-1', name: 'a1' } as const
const issue = async (before?: X509Certificate): Promise<X509Certificate> => {
  const request = { identity, ...(before && { family: familyOf(before) }) }
  return new X509Certificate(await issueLeafFor(authority, request, publicKey))
}

t.test('a family is named by the serial number of its first, through all renewals', async (t) => {
  const first = await issue()
  const second = await issue(first)
  const third = await issue(second)
  t.equal(statedFamily(first), undefined)
  t.equal(plainSerial(familyOf(first)), plainSerial(first.serialNumber))
  t.equal(statedFamily(second), familyOf(first))
  t.equal(statedFamily(third), familyOf(first))
  const text = execFileSync('openssl', ['x509', '-noout', '-text'], { input: third.toString() }).toString()
  t.match(text, new RegExp(`${FAMILY_OID.replaceAll('.', '\\.')}: *\n`), 'not critical')
})

t.test('a number that others may have as well names no family', async (t) => {
  const short = await issueLeafFor(authority, { identity, family: '01020304050607' }, publicKey)
  t.equal(statedFamily(new X509Certificate(short)), undefined)
  const root = openSslCa(t)
  const der = Buffer.from(new X509Certificate(readFileSync(root.issue('leaf', 'DNS:x').certFile)).raw)
  t.match(familyOf(new X509Certificate(der)), /^[0-9a-f]{38,42}$/)
  const raw = Buffer.from('300f300d02010130003000300030003000', 'hex') // the first of a CA that counts from 1
  const small = { raw, fingerprint256: Array(32).fill('AB').join(':') }
  t.equal(familyOf(small as unknown as X509Certificate), `40${'ab'.repeat(15)}`)
})

t.test('whichever of a family is revoked, all are; others are not', async (t) => {
  for (const which of [0, 1, 2]) {
    const first = await issue()
    const [second, stolen, other] = [await issue(first), await issue(first), await issue()]
    const folder = t.testdir()
    writePair(folder, 'ca', authority, 'replace')
    const pair = { certificatePem: [first, second, stolen][which]!.toString(), keyPem: '' }
    const { certificateFile } = writePair(folder, 'one', pair, 'replace')
    t.match(await run(revoke, [certificateFile, '--dir', folder]), { kind: 'done' })
    const loaded = createRevocations(readCrls(readFileSync(join(folder, 'crl.pem'))), [ca])
    if (!loaded.ok) throw new Error(loaded.problem)
    const { find } = loaded.revocations
    t.strictSame(
      [first, second, stolen, other].map((leaf) => find([leaf, ca]) !== undefined),
      [true, true, true, false],
      String(which),
    )
  }
})
