/** `culvert token revoke`: closes a door before somebody has used it. */
import type { Command } from '../../platform/command-line.ts'
import { isTokenId } from '../join-token.ts'
import { removeToken } from '../token-store.ts'
import { tokenFolderFlag, tokenFolderOf } from './flags.ts'

export const revoke: Command = {
  usage: 'revoke <id>... [flags]',
  summary: 'Take join tokens back that were not used yet.',
  about: [
    'From now on nobody joins by them. An agent that has joined keeps its certificate: culvert pki revoke takes that.',
  ],
  flags: { tokens: tokenFolderFlag },
  examples: ['culvert token revoke 3fa0017c4b21'],
  run: async (given, problems) => {
    const found = [
      ...problems,
      ...(given.words.length === 0 ? ['name the ids of the tokens, as culvert token list shows them'] : []),
      ...given.words.filter((word) => !isTokenId(word)).map((word) => `${JSON.stringify(word)}: is no id of a token`),
    ]
    if (found.length > 0) return { kind: 'refused', problems: found }
    const outcomes = given.words.map((id) => ({ id, removed: removeToken(tokenFolderOf(given), id) }))
    const missing = outcomes.filter(({ removed }) => !removed)
    return {
      kind: missing.length > 0 ? 'failed' : 'done',
      lines: outcomes.flatMap(({ id, removed }) => (removed ? [`Revoked: ${id}.`] : [])),
      warnings: missing.map(({ id }) => `${id}: there is no such token, or it has been used`),
    }
  },
}
