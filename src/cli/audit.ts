/** `culvert audit`: the audit logs of both ends. */
import { verify } from '../audit/commands/verify.ts'
import { type CommandGroup, runGroup } from './command-group.ts'

const group: CommandGroup = {
  program: 'culvert audit',
  summary: 'Check the audit logs of proxy-server and proxy-agent.',
  commands: { verify },
  examples: [
    'Once a day, over all files there are:',
    'culvert audit verify /var/log/culvert/audit.log.1 /var/log/culvert/audit.log',
  ],
}

/** @returns the exit code */
export function audit(argv: readonly string[]): Promise<number> {
  return runGroup(group, argv)
}
