/** Several tokens at once. Of one: commands.test.ts. */
import t from 'tap'
import { createJoinToken } from '../../../src/pki/join-token.ts'
import { revoke } from '../../../src/pki/token-commands/revoke.ts'
import { listTokens, storeToken, useToken } from '../../../src/pki/token-store.ts'
import { problemsOf, run } from '../../platform/run-command.ts'

const NOW = Date.UTC(2030, 0, 1)

function made(folder: string): string {
  const token = createJoinToken('00'.repeat(32))
  storeToken(folder, token, { cluster: 'eu-1', name: 'a1', createdUnixMs: NOW, expiresUnixMs: NOW + 60_000 })
  return token.id
}

t.test('takes back each that there is, and says which there is not', async (t) => {
  const folder = t.testdir()
  const [one, two, used] = [made(folder), made(folder), made(folder)]
  useToken(folder, used, { key: 'ab'.repeat(32), family: '01', usedUnixMs: NOW })
  const why = 'there is no such token, or it has been used'
  t.strictSame(await run(revoke, [one, 'f'.repeat(12), used, two, '--tokens', folder], NOW), {
    kind: 'failed',
    lines: [`Revoked: ${one}.`, `Revoked: ${two}.`],
    warnings: [`${'f'.repeat(12)}: ${why}`, `${used}: ${why}`],
  })
  t.match(listTokens(folder, NOW), [{ id: used, state: 'used' }], 'who has joined by it is still known')
})

t.test('takes none back where one of the words is no id', async (t) => {
  const folder = t.testdir()
  const id = made(folder)
  const wrong = ['*', `${id}.json`, `../${id}`, 'F'.repeat(12), '']
  t.strictSame(
    await problemsOf(revoke, id, ...wrong, '--tokens', folder),
    wrong.map((word) => `${JSON.stringify(word)}: is no id of a token`),
  )
  t.match(listTokens(folder, NOW), [{ id, state: 'unused' }])
})
