/** Flags that the commands of `culvert policy` share. */
import type { Flag } from '../../platform/command-line.ts'

export const outputFlag: Flag = {
  takes: 'form',
  short: 'o',
  default: 'text',
  help: 'Form of the output: text or json.',
  problem: (text) => (text === 'text' || text === 'json' ? undefined : 'text or json'),
}

export const hubFlag: Flag = {
  help: "The policy is a hub's: its rules may have from, and are at most 64 KiB when they are pushed.",
}
