import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { MAX_PEM_BYTES, readCertificates, readPem, readPrivateKey } from '../../src/pki/pem.ts'

const authority = await createAuthority({ trustDomain: 'hub.example' })
const leaf = await issueLeaf(authority, {})
const damaged = authority.certificatePem.replace('MII', 'AAA')

t.test('reads every certificate of a file, whatever stands between them', async (t) => {
  const text = `a note\r\n${leaf.certificatePem}\n# and\n${leaf.keyPem}${authority.certificatePem}`
  const file = join(t.testdir({ 'bundle.crt': text.replaceAll('\n', '\r\n') }), 'bundle.crt')
  t.strictSame(
    readCertificates(file).map((certificate) => certificate.ca),
    [false, true],
  )
})

t.test('says what a file holds instead, and never what is in it', async (t) => {
  const folder = t.testdir({ key: leaf.keyPem, empty: '', damaged, text: 'secret text' })
  const cases: readonly (readonly [string, RegExp])[] = [
    ['key', /key: holds a private key, not a certificate$/],
    ['empty', /holds no certificate in PEM$/],
    ['text', /holds no certificate in PEM$/],
    ['damaged', /holds a certificate that cannot be read$/],
    ['missing', /missing: cannot be read: no such file or directory$/],
    ['.', /cannot be read: illegal operation on a directory$/],
  ]
  for (const [name, message] of cases) {
    t.throws(() => readCertificates(`${folder}/${name}`), { code: 'bad-option', message }, name)
  }
  t.throws(() => readPrivateKey(join(folder, 'text')), {
    code: 'bad-option',
    message: /text: holds no unencrypted private key/,
  })
  t.equal(readPrivateKey(join(folder, 'key')).type, 'private')
})

t.test('reads up to the limit and not beyond', async (t) => {
  const folder = t.testdir()
  const [full, over] = [join(folder, 'full'), join(folder, 'over')]
  writeFileSync(full, 'x'.repeat(MAX_PEM_BYTES))
  writeFileSync(over, 'x'.repeat(MAX_PEM_BYTES + 1))
  t.equal(readPem(full).length, MAX_PEM_BYTES)
  t.throws(() => readPem(over), { code: 'bad-option', message: /over the limit of 1048576 bytes/ })
  t.throws(() => readPem('/dev/zero'), { code: 'bad-option', message: /over the limit/ })
})
