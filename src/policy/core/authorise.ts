/**
 * A hub's policy of one cluster, on the server: whether somebody may have something dialled, before an agent is asked. Pure.
 *
 * The server does not resolve names: where the address decides, the agent has to, by the rules that were pushed to it. These do not say
 * who asks, as a dial does not: what is allowed to some is allowed there to all, and the server sees to the rest. A name whose
 * address the agent would judge otherwise than the rules of who asks is denied here.
 */
import { ipBytes } from '../../platform/ip-address.ts'
import { splitAddress } from '../../platform/split-address.ts'
import { canonicalName } from './name.ts'
import { writeRules } from './read-rules.ts'
import { fitsByName, isOfPort, judge, type Rule, type Rules, ruleText, type Target } from './rules.ts'

export type Authorisation =
  | { readonly kind: 'allowed' }
  /** An agent that has the rules of `pushedRules` may judge it. */
  | { readonly kind: 'by-address' }
  | { readonly kind: 'denied'; readonly text: string }

/**
 * @param principal who asks
 * @param address host:port, as the client wrote it
 */
export function authorise(rules: Rules, principal: string, address: string): Authorisation {
  const target = readDestination(address)
  if (target === undefined) return denied('it is no name or address with a port')
  const own = rulesFor(rules, principal)
  const verdict = judge(own, target)
  if (verdict.kind === 'allowed') return verdict
  if (verdict.kind === 'by-address') {
    return judgedAlike(rules, own, target)
      ? verdict
      : denied('it depends on the address, which the agent cannot judge for who asks')
  }
  const rule = verdict.rule === undefined ? undefined : own[verdict.rule]
  if (rule === undefined) return denied('no rule allows it')
  const what = ruleText({ ...rule, from: [] }) // whom else it is for is not for a client to hear
  return denied(`rule ${rules.indexOf(rule) + 1}, ${what}`)
}

/** Those that count for who asks. */
export function rulesFor(rules: Rules, principal: string): Rules {
  return rules.filter(({ from }) => from.length === 0 || from.includes(principal))
}

/** What an agent can see to: it does not know who asks. */
export function pushedRules(rules: Rules): Rules {
  return rules
    .filter(({ verdict, from }) => verdict === 'allow' || from.length === 0)
    .map((rule) => ({ ...rule, from: [] }))
}

/** Longest form on the wire of what is pushed: bytes. All agents of a hub may have it waiting at once, out of one budget. */
export const MAX_PUSHED_BYTES = 65_536

/** Why rules cannot be pushed: a few bytes of a file may be many on the wire. */
export function pushProblem(rules: Rules): string | undefined {
  const bytes = Buffer.byteLength(writeRules(pushedRules(rules)))
  if (bytes <= MAX_PUSHED_BYTES) return undefined
  return `rules that take at most ${MAX_PUSHED_BYTES} bytes when they are pushed to agents, got ${bytes}: write ranges instead of addresses`
}

/** Whether `pushedRules` say of every address of the name what the rules of who asks do. */
function judgedAlike(rules: Rules, own: Rules, { name, port }: Target): boolean {
  const counts = (rule: Rule): boolean => isOfPort(rule, port)
  const byName = own.some((rule) => rule.verdict === 'allow' && counts(rule) && fitsByName(rule, name))
  return !rules.filter(counts).some((rule) => {
    if (rule.verdict === 'deny') return own.includes(rule) && rule.from.length > 0 && rule.ranges.length > 0
    return !byName && !own.includes(rule) && (rule.ranges.length > 0 || fitsByName(rule, name))
  })
}

function readDestination(address: string): Target | undefined {
  const split = splitAddress(address)
  if (split.kind === 'none' || !/^[1-9]\d{0,4}$/.test(split.port)) return undefined
  const port = Number(split.port)
  const bytes = ipBytes(split.host)
  if (bytes !== undefined) return { address: bytes, port }
  const name = split.isBracketed ? undefined : canonicalName(split.host)
  return name === undefined ? undefined : { name, port }
}

const denied = (why: string): Authorisation => ({
  kind: 'denied',
  text: `not allowed by the policy of the cluster: ${why}`,
})
