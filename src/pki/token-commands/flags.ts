/** The flags that more than one command of `culvert token` has. */
import { join } from 'node:path'
import type { Flag, Given } from '../../platform/command-line.ts'
import { AUTHORITY_FOLDER } from '../commands/flags.ts'
import { AUTHORITY_NAME } from '../store.ts'

export const DEFAULT_AUTHORITY = join(AUTHORITY_FOLDER, `${AUTHORITY_NAME}.crt`)
const DEFAULT_FOLDER = join(AUTHORITY_FOLDER, 'join-tokens')

export const tokenFolderFlag: Flag = {
  takes: 'folder',
  default: DEFAULT_FOLDER,
  help: 'Folder of the tokens, that of --join-tokens of the proxy-servers.',
}

export const tokenFolderOf = (given: Given): string => given.value('tokens') ?? DEFAULT_FOLDER

export const authorityFlag: Flag = {
  takes: 'file',
  default: DEFAULT_AUTHORITY,
  help: "CA that issued the proxy-servers' certificates.",
}
