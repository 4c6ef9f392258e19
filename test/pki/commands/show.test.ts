import { join } from 'node:path'
import t from 'tap'
import { createAuthority } from '../../../src/pki/authority.ts'
import { show } from '../../../src/pki/commands/show.ts'
import { issueLeaf } from '../../../src/pki/leaf.ts'
import { problemsOf, run } from '../../platform/run-command.ts'

const authority = await createAuthority({ trustDomain: 'hub.example' })
const leaf = await issueLeaf(authority, { identity: { role: 'user', name: 'alice' } })

t.test('wants certificate files, and a format that it has', async (t) => {
  t.match(await problemsOf(show, '-o', 'xml'), [
    /^-o: expected text or json, got "xml"$/,
    /^name the certificate files/,
  ])
})

t.test('shows every certificate of a file, each below the name of the file', async (t) => {
  const file = join(t.testdir({ 'bundle.pem': leaf.certificatePem + authority.certificatePem }), 'bundle.pem')
  const outcome = await run(show, [file])
  const lines = outcome.kind === 'refused' ? [] : outcome.lines
  t.strictSame([lines.filter((line) => line === file).length, lines.filter((line) => line === '').length], [2, 1])
  t.match(
    lines.filter((line) => line.includes('  role')),
    [/user alice in hub\.example$/, /CA of hub\.example$/],
  )
})

t.test('reads no role from the URI of another trust domain', async (t) => {
  const file = join(t.testdir({ 'a.crt': leaf.certificatePem }), 'a.crt')
  const roles = async (...flags: string[]) => {
    const outcome = await run(show, [file, '-o', 'json', ...flags])
    return outcome.kind === 'refused'
      ? []
      : JSON.parse(outcome.lines.join('\n')).map(({ role }: { role: string }) => role)
  }
  t.strictSame(await roles('--trust-domain', 'hub.example'), ['user'])
  t.strictSame(await roles('--trust-domain', 'other.example'), ['none'])
})

t.test('is still JSON where no file can be read, and says why', async (t) => {
  const folder = t.testdir({
    empty: '',
    key: leaf.keyPem,
    broken: '-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n',
  })
  const files = ['empty', 'key', 'broken', 'missing'].map((name) => join(folder, name))
  const outcome = await run(show, [...files, '-o', 'json'])
  t.match(outcome, { kind: 'failed', lines: ['[]'] })
  t.strictSame(
    outcome.kind === 'failed' && outcome.warnings?.map((text, index) => text.startsWith(`${files[index]}: `)),
    [true, true, true, true],
  )
})
