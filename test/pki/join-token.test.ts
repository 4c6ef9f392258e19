import t from 'tap'
import {
  createJoinToken,
  hashOfSecret,
  isSecretOf,
  plainFingerprint,
  readJoinToken,
  writeJoinToken,
} from '../../src/pki/join-token.ts'

const authority = 'ab'.repeat(32)

t.test('is one line that is read back, also with what an editor adds', async (t) => {
  const token = createJoinToken(authority)
  const text = writeJoinToken(token)
  t.match(text, /^culvert-join\.[0-9a-f]{12}\.[A-Za-z0-9_-]{43}\.(ab){32}\.[0-9a-f]{8}$/)
  t.strictSame(readJoinToken(` ${text}\r\n`), token)
  t.not(writeJoinToken(createJoinToken(authority)), text)
})

t.test('is refused when any character of it was changed, and nothing of it is shown', async (t) => {
  const token = createJoinToken(authority)
  const text = writeJoinToken(token)
  for (let at = 0; at < text.length; at++) {
    const changed = text.slice(0, at) + (text[at] === '0' ? '1' : '0') + text.slice(at + 1)
    try {
      readJoinToken(changed)
      t.fail(`character ${at} may be another`)
    } catch (error) {
      t.match(error, { code: 'bad-option' })
      t.notOk(String(error).includes(token.secret.slice(0, 10)))
    }
    t.throws(() => readJoinToken(text.slice(0, at)), { code: 'bad-option' })
  }
  for (const other of ['', `${text}.`, `${text}.00`, text.toUpperCase(), `${text} ${text}`]) {
    t.throws(() => readJoinToken(other), { code: 'bad-option' })
  }
})

t.test('a hub knows a secret by its hash alone', async (t) => {
  const { secret } = createJoinToken(authority)
  t.ok(isSecretOf(secret, hashOfSecret(secret)))
  for (const hash of [hashOfSecret('other'), '', 'x'.repeat(100)]) t.notOk(isSecretOf(secret, hash))
  t.equal(plainFingerprint('AB:0C'), 'ab0c')
})
