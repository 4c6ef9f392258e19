/** `culvert policy validate`: whether a file is a policy. */
import type { Command } from '../../platform/command-line.ts'
import { pushedRules } from '../core/authorise.ts'
import type { PolicyOf } from '../core/read-rules.ts'
import { openPolicy, policyOf } from '../policy.ts'
import { hubFlag, outputFlag } from './flags.ts'

export const validate: Command = {
  usage: 'validate <file>... [flags]',
  summary: 'Check files that are to be policies.',
  about: [
    'Reports every problem with its file, its line and what was expected; the exit code is then 1. Says the version of a good',
    'one: a hash of its rules, of those of a hub that it pushes, which heartbeats and the fleet show as well.',
  ],
  flags: { hub: hubFlag, output: outputFlag },
  examples: [
    'culvert policy validate policy.yaml',
    'culvert policy validate hub.yaml --hub',
    'culvert policy validate *.yaml -o json',
  ],
  run: async (given, problems) => {
    if (given.words.length === 0) return { kind: 'refused', problems: [...problems, 'name a file to validate'] }
    if (problems.length > 0) return { kind: 'refused', problems }
    const of = given.isSet('hub') ? 'hub' : 'agent'
    const results = given.words.map((file) => check(file, of))
    const kind = results.every(({ ok }) => ok) ? 'done' : 'failed'
    if (given.value('output') === 'json') return { kind, lines: [JSON.stringify(results, undefined, 2)] }
    const lines = results.flatMap(({ ok, file, version, rules }) =>
      ok ? [`${file}: good: version ${version}, ${rules} ${rules === 1 ? 'rule' : 'rules'}`] : [],
    )
    return { kind, lines, warnings: results.flatMap((result) => result.problems) }
  },
}

type Result = {
  readonly file: string
  readonly ok: boolean
  readonly version?: string
  readonly rules?: number
  readonly problems: readonly string[]
}

function check(file: string, of: PolicyOf): Result {
  const read = openPolicy(file, file, of)
  if (!read.ok) return { file, ok: false, problems: read.problems }
  const { rules } = read.policy
  const { version } = of === 'hub' ? policyOf(pushedRules(rules)) : read.policy
  return { file, ok: true, version, rules: rules.length, problems: [] }
}
