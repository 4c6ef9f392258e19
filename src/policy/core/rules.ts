/**
 * What a policy says of a target. Pure.
 *
 * A rule that denies wins over all that allow, wherever they stand, and what no rule allows is denied: so the order of rules
 * means nothing, adding a rule that denies never opens anything, and two policies narrow each other when both must allow.
 * A name and the address that it resolved to are judged together: allowing a name does not open a denied range.
 */
import { type AddressRange, type Bytes, formsOf, holds } from './address.ts'
import { isNamedBy } from './name.ts'

export type PortRange = { readonly first: number; readonly last: number }
/** Of ranges and names one has to fit, and of the ports; where there are none, everything does. */
export type Rule = {
  readonly verdict: 'allow' | 'deny'
  readonly ranges: readonly AddressRange[]
  /** In canonical form. */
  readonly names: readonly string[]
  readonly ports: readonly PortRange[]
  /** Whose dials it is for, in a hub's policy; none: everybody's. */
  readonly from: readonly string[]
}
export type Rules = readonly Rule[]

export type Target = {
  /** In canonical form. */
  readonly name?: string | undefined
  /** Not known before the name is resolved. */
  readonly address?: Bytes | undefined
  readonly port: number
}

/** `rule` counts from 0 and is absent where no rule allows; `by-address`: the name alone does not tell. */
export type Verdict =
  | { readonly kind: 'allowed'; readonly rule: number }
  | { readonly kind: 'denied'; readonly rule: number | undefined }
  | { readonly kind: 'by-address' }

export function judge(rules: Rules, { name, address, port }: Target): Verdict {
  const forms = address === undefined ? [] : formsOf(address)
  const fits = (rule: Rule): boolean => {
    if (!isOfPort(rule, port)) return false
    if (fitsByName(rule, name)) return true
    const reached = rule.verdict === 'deny' ? forms : forms.slice(0, 1)
    return reached.some((form) => rule.ranges.some((range) => holds(range, form)))
  }
  const denying = rules.findIndex((rule) => rule.verdict === 'deny' && fits(rule))
  if (denying >= 0) return { kind: 'denied', rule: denying }
  const allowing = rules.findIndex((rule) => rule.verdict === 'allow' && fits(rule))
  const mayTurn = (verdict: Rule['verdict']): boolean =>
    address === undefined &&
    rules.some((rule) => rule.verdict === verdict && rule.ranges.length > 0 && isOfPort(rule, port))
  if (mayTurn(allowing >= 0 ? 'deny' : 'allow')) return { kind: 'by-address' }
  return allowing >= 0 ? { kind: 'allowed', rule: allowing } : { kind: 'denied', rule: undefined }
}

export function isOfPort({ ports }: Rule, port: number): boolean {
  return ports.length === 0 || ports.some(({ first, last }) => first <= port && port <= last)
}

/** Whether the rule fits whatever address it is. */
export function fitsByName({ names, ranges }: Rule, name: string | undefined): boolean {
  if (names.length === 0 && ranges.length === 0) return true
  return name !== undefined && names.some((pattern) => isNamedBy(pattern, name))
}

/** One line for people: `deny 10.0.0.0/8, *.internal ports 443, 8000-8100`. */
export function ruleText({ verdict, ranges, names, ports, from }: Rule): string {
  const what = [...ranges.map(({ text }) => text), ...names]
  const where = what.length === 0 ? 'everything' : shortened(what)
  const whose = from.length === 0 ? '' : ` from ${shortened(from)}`
  return `${verdict} ${where}${ports.length === 0 ? '' : ` ports ${shortened(ports.map(portsText))}`}${whose}`
}

export const portsText = ({ first, last }: PortRange): string => (first === last ? `${first}` : `${first}-${last}`)

const MAX_SHOWN = 4
const shortened = (items: readonly string[]): string =>
  items.length > MAX_SHOWN
    ? `${items.slice(0, MAX_SHOWN).join(', ')} and ${items.length - MAX_SHOWN} more`
    : items.join(', ')
