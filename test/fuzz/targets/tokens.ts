/**
 * Tokens: join tokens, what a hub keeps of them, the line in which an agent shows one, files with a bearer token, and the header that
 * carries it. One text is read as each of them; nothing that is refused is repeated in the error.
 */
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { bearerToken } from '../../../src/kubernetes/core/token-review.ts'
import { readRequest, writeRequest } from '../../../src/pki/enrolment-wire.ts'
import { isClusterId, isIdentityName } from '../../../src/pki/identity.ts'
import { hashOfSecret, readJoinToken, writeJoinToken } from '../../../src/pki/join-token.ts'
import { findToken, listTokens } from '../../../src/pki/token-store.ts'
import { TunnelError } from '../../../src/platform/errors.ts'
import { readTokenFile } from '../../../src/platform/secret-file.ts'
import { showsToken } from '../../../src/proxy-server/admin-token.ts'
import { latin1, mutated } from '../mutate.ts'
import { hold, type Target } from '../target.ts'

/** That of the corpus, whose hash is in its stored tokens. */
const SECRET = 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ'
const ID = 'abcdef012345'
const NOW = Date.UTC(2030, 0, 1)
/** A round with files takes as long as ten without. */
const PERCENT_WITH_FILES = 20
const pieces = [
  ...latin1(
    'culvert-join',
    '.',
    '..',
    ID,
    SECRET,
    'ab'.repeat(32),
    ' ',
    '\n',
    '\r\n',
    '\t',
    '\0',
    '\xff',
    '-',
    '_',
    '=',
    'Bearer ',
    'bearer ',
  ),
  ...latin1(
    '{',
    '}',
    '"',
    ':',
    ',',
    'null',
    '[]',
    '"join"',
    '"renew":true',
    '"id"',
    '"secret"',
    '"request"',
    '"sha256"',
    '"__proto__":{}',
  ),
  ...latin1(
    '"cluster":"eu-1"',
    '"name":"a"',
    '"expires":"2030-01-01T00:15:00.000Z"',
    '9999-12-31',
    hashOfSecret(SECRET),
  ),
]
const folder = mkdtempSync(join(tmpdir(), 'culvert-fuzz-'))
process.once('exit', () => rmSync(folder, { recursive: true, force: true }))

export const tokens: Target = {
  name: 'tokens',
  ending: 'txt',
  covers: ['pki/join-token', 'pki/token-store', 'pki/enrolment-wire', 'platform/secret-file', 'platform/metadata-text']
    .concat('proxy-server/admin-token', 'kubernetes/core/token-review')
    .map((file) => `src/${file}.ts`),
  maxMs: 100,
  kinds: ['a join token', 'a request', 'a stored token', 'a bearer token', 'nothing'],

  make(random, corpus) {
    const begun = random.pick(corpus)
    const text = mutated(random, begun, corpus, pieces, random.below(4))
    return random.chance(50) ? withCheck(text) : text
  },

  check(bytes) {
    const text = bytes.toString()
    const stored = crc32(bytes) % 100 < PERCENT_WITH_FILES ? checkFiles(bytes, text) : undefined
    if (checkJoinToken(text)) return 'a join token'
    if (checkRequest(text)) return 'a request'
    return stored ?? (checkHeader(text) ? 'a bearer token' : 'nothing')
  },
}

/** Of most changed join tokens the check is wrong, and nothing behind it would be reached. */
function withCheck(bytes: Buffer): Buffer {
  const text = bytes.toString('latin1')
  const end = text.lastIndexOf('.')
  if (end < 0 || !text.startsWith('culvert-join.')) return bytes
  const check = createHash('sha256').update(text.slice(0, end), 'latin1').digest('hex').slice(0, 8)
  return Buffer.from(`${text.slice(0, end)}.${check}`, 'latin1')
}

/** The same with the blanks that an editor adds; whatever is read, is written as it was. */
function checkJoinToken(text: string): boolean {
  const token = orRefused(() => readJoinToken(text), text)
  const again = orRefused(() => readJoinToken(` ${text}\r\n`), text)
  hold(JSON.stringify(again) === JSON.stringify(token), () => 'another one with blanks around it')
  if (token === undefined) return false
  hold(writeJoinToken(token) === text.trim(), () => 'written as another')
  const [, id = '', secret = '', authority = ''] = text.trim().split('.')
  const isWhole = id.length === 12 && secret.length === 43 && authority.length === 64
  hold(isWhole && token.id === id && token.secret === secret, () => `read as another: ${JSON.stringify(token)}`)
  return true
}

function checkRequest(text: string): boolean {
  const request = readRequest(text)
  if (request === undefined) return false
  const again = readRequest(writeRequest(request))
  hold(JSON.stringify(again) === JSON.stringify(request), () => 'written as another')
  const given = JSON.parse(text) as { readonly join?: { readonly id?: unknown; readonly secret?: unknown } }
  if (request.kind === 'join') {
    hold(given.join?.id === request.id && given.join.secret === request.secret, () => 'a token that is not there')
    hold(
      /^[a-z0-9]{12}$/.test(request.id) && request.secret.length === 43,
      () => `a token of another form: ${request.id}`,
    )
  }
  return true
}

/** As the agent port finds it, and as the admin port compares it. */
function checkHeader(text: string): boolean {
  const found = bearerToken([text])
  if ('token' in found)
    hold(text === `Bearer ${found.token}` && found.token !== '', () => `another token: ${found.token}`)
  else hold(found.text.length < 100 && !found.text.includes(SECRET), () => 'the refusal shows what was sent')
  hold(!('token' in bearerToken([text, text])) && !('token' in bearerToken([])), () => 'a token of two, or of none')
  return 'token' in found
}

/** The text as a file: of a bearer token, and of what a hub keeps of a join token. */
function checkFiles(bytes: Buffer, text: string): 'a stored token' | undefined {
  const path = join(folder, `${ID}.json`)
  writeFileSync(path, bytes)
  const token = orRefused(() => readTokenFile(path), text)
  if (token !== undefined) {
    hold(/^[!-~](?:[ -~]*[!-~])?$/.test(token) && text.trim() === token, () => 'a token that no header can carry')
    const isAdmitted = showsToken(`Bearer ${token}`, path)
    hold(isAdmitted === (token.length >= 16 && !token.includes(' ')), () => 'the admin port compares another')
  }
  hold(!showsToken(`Bearer ${token}x`, path) && !showsToken(undefined, path), () => 'somebody else is let in')
  const found = findToken(folder, ID, SECRET, NOW)
  hold(findToken(folder, ID, `${SECRET.slice(1)}x`, NOW).kind === 'unknown', () => 'found by another secret')
  const listed = listTokens(folder, NOW)
  if (found.kind !== 'good') return undefined
  hold(JSON.stringify(listed) === JSON.stringify([found.token]), () => 'good, and not listed')
  const { cluster, name, expiresUnixMs } = found.token
  const isGood = isClusterId(cluster) && isIdentityName(name) && expiresUnixMs > NOW
  hold(isGood && text.includes(hashOfSecret(SECRET)), () => `lets in ${JSON.stringify(found.token)}`)
  return 'a stored token'
}

/** Refused by the one error that is meant for it, which shows nothing of it. */
function orRefused<T>(read: () => T, text: string): T | undefined {
  try {
    return read()
  } catch (error) {
    hold(error instanceof TunnelError && error.code === 'bad-option', () => `refused otherwise: ${error}`)
    const shown = text.split(/[\s.]+/).find((part) => part.length > 20 && error.message.includes(part))
    hold(shown === undefined, () => `the refusal shows ${shown}`)
    return undefined
  }
}
