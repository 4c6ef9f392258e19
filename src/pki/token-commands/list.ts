/** `culvert token list`: who may still come in, and who has. */
import type { Command } from '../../platform/command-line.ts'
import { outputFlag } from '../commands/flags.ts'
import { listTokens, type StoredToken } from '../token-store.ts'
import { tokenFolderFlag, tokenFolderOf } from './flags.ts'

export const list: Command = {
  usage: 'list [flags]',
  summary: 'List the join tokens.',
  about: [
    'Shows what each token is for and whether it is unused, used or expired, never the token itself, which nobody keeps.',
    'What has been over for a week is forgotten.',
  ],
  flags: { tokens: tokenFolderFlag, output: outputFlag },
  examples: ['culvert token list', 'culvert token list -o json | jq \'.[] | select(.state == "unused")\''],
  run: async (given, problems, nowUnixMs) => {
    const found = [
      ...problems,
      ...given.words.map((word) => `${JSON.stringify(word)}: unexpected; list takes flags only`),
    ]
    if (found.length > 0) return { kind: 'refused', problems: found }
    const tokens = listTokens(tokenFolderOf(given), nowUnixMs)
    const json = given.value('output') === 'json'
    return { kind: 'done', lines: json ? [JSON.stringify(tokens.map(jsonOf), undefined, 2)] : table(tokens) }
  },
}

const iso = (unixMs: number): string => new Date(unixMs).toISOString()

function jsonOf({ createdUnixMs, expiresUnixMs, ...token }: StoredToken): object {
  return { ...token, created: iso(createdUnixMs), expires: iso(expiresUnixMs) }
}

function table(tokens: readonly StoredToken[]): readonly string[] {
  if (tokens.length === 0) return ['There are none.']
  const rows = [
    ['ID', 'STATE', 'CLUSTER', 'NAME', 'EXPIRES'],
    ...tokens.map(({ id, state, cluster, name, expiresUnixMs }) => [id, state, cluster, name, iso(expiresUnixMs)]),
  ]
  const widths = [0, 1, 2, 3, 4].map((column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  return rows.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join('  ')
      .trimEnd(),
  )
}
