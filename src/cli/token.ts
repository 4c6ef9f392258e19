/** `culvert token`: join tokens, by which agents get their first certificate. */
import { inKnownCluster } from '../clusters/known-cluster.ts'
import { create } from '../pki/token-commands/create.ts'
import { list } from '../pki/token-commands/list.ts'
import { revoke } from '../pki/token-commands/revoke.ts'
import { type CommandGroup, runGroup } from './command-group.ts'

const group: CommandGroup = {
  program: 'culvert token',
  summary: 'Let agents join a hub.',
  commands: { create: inKnownCluster(create), list, revoke },
  examples: [
    'From a token to an agent:',
    'culvert token create --cluster eu-1 --ttl 15m --out join-token',
    'culvert token create --cluster eu-1 --clusters clusters.yaml    # no typing error: it must be one of these',
    'proxy-server … --enrolment-ca-cert=pki/ca.crt --enrolment-ca-key=pki/ca.key --join-tokens=pki/join-tokens',
    'proxy-agent … --join-token-file=join-token --agent-cert=agent.crt --agent-key=agent.key --ca-cert=ca.crt',
  ],
}

/** @returns the exit code */
export function token(argv: readonly string[]): Promise<number> {
  return runGroup(group, argv)
}
