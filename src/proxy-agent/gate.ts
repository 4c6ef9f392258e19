/** The gate of one link (core/gate.ts): its cluster's policy as it is now, what its server has pushed, and what is counted. */
import type { AddressRange } from '../policy/core/address.ts'
import type { Rules } from '../policy/core/rules.ts'
import { type Policy, readPolicyText } from '../policy/policy.ts'
import type { PolicyAnswer } from '../tunnel/session-owner.ts'
import { type DialTarget, type RefusedDial, refusalOf } from './core/gate.ts'

export type Gate = {
  readonly refusal: (target: DialTarget) => RefusedDial | undefined
  /** What the server pushed is in force from now on; what cannot be read denies all until something can. */
  readonly push: (policy: { readonly version: string; readonly rules: string }) => PolicyAnswer
}
export type GateDeps = {
  readonly hubRanges: readonly AddressRange[]
  /** The cluster's own; none: everything. */
  readonly own: () => Policy | undefined
  /** @param ms that it took to judge a target */
  readonly judged: (ms: number) => void
  readonly now: () => number
}

export function createGate({ hubRanges, own, judged, now }: GateDeps): Gate {
  let pushed: Rules | 'unreadable' | undefined
  return {
    refusal(target) {
      const startMs = now()
      const refused = refusalOf({ hubRanges, own: own()?.rules, pushed }, target)
      judged(now() - startMs)
      return refused
    },
    push({ version, rules }) {
      const read = readPolicyText(rules, 'policy')
      const problems = read.ok ? versionProblems(read.policy, version) : read.problems
      pushed = read.ok && problems.length === 0 ? read.policy.rules : 'unreadable'
      const reason = problems.join('; ').slice(0, MAX_REASON_CHARS)
      return { version: version.slice(0, MAX_VERSION_CHARS), accepted: problems.length === 0, reason }
    },
  }
}

/** Of the answer: enough for people, whatever the policy held. */
const MAX_REASON_CHARS = 500
const MAX_VERSION_CHARS = 64

function versionProblems(policy: Policy, version: string): string[] {
  return policy.version === version ? [] : [`expected the version ${policy.version} of these rules`]
}
