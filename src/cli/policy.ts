/** `culvert policy`: what may be dialled. Judges as the server and the agent do, by the same code. */
import { ipBytes } from '../platform/ip-address.ts'
import { testCommand } from '../policy/commands/test.ts'
import { validate } from '../policy/commands/validate.ts'
import { canonicalName } from '../policy/core/name.ts'
import { judge } from '../policy/core/rules.ts'
import { refusalOf } from '../proxy-agent/core/gate.ts'
import { readTarget } from '../proxy-agent/core/target.ts'
import { systemResolve } from '../proxy-agent/lookups.ts'
import { type CommandGroup, runGroup } from './command-group.ts'

const test = testCommand({
  readTarget: (address) => readTarget('tcp', address),
  refusal: (rules, target) => refusalOf(rules, target)?.text,
  allowing(rules, { name, address, port }) {
    const canonical = name === undefined ? undefined : canonicalName(name)
    const verdict = judge(rules, {
      name: canonical,
      address: address === undefined ? undefined : ipBytes(address),
      port,
    })
    return verdict.kind === 'allowed' ? verdict.rule : undefined
  },
  resolve: async (name) => (await systemResolve(name)).map(({ address }) => address),
})

const group: CommandGroup = {
  program: 'culvert policy',
  summary: 'Check and explain what may be dialled.',
  commands: { test, validate },
  examples: [
    'A policy, before an agent or a hub gets it:',
    'culvert policy validate policy.yaml',
    'culvert policy test 10.0.0.7:10250 --policy-file policy.yaml',
    'culvert policy validate hub.yaml --hub',
  ],
}

/** @returns the exit code */
export function policy(argv: readonly string[]): Promise<number> {
  return runGroup(group, argv)
}
