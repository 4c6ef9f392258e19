/** The hub's policy on its way to one agent: pushed when the stream begins and whenever it changes, and how the agent took it. */
import type { Log } from '../platform/log.ts'
import { pushedRules } from '../policy/core/authorise.ts'
import { writeRules } from '../policy/core/read-rules.ts'
import { type Policy, policyOf } from '../policy/policy.ts'
import type { PolicyAnswer, Session } from '../tunnel/session-owner.ts'
import type { PushedPolicy } from './core/agent-record.ts'
import type { ServerMetrics } from './metrics.ts'

export type PolicyPush = {
  /** Sends the policy as it is now, ahead of all dials that follow. */
  readonly push: () => void
  readonly answered: (answer: PolicyAnswer) => void
}
export type PolicyPushDeps = {
  readonly session: Pick<Session, 'pushPolicy'>
  /** Whether the agent takes policies: a stock one does not. */
  readonly takes: boolean
  /** The hub's; none: it says nothing. */
  readonly policy: () => Policy | undefined
  readonly record: { policy: PushedPolicy | undefined }
  /** Whether the agent refuses every dial, as it cannot read the policy: told when that changes. */
  readonly refusing: (is: boolean) => void
  readonly metrics: Pick<ServerMetrics, 'policyAnswered'>
  readonly log: Log
}

const EVERYTHING = policyOf([{ verdict: 'allow', ranges: [], names: [], ports: [], from: [] }])

/** Longest reason that is kept: characters. */
const MAX_REASON_CHARS = 256

export function createPolicyPush({
  session,
  takes,
  policy,
  record,
  refusing,
  metrics,
  log,
}: PolicyPushDeps): PolicyPush {
  return {
    push() {
      // What was pushed is in force until something else is: a policy that is gone is told as one that allows all.
      const current = policy() ?? (record.policy && EVERYTHING)
      if (current === undefined || !takes) return
      const { version, text } = forAgents(current)
      if (version === record.policy?.version) return
      if (record.policy?.state === 'refused') refusing(false) // it may be able to read this one
      record.policy = { version, state: 'pushed' }
      session.pushPolicy(version, text)
    },
    answered({ version, accepted, reason }) {
      if (record.policy?.state !== 'pushed' || version !== record.policy.version) return // told already, or of one before
      const state = accepted ? 'accepted' : 'refused'
      metrics.policyAnswered(state)
      record.policy = { version, state, ...(!accepted && { reason: reason.slice(0, MAX_REASON_CHARS) }) }
      if (!accepted) refusing(true)
      if (accepted) log.info({ version }, 'agent took the policy')
      else log.error(record.policy, 'agent cannot read the policy, it dials nothing')
    },
  }
}

type Sent = { readonly version: string; readonly text: string }
const sent = new WeakMap<Policy, Sent>() // the same for all agents of a cluster

function forAgents(policy: Policy): Sent {
  const known = sent.get(policy)
  if (known) return known
  const { rules, version } = policyOf(pushedRules(policy.rules))
  const made = { version, text: writeRules(rules) }
  sent.set(policy, made)
  return made
}
