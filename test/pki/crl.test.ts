import { execFileSync } from 'node:child_process'
import { createPrivateKey, createPublicKey, sign, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import t from 'tap'
import { namesOf } from '../../src/pki/chain.ts'
import { isSignedBy, readCrls } from '../../src/pki/crl.ts'
import { type KeyKind, openSslCa } from '../integration/openssl.ts'

const der = (pem: string): Buffer => Buffer.from(pem.replace(/-----[^-]+-----/g, ''), 'base64')
const read = (text: string | Buffer) => readCrls(Buffer.from(text))
const wrap = (tag: number, ...parts: readonly Buffer[]): Buffer => {
  const content = Buffer.concat(parts)
  const length = content.length
  const size = length < 0x80 ? [length] : length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from([tag, ...size]), content])
}
const hex = (text: string): Buffer => Buffer.from(text.replaceAll(' ', ''), 'hex')

/** As OpenSSL reads them: it asks for the time twice, so that between the two there may be a second more than was wanted. */
function updatesOf(pem: string): number[] {
  const args = ['crl', '-noout', '-lastupdate', '-nextupdate']
  const told = execFileSync('openssl', args, { input: pem, encoding: 'utf8' })
  return [...told.matchAll(/Update=(.*)$/gm)].map(([, time = '']) => Date.parse(time))
}

for (const kind of ['ec', 'rsa', 'ed25519'] satisfies KeyKind[]) {
  t.test(`reads what OpenSSL has signed with ${kind}, empty and with entries`, async (t) => {
    const ca = openSslCa(t, 'root', kind)
    const authority = new X509Certificate(readFileSync(ca.certFile))
    const before = Math.floor(Date.now() / 1000) * 1000
    const list = ca.list(60)
    const [empty] = read(list)
    t.equal(empty?.serials.size, 0)
    t.ok((empty?.thisUpdateUnixMs ?? 0) >= before - 1000)
    t.strictSame([empty?.thisUpdateUnixMs, empty?.nextUpdateUnixMs], updatesOf(list))
    t.equal(empty?.issuer, namesOf(authority).subject)
    const [one, two, other] = ['one', 'two', 'other'].map((name) => ca.issue(name, 'DNS:x'))
    ca.revoke(one!)
    ca.revoke(two!)
    const pem = ca.list()
    const [crl] = read(pem)
    const revoked = [one!, two!].map(({ cert }) => namesOf(new X509Certificate(cert)).serial)
    t.strictSame([...(crl?.serials ?? [])].toSorted(), revoked.toSorted())
    t.notOk(crl?.serials.has(namesOf(new X509Certificate(other!.cert)).serial))
    t.ok(isSignedBy(crl!, authority.publicKey))
    const stranger = new X509Certificate(readFileSync(openSslCa(t, 'root', 'ec').certFile)).publicKey
    t.notOk(isSignedBy(crl!, stranger), 'a key of the same or of another kind')
    t.strictSame(read(der(pem)), [crl], 'the same in DER')
    t.equal(read(`text\n${pem}between\n${ca.list()}`).length, 2)
  })
}

t.test('never believes a list with a damaged byte, and says so or throws its own error', async (t) => {
  const ca = openSslCa(t)
  ca.revoke(ca.issue('one', 'DNS:x'))
  const good = der(ca.list())
  const key = new X509Certificate(readFileSync(ca.certFile)).publicKey
  for (let at = 0; at < good.length; at++) {
    for (const flip of [0x01, 0x80]) {
      const bad = Buffer.from(good)
      bad[at]! ^= flip
      try {
        const [crl] = readCrls(bad)
        if (isSignedBy(crl!, key)) t.fail(`byte ${at} may be ${bad[at]}`)
      } catch (error) {
        t.match(error, { code: 'bad-option' }, `byte ${at}`)
      }
    }
    t.throws(() => readCrls(good.subarray(0, at)), { code: 'bad-option' }, `cut at ${at}`)
  }
})

t.test('refuses what is no list, or means another thing than one', async (t) => {
  t.throws(() => read(''), { code: 'bad-option', message: /holds no revocation list, neither in PEM nor in DER/ })
  t.throws(() => read('-----BEGIN X509 CRL-----\nAAAA\n-----END X509 CRL-----'), { message: /list, number 1: / })
  const ca = openSslCa(t, 'root', 'ed25519')
  const key = createPrivateKey(readFileSync(ca.keyFile))
  const [plain] = read(ca.list())
  const algorithm = wrap(0x30, hex('06 03 2b 65 70'))
  const time = wrap(0x17, Buffer.from('260101000000Z'))
  const list = (
    extensions: readonly Buffer[],
    entry?: readonly Buffer[],
    named = algorithm,
    more = hex(''),
  ): Buffer => {
    const entries = entry ? [wrap(0x30, wrap(0x30, hex('02 01 05'), time, wrap(0x30, ...entry)))] : []
    const tail = extensions.length > 0 ? [wrap(0xa0, wrap(0x30, ...extensions))] : []
    const signed = wrap(0x30, hex('02 01 01'), algorithm, hex(plain!.issuer), time, ...entries, ...tail, more)
    return wrap(0x30, signed, named, wrap(0x03, hex('00'), sign(undefined, signed, key)))
  }
  const extension = (id: string, value: string, critical = true): Buffer =>
    wrap(0x30, wrap(0x06, hex(id)), ...(critical ? [hex('01 01 ff')] : []), wrap(0x04, hex(value)))
  const [made] = read(list([extension('55 1d 14', '02 01 01', false)], [extension('55 1d 15', '0a 01 01', false)]))
  t.strictSame([...made!.serials], ['05'])
  t.equal(made!.nextUpdateUnixMs, undefined)
  t.ok(isSignedBy(made!, createPublicKey(key)))
  t.equal(read(list([extension('55 1d 1c', '30 03 81 01 ff')])).length, 1, 'a list of a part')
  for (const [what, bytes, message] of [
    ['delta', list([extension('55 1d 1b', '02 01 01')]), /it is a delta list/],
    ['a delta that is not critical', list([extension('55 1d 1b', '02 01 01', false)]), /it is a delta list/],
    ['indirect', list([extension('55 1d 1c', '30 03 84 01 ff')]), /it is an indirect list/],
    ['an entry for another CA', list([], [extension('55 1d 1d', '30 00')]), /it is an indirect list/],
    ['unknown and critical', list([extension('2a 03', '30 00')]), /a critical extension that is not known/],
    ['a field too many', list([], undefined, algorithm, hex('02 01 01')), /fields that nobody knows/],
    ['two algorithms', list([], undefined, wrap(0x30, hex('06 03 2b 65 71'))), /two algorithms/],
  ] as const) {
    t.throws(() => readCrls(bytes), { code: 'bad-option', message }, what)
  }
  const sha1 = wrap(0x30, hex('06 07 2a 86 48 ce 3d 04 01'))
  const old = wrap(0x30, wrap(0x30, sha1, hex(plain!.issuer), time), sha1, hex('03 02 00 00'))
  t.throws(() => readCrls(old), { message: /signed in a way that is not supported/ })
})
