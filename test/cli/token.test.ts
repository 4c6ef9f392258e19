/** `culvert token` as a user runs it: the real program as a child process. What its commands do: test/pki/token-commands. */
import { existsSync, statSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { readJoinToken } from '../../src/pki/join-token.ts'
import { writePair } from '../../src/pki/store.ts'
import { culvertIn, type Run } from './run-culvert.ts'

const tokenIn =
  (folder: string): Run =>
  (...argv) =>
    culvertIn(folder)('token', ...argv)

t.test('makes, lists and takes back tokens beside the CA of the folder', async (t) => {
  const folder = t.testdir()
  writePair(join(folder, 'pki'), 'ca', await createAuthority({ trustDomain: 'hub.example' }), 'keep')
  const token = tokenIn(folder)
  t.match(await token('list'), { code: 0, stdout: 'There are none.\n' })
  const made = await token('create', '--cluster', 'eu-1', '--name', 'eu-1-a')
  t.match(made, { code: 0, stderr: '' })
  const { id, secret } = readJoinToken(made.stdout)
  t.equal(statSync(join(folder, 'pki/join-tokens')).mode & 0o777, 0o700)
  const listed = await token('list', '-o', 'json')
  t.match(JSON.parse(listed.stdout), [{ id, state: 'unused', cluster: 'eu-1', name: 'eu-1-a' }])
  t.notOk(listed.stdout.includes(secret))
  t.match(await token('revoke', id), { code: 0, stdout: `Revoked: ${id}.\n` })
  t.match(await token('revoke', id), { code: 1, stderr: /there is no such token/ })
})

t.test('explains itself, and what is wrong with a line', async (t) => {
  const folder = t.testdir()
  const token = tokenIn(folder)
  const help = await token('--help')
  t.equal(help.code, 0)
  for (const command of ['create', 'list', 'revoke']) t.match(help.stdout, new RegExp(`^ +${command} `, 'm'))
  t.match(await token('create', '--help'), { code: 0, stdout: /--ttl/ })
  t.match(await token('create', '--ttl', '99d'), { code: 1, stderr: /--ttl: expected a time from 1s to 7d/ })
  t.match(await token('create'), { code: 1, stderr: /pki\/ca\.crt: cannot be read: no such file/ })
  t.match(await token('destroy'), { code: 1, stderr: /destroy/ })
  t.notOk(existsSync(join(folder, 'pki')))
})
