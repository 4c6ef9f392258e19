import { X509Certificate } from 'node:crypto'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAuthority } from '../../../src/pki/authority.ts'
import { issue } from '../../../src/pki/commands/issue.ts'
import { DAY_MS } from '../../../src/pki/lifetime.ts'
import { writePair } from '../../../src/pki/store.ts'
import { problemsOf, run } from '../../platform/run-command.ts'

/** Of no whole second: a certificate has none of the rest. */
const NOW = Date.UTC(2030, 0, 2, 3, 4, 5, 678)
const authority = await createAuthority({ trustDomain: 'hub.example', lifetimeMs: 2 * DAY_MS, nowUnixMs: NOW })

function authorityIn(t: Test): string {
  const folder = t.testdir()
  writePair(folder, 'ca', authority, 'keep')
  return folder
}

t.test('wants a role, a name, and flags that have an effect on it', async (t) => {
  t.strictSame(await problemsOf(issue), ['say for whom: one of agent, apiserver, user, server, and a name'])
  t.match(await problemsOf(issue, 'admin', 'x'), [/^"admin": unknown role: expected one of agent, /])
  t.strictSame(await problemsOf(issue, 'agent'), ['give the name of the agent: culvert pki issue agent <name>'])
  t.match(await problemsOf(issue, 'agent', '..'), [/^"\.\.": expected a name/])
  t.match(await problemsOf(issue, 'user', 'ca'), [/^"ca": is the name of the CA's own files/])
  t.match(await problemsOf(issue, 'apiserver', 'CA'), [/^"CA": is the name of the CA's own files/])
  t.match(await problemsOf(issue, 'user', 'a', '--cluster', 'c'), [/^--cluster: a user belongs to no cluster/])
  t.match(await problemsOf(issue, 'server', 's'), [/^--dns or --ip: must be set for a server/])
  t.match(await problemsOf(issue, 'server', 'a/b', 'c', '--cluster', 'X', '--ip', 'hub.example', '--dns', 'a b'), [
    /^--cluster: expected a cluster id that is a DNS label such as default or eu-1, got "X"$/,
    /^--ip: expected an IP address .*, got "hub\.example"$/,
    /^--dns: expected a DNS name .*, got "a b"$/,
    /^"c": unexpected; issue takes a role and a name$/,
    /^"a\/b": expected a name of 1 to 253 letters/,
    /^--cluster: a server belongs to no cluster: leave it out$/,
  ])
})

t.test('takes a name of the longest length, and says when its files cannot have it', async (t) => {
  const folder = authorityIn(t)
  t.match(await problemsOf(issue, 'user', 'a'.repeat(254)), [/^"a+": expected a name of 1 to 253 letters/])
  const argv = (length: number) => ['user', 'a'.repeat(length), '--dir', folder, '--lifetime', '1d']
  t.match(await run(issue, argv(200), NOW), { kind: 'done' })
  const before = readdirSync(folder)
  await t.rejects(run(issue, argv(253), NOW), { code: 'bad-option', message: /: cannot be written to: name too long$/ })
  t.strictSame(readdirSync(folder), before)
})

t.test('warns of a lifetime that is cut, and of none that ends with the CA to the second', async (t) => {
  const folder = authorityIn(t)
  const issued = async (name: string, lifetime: string) => {
    const outcome = await run(issue, ['user', name, '--dir', folder, '--lifetime', lifetime], NOW)
    const { validToDate } = new X509Certificate(readFileSync(join(folder, `${name}.crt`)))
    return { outcome, end: validToDate.toISOString() }
  }
  const end = '2030-01-04T03:04:05.000Z'
  t.match(await issued('whole', '2d'), { outcome: { kind: 'done', warnings: [] }, end })
  const warnings = [`the lifetime is cut to the end of the CA, ${end}`]
  t.match(await issued('cut', '48h0m1s'), { outcome: { kind: 'done', warnings }, end })
})

t.test('names a role, and the files where they are', async (t) => {
  const folder = authorityIn(t)
  const out = join(folder, 'out')
  const argv = ['apiserver', '--cluster', 'eu-1', '--dir', folder, '--out', out, '--lifetime', '1d']
  t.strictSame(await run(issue, argv, NOW), {
    kind: 'done',
    lines: [
      'Issued apiserver of cluster eu-1 in hub.example, valid until 2030-01-03.',
      `  ${join(out, 'apiserver.crt')}`,
      `  ${join(out, 'apiserver.key')}  keep it secret`,
      `  ${join(out, 'ca.crt')}`,
    ],
    warnings: [],
  })
})

t.test('writes nothing where the CA cannot issue it', async (t) => {
  const folder = authorityIn(t)
  const out = join(folder, 'out')
  await t.rejects(run(issue, ['user', 'a', '--dir', folder, '--out', out], NOW + 3 * DAY_MS), { code: 'bad-option' })
  t.notOk(existsSync(out))
  const elsewhere = ['user', 'a', '--dir', folder, '--out', out, '--trust-domain', 'other.example']
  await t.rejects(run(issue, elsewhere, NOW), { code: 'bad-option', message: /hub\.example/ })
  t.strictSame(readdirSync(folder).sort(), ['ca.crt', 'ca.key'])
})
