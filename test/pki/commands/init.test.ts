import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { init } from '../../../src/pki/commands/init.ts'
import { readAuthority } from '../../../src/pki/store.ts'
import { problemsOf, run } from '../../platform/run-command.ts'

t.test('wants a trust domain, and flags only', async (t) => {
  t.strictSame(await problemsOf(init, 'extra', '--lifetime', '1y'), [
    '--lifetime: expected a lifetime from 1s to 36500d, such as 365d or 24h, got "1y"',
    '"extra": unexpected; init takes flags only',
    '--trust-domain: must be set, for example to hub.example',
  ])
  t.match(await problemsOf(init, '--trust-domain', 'Hub'), [/^--trust-domain: expected a trust domain .*, got "Hub"$/])
  t.strictSame(await problemsOf(init, '--trust-domain='), ['--trust-domain: needs a value <name>'])
})

t.test('makes a CA that the next command finds, and says which that is', async (t) => {
  const folder = join(t.testdir(), 'deep', 'pki')
  const outcome = await run(init, ['--trust-domain', 'hub.example', '--dir', folder, '--lifetime', '1d12h'])
  t.strictSame(outcome, {
    kind: 'done',
    lines: [
      'Made the CA of hub.example, valid for 1d12h.',
      `  ${join(folder, 'ca.crt')}  give it to everybody`,
      `  ${join(folder, 'ca.key')}  keep it secret`,
      `Next: culvert pki issue server hub-0 --dns hub.example --dir ${folder}`,
    ],
  })
  t.equal(readAuthority(folder, undefined).trustDomain, 'hub.example')
})

t.test('says how to replace the CA that is there, and leaves it', async (t) => {
  const folder = t.testdir({ 'ca.key': 'mine' })
  await t.rejects(run(init, ['--trust-domain', 'hub.example', '--dir', folder]), { message: /--force to replace/ })
  t.equal(readFileSync(join(folder, 'ca.key'), 'utf8'), 'mine')
  t.match(await run(init, ['--trust-domain', 'hub.example', '--dir', folder, '--force']), { kind: 'done' })
  t.match(readFileSync(join(folder, 'ca.key'), 'utf8'), /^-----BEGIN PRIVATE KEY-----/)
})
