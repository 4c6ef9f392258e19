import { join } from 'node:path'
import t from 'tap'
import { createAuthority } from '../../../src/pki/authority.ts'
import { verify } from '../../../src/pki/commands/verify.ts'
import { issueLeaf } from '../../../src/pki/leaf.ts'
import { DAY_MS } from '../../../src/pki/lifetime.ts'
import { problemsOf, run } from '../../platform/run-command.ts'

const NOW = Date.now()
const authority = await createAuthority({ trustDomain: 'hub.example' })
const other = await createAuthority({ trustDomain: 'other.example' })
const leaf = await issueLeaf(authority, { identity: { role: 'user', name: 'alice' }, lifetimeMs: 1.5 * DAY_MS })

t.test('wants one certificate file, and expects nothing that cannot be', async (t) => {
  t.match(await problemsOf(verify, '--role', 'admin', '--name', 'a/b', '--cluster', ''), [
    /^--role: expected one of agent, apiserver, user, server, got "admin"$/,
    /^--name: expected a name, got "a\/b"$/,
    /^--cluster: needs a value <id>$/,
    /^name the certificate file to verify$/,
  ])
  t.match(await problemsOf(verify, 'a', 'b'), ['"b": unexpected; verify takes one file'])
})

t.test('finds the key beside the certificate, whatever the ending of that', async (t) => {
  for (const [name, key] of [
    ['a.crt', 'a.key'],
    ['a.pem', 'a.key'],
    ['a', 'a.key'],
    ['eu-1.a.crt', 'eu-1.a.key'],
  ] as const) {
    const folder = t.testdir({ 'ca.crt': authority.certificatePem, [name]: leaf.certificatePem, [key]: leaf.keyPem })
    t.match(
      await run(verify, [join(folder, name)], NOW),
      {
        kind: 'done',
        lines: [`${join(folder, name)}: good: user alice in hub.example, 1 days left, key ${join(folder, key)} `],
      },
      name,
    )
  }
})

t.test('takes no file for a key that is none, and none of another name', async (t) => {
  const folder = t.testdir({
    'ca.crt': authority.certificatePem,
    'a.crt': leaf.certificatePem,
    'a.key': 'no key',
    'b.crt': leaf.certificatePem,
  })
  await t.rejects(run(verify, [join(folder, 'a.crt')], NOW), { code: 'bad-option', message: /a\.key: / })
  t.match(await run(verify, [join(folder, 'b.crt')], NOW), { kind: 'done', lines: [/, no key checked$/] })
})

t.test('takes any CA of a bundle, and the trust domain of the first', async (t) => {
  const both = other.certificatePem + authority.certificatePem
  const folder = t.testdir({ 'ca.crt': both, 'a.crt': leaf.certificatePem })
  const file = join(folder, 'a.crt')
  t.match(await run(verify, [file, '--role', 'user', '--trust-domain', 'hub.example'], NOW), { kind: 'done' })
  const warnings = [`${file}: expected the role user, found none`]
  t.match(await run(verify, [file, '--role', 'user'], NOW), { kind: 'failed', warnings })
})

t.test('is failed from the moment at which it ends', async (t) => {
  const folder = t.testdir({ 'ca.crt': authority.certificatePem, 'a.crt': leaf.certificatePem })
  t.match(await run(verify, [join(folder, 'a.crt')], NOW + DAY_MS), { kind: 'done' })
  t.match(await run(verify, [join(folder, 'a.crt')], NOW + 3 * DAY_MS), {
    kind: 'failed',
    lines: [],
    warnings: [/expired|ended/],
  })
})
