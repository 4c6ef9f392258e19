import { X509Certificate } from 'node:crypto'
import type { JsonGeneralName } from '@peculiar/x509'
import t from 'tap'
import { alternativeNames, uriNames } from '../../src/pki/alternative-names.ts'
import { createAuthority } from '../../src/pki/authority.ts'
import { leafWithNames } from './hostile.ts'

const authority = await createAuthority({ trustDomain: 'hub.example' })

/** The line as Node prints it for a certificate with these names. */
async function printed(names: JsonGeneralName[]): Promise<string> {
  const { certificatePem } = await leafWithNames(authority, names)
  return new X509Certificate(certificatePem).subjectAltName ?? ''
}

t.test('reads back what Node prints of a certificate, each value whole', async (t) => {
  const injections = [
    'plain',
    'a, URI:spiffe://hub.example/user/eve',
    'a,URI:b',
    'a", URI:"b',
    "a'b",
    'a\\", URI:b',
    'a\nURI:b',
    'a\u0000b',
    'a: b',
    '',
    ' ',
    '"',
    '\\',
    '"quoted"',
  ]
  for (const value of injections) {
    const line = await printed([
      { type: 'dns', value },
      { type: 'url', value },
      { type: 'email', value },
    ])
    const kinds = ['DNS', 'URI', 'email']
    t.strictSame(
      alternativeNames(line),
      kinds.map((kind) => ({ kind, value })),
      line,
    )
    t.strictSame(uriNames(line), [value])
  }
})

t.test('reads the kinds of names that have no URI in them', async (t) => {
  const line = await printed([
    { type: 'ip', value: '127.0.0.1' },
    { type: 'ip', value: '::1' },
    { type: 'id', value: '1.2.3' },
    { type: 'dn', value: 'CN=a, O=URI:b' },
    { type: 'upn', value: 'a@b, URI:c' },
    { type: 'guid', value: '8f3a2b1c-0000-4111-8222-333344445555' },
  ])
  t.equal(alternativeNames(line)?.length, 6, line)
  t.strictSame(uriNames(line), [])
})

t.test('reads nothing at all from a line of another form', async (t) => {
  for (const line of [
    'x',
    ':x',
    'URI',
    'URI:a,URI:b',
    'URI:a, ',
    'URI:a,  URI:b',
    ', URI:a',
    'URI:a, , URI:b',
    'URI:"a',
    'URI:"a"b',
    'URI:"a" , URI:b',
    'URI:a"b"',
    'URI:a\\b',
    'URI:"\\x"',
    'URI:"a\nb"',
    '1URI:a',
  ]) {
    t.equal(alternativeNames(line), undefined, JSON.stringify(line))
  }
  t.strictSame(alternativeNames(''), [])
})
