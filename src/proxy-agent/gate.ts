/** The gate of one link (core/gate.ts): its cluster's policy as it is now, what its server has pushed, and what is counted. */
import { tokenBucket } from '../platform/token-bucket.ts'
import { type AddressRange, readRange } from '../policy/core/address.ts'
import type { Rules } from '../policy/core/rules.ts'
import { type Policy, readPushedPolicy } from '../policy/policy.ts'
import type { PolicyAnswer } from '../tunnel/session-owner.ts'
import { refusalOf } from './core/gate.ts'
import type { Judge } from './dialer.ts'

export type Gate = {
  /**
   * Asked when a dial comes, for what judges that one. What is pushed while its name is resolved may narrow it and opens nothing
   * to it: the server let it through by the rules before, and what is pushed does not say whom it is for.
   */
  readonly judgeDial: () => Judge
  /**
   * What the server pushed is in force from now on, for dials under way as well; what cannot be read denies all until something
   * can. Too often: it is not read, and denies all.
   */
  readonly push: (policy: { readonly version: string; readonly rules: string }) => PolicyAnswer | 'too-often'
}
export type GateDeps = {
  readonly hubRanges: readonly AddressRange[]
  /** The other end of the link, where it is known. */
  readonly server: { readonly address: string | undefined; readonly port: number | undefined }
  /** The cluster's own; none: everything. */
  readonly own: () => Policy | undefined
  /** @param ms that it took to judge a target */
  readonly judged: (ms: number) => void
  readonly now: () => number
}

export function createGate({ hubRanges, server: { address = '', port }, own, judged, now }: GateDeps): Gate {
  const range = readRange(address)
  const server = 'bytes' in range && port !== undefined ? { address: range, port } : undefined
  let pushed: Rules | 'unreadable' | undefined
  const mayPush = tokenBucket(PUSHES, PUSHES_PER_MS)
  return {
    judgeDial() {
      const whenItCame = pushed
      return (target) => {
        const startMs = now()
        const rules = { hubRanges, server, own: own()?.rules }
        const refused =
          refusalOf({ ...rules, pushed }, target) ??
          (pushed === whenItCame ? undefined : refusalOf({ ...rules, pushed: whenItCame }, target))
        judged(now() - startMs)
        return refused
      }
    },
    push({ version, rules }) {
      if (!mayPush(now())) {
        pushed = 'unreadable'
        return 'too-often'
      }
      const read = readPushedPolicy(rules)
      const problems = read.ok ? versionProblems(read.value, version) : read.problems
      pushed = read.ok && problems.length === 0 ? read.value.rules : 'unreadable'
      const reason = problems.join('; ').slice(0, MAX_REASON_CHARS)
      return { version: version.slice(0, MAX_VERSION_CHARS), accepted: problems.length === 0, reason }
    },
  }
}

/** At once; then one a second. A server looks at its policy every five. */
export const PUSHES = 10
const PUSHES_PER_MS = PUSHES * 1_000

/** Of the answer: enough for people, whatever the policy held. */
const MAX_REASON_CHARS = 500
const MAX_VERSION_CHARS = 64

function versionProblems(policy: Policy, version: string): string[] {
  return policy.version === version ? [] : [`expected the version ${policy.version} of these rules`]
}
