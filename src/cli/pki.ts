/** `culvert pki`: the certificates of a hub. */
import { crl } from '../pki/commands/crl.ts'
import { init } from '../pki/commands/init.ts'
import { issue } from '../pki/commands/issue.ts'
import { list } from '../pki/commands/list.ts'
import { revoke } from '../pki/commands/revoke.ts'
import { show } from '../pki/commands/show.ts'
import { verify } from '../pki/commands/verify.ts'
import { type CommandGroup, runGroup } from './command-group.ts'

const group: CommandGroup = {
  program: 'culvert pki',
  summary: 'Make and inspect the certificates of a hub.',
  commands: { init, issue, show, list, verify, revoke, crl },
  examples: [
    'From nothing to a tunnel:',
    'culvert pki init --trust-domain hub.example',
    'culvert pki issue server hub-0 --dns hub.example',
    'culvert pki issue apiserver --cluster default --out apiserver',
    'culvert pki issue agent agent-0 --cluster default --out agent',
    'culvert pki list',
  ],
}

/** @returns the exit code */
export function pki(argv: readonly string[]): Promise<number> {
  return runGroup(group, argv)
}
