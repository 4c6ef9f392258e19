/**
 * The rules of a policy, from a document that people or a hub wrote. Pure. Every problem names its place and what was
 * expected; a key or a kind of rule that is not known refuses the whole, as it may be meant to deny. The same as
 * config/policy.schema.json says, which editors use; here the addresses and names are read besides.
 */
import { type AddressRange, readRange } from './address.ts'
import { canonicalPattern } from './name.ts'
import { type PortRange, portsText, type Rule, type Rules } from './rules.ts'

/** `pointer` is a JSON pointer into the document. */
export type Problem = { readonly pointer: string; readonly expected: string }
export type ReadRules =
  | { readonly ok: true; readonly rules: Rules }
  | { readonly ok: false; readonly problems: readonly Problem[] }

export const MAX_RULES = 1_000
/** More say nothing that the first did not, and whoever writes a policy must not choose how long telling takes. */
export const MAX_PROBLEMS = 20
const MAX_SHOWN_CHARS = 64
/** In one rule. */
export const MAX_ITEMS = 1_000
const MAX_PORT = 65_535
const MAX_PRINCIPAL_CHARS = 1_024

/** Who asks is known at the hub only: the rules of an agent know no `from`. */
export type PolicyOf = 'agent' | 'hub'

export function readRules(document: unknown, of: PolicyOf = 'agent'): ReadRules {
  const problems: Problem[] = []
  const say = (pointer: string, expected: string): undefined => {
    if (problems.length < MAX_PROBLEMS) problems.push({ pointer, expected })
  }
  const policy = mapOf(document, '', ['rules'], 'a map with the key rules', say)
  const rules: Rule[] = []
  if (policy !== undefined) {
    const list = policy.rules
    if (!Array.isArray(list)) say('/rules', 'a list of rules')
    else if (list.length > MAX_RULES) say('/rules', `at most ${MAX_RULES} rules`)
    else rules.push(...list.flatMap((item, index) => readRule(item, `/rules/${index}`, of, say) ?? []))
  }
  return problems.length > 0 ? { ok: false, problems } : { ok: true, rules }
}

type Say = (pointer: string, expected: string) => undefined

function readRule(item: unknown, pointer: string, of: PolicyOf, say: Say): Rule | undefined {
  const shape = 'a rule such as { allow: { cidr: 10.0.0.0/8, ports: [443] } }, with the one key allow or deny'
  const keys = ['allow', 'deny', ...(of === 'hub' ? ['from'] : []), 'comment']
  const rule = mapOf(item, pointer, keys, shape, say)
  if (rule === undefined) return undefined
  if (rule.comment !== undefined && typeof rule.comment !== 'string') say(`${pointer}/comment`, 'a text')
  const verdicts = (['allow', 'deny'] as const).filter((key) => Object.hasOwn(rule, key))
  const [verdict] = verdicts
  if (verdict === undefined || verdicts.length > 1) return say(pointer, shape)
  const place = `${pointer}/${verdict}`
  const target = mapOf(
    rule[verdict],
    place,
    ['cidr', 'name', 'ports'],
    'a map with cidr, name and ports, or {} for all',
    say,
  )
  if (target === undefined) return undefined
  return {
    verdict,
    ranges: readItems(target, 'cidr', place, readCidr, say),
    names: readItems(target, 'name', place, readName, say),
    ports: readItems(target, 'ports', place, readPorts, say),
    from: readItems(rule, 'from', pointer, readPrincipal, say),
  }
}

/** One item or a list of them; none where the key is absent. An empty list would read like "all" or like "none": it is refused. */
function readItems<T>(
  target: Readonly<Record<string, unknown>>,
  key: string,
  place: string,
  read: (item: unknown) => T | { readonly expected: string },
  say: Say,
): T[] {
  const given = target[key]
  if (given === undefined) return []
  const items = Array.isArray(given) ? given : [given]
  if (items.length === 0 || items.length > MAX_ITEMS) {
    say(`${place}/${key}`, `1 to ${MAX_ITEMS} items; leave the key out for all`)
    return []
  }
  return items.flatMap((item, index) => {
    const value = read(item)
    if (typeof value !== 'object' || value === null || !('expected' in value)) return [value as T]
    say(Array.isArray(given) ? `${place}/${key}/${index}` : `${place}/${key}`, value.expected)
    return []
  })
}

const readCidr = (item: unknown): AddressRange | { readonly expected: string } =>
  readRange(typeof item === 'string' ? item : '')

function readName(item: unknown): string | { readonly expected: string } {
  const pattern = typeof item === 'string' ? canonicalPattern(item) : undefined
  return pattern ?? { expected: 'a name such as db.example.com, *.example.com for all below it, or *' }
}

function readPrincipal(item: unknown): string | { readonly expected: string } {
  const isText = typeof item === 'string' && item !== '' && item.length <= MAX_PRINCIPAL_CHARS
  return isText ? item : { expected: 'who asks, such as user/prometheus or cluster/eu-1/apiserver' }
}

function readPorts(item: unknown): PortRange | { readonly expected: string } {
  const [, from = '', to = from] =
    /^([1-9]\d{0,4})(?:-([1-9]\d{0,4}))?$/.exec(typeof item === 'object' ? '' : String(item)) ?? []
  const [first, last] = [Number(from), Number(to)]
  if (from === '' || first > last || last > MAX_PORT) {
    return { expected: 'a port from 1 to 65535, or a range such as 8000-8100' }
  }
  return { first, last }
}

function mapOf(
  value: unknown,
  pointer: string,
  keys: readonly string[],
  shape: string,
  say: Say,
): Readonly<Record<string, unknown>> | undefined {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return say(pointer, shape)
  const unknown = Object.keys(value).filter((key) => !keys.includes(key))
  for (const key of unknown.slice(0, MAX_PROBLEMS)) {
    const known = keys.join(', ')
    say(
      `${pointer}/${key.replaceAll('~', '~0').replaceAll('/', '~1')}`,
      `one of the keys ${known}, got ${JSON.stringify(key.slice(0, MAX_SHOWN_CHARS))}`,
    )
  }
  return unknown.length > 0 ? undefined : (value as Readonly<Record<string, unknown>>)
}

/** The document of `rules` in one form: equal rules give the same bytes, which cross the wire and make the version. */
export function writeRules(rules: Rules): string {
  const items = rules.map(({ verdict, ranges, names, ports, from }) => ({
    [verdict]: {
      ...(ranges.length > 0 && { cidr: ranges.map(({ text }) => text) }),
      ...(names.length > 0 && { name: names }),
      ...(ports.length > 0 && { ports: ports.map(portsText) }),
    },
    ...(from.length > 0 && { from }),
  }))
  return JSON.stringify({ rules: items })
}
