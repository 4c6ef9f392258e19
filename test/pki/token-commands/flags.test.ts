import t from 'tap'
import {
  authorityFlag,
  DEFAULT_AUTHORITY,
  tokenFolderFlag,
  tokenFolderOf,
} from '../../../src/pki/token-commands/flags.ts'
import { type Given, readLine } from '../../../src/platform/command-line.ts'

const given = (...argv: string[]): Given => readLine({ ca: authorityFlag, tokens: tokenFolderFlag }, argv).given

t.test('the CA and the tokens are in the folder of "culvert pki init" unless other places are given', async (t) => {
  t.equal(DEFAULT_AUTHORITY, 'pki/ca.crt')
  t.equal(given().value('ca'), 'pki/ca.crt')
  t.equal(tokenFolderOf(given()), 'pki/join-tokens')
  t.equal(tokenFolderOf(given('--tokens', '/var/lib/culvert/join tokens')), '/var/lib/culvert/join tokens')
})
