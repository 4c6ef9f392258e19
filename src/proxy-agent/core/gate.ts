/**
 * What the agent may dial: what all who have a say allow. Pure.
 *
 * Link-local addresses never, as clouds serve credentials there to whoever asks from inside; the hub's own ranges never, nor the very
 * port at which the server is reached; the cluster's own policy, where it has one; and what the hub has pushed, which can so only narrow. A name is judged before it is
 * resolved and with each address it resolves to, and what was judged is what is dialled.
 */
import { ipBytes } from '../../platform/ip-address.ts'
import { type AddressRange, formsOf, holds, isLinkLocal } from '../../policy/core/address.ts'
import { canonicalName } from '../../policy/core/name.ts'
import { judge, type Rules, ruleText } from '../../policy/core/rules.ts'
import { hostPort, shown } from './go-errors.ts'

export type GateRules = {
  readonly hubRanges: readonly AddressRange[]
  /**
   * Where the server that asks is reached, or the front door before it: it would have the agent tunnel through itself, and use up what
   * that allows the agent's address. That port only: next to it may be the API server, or a kubelet.
   */
  readonly server?: { readonly address: AddressRange; readonly port: number } | undefined
  /** The cluster's own policy; none: everything. */
  readonly own: Rules | undefined
  /** `unreadable` denies all. */
  readonly pushed: Rules | 'unreadable' | undefined
}
/** A name before it is resolved, an address, or a name with an address of it. */
export type DialTarget = {
  readonly name?: string | undefined
  readonly address?: string | undefined
  readonly port: number
}
export type RefusedDial = {
  readonly why: 'link_local' | 'hub_range' | 'policy' | 'hub_policy' | 'hub_policy_unreadable'
  readonly text: string
}

/** The text is made for DIAL_RSP.error: it names the rule, not what else the policy holds. */
export function refusalOf({ hubRanges, server, own, pushed }: GateRules, target: DialTarget): RefusedDial | undefined {
  const { port } = target
  const address = target.address === undefined ? undefined : ipBytes(target.address)
  const refused = (why: RefusedDial['why'], what: string): RefusedDial => {
    const shownTarget = shown(hostPort(target.address ?? target.name ?? '', port))
    return { why, text: `dial tcp ${shownTarget}: ${what}` }
  }
  if (target.address !== undefined && (address === undefined || isLinkLocal(address))) {
    return refused('link_local', 'link-local addresses are not allowed by this agent') // with a zone as well
  }
  const isOfHub = (form: readonly number[]): boolean =>
    hubRanges.some((range) => holds(range, form)) || (server?.port === port && holds(server.address, form))
  if (address && formsOf(address).some(isOfHub)) {
    return refused('hub_range', 'addresses of the hub are not allowed by this agent')
  }
  const name = target.name === undefined ? undefined : canonicalName(target.name)
  const denied = (rules: Rules | undefined): string | undefined => {
    const verdict = rules && judge(rules, { name, address, port })
    if (verdict?.kind !== 'denied') return undefined
    return verdict.rule === undefined
      ? 'no rule allows it'
      : `rule ${verdict.rule + 1}, ${ruleText(rules![verdict.rule]!)}`
  }
  const byOwn = denied(own)
  if (byOwn !== undefined) return refused('policy', `not allowed by the policy of this agent: ${byOwn}`)
  if (pushed === 'unreadable') {
    return refused('hub_policy_unreadable', 'not allowed by this agent while it cannot read the policy of its server')
  }
  const byHub = denied(pushed)
  return byHub === undefined ? undefined : refused('hub_policy', `not allowed by the policy of the server: ${byHub}`)
}
