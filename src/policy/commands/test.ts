/**
 * `culvert policy test`: what an agent would say of a target, and why, without a dial. The judging is the agent's own, which
 * the caller brings: this folder knows no program.
 */
import type { Command, Outcome } from '../../platform/command-line.ts'
import { ipBytes } from '../../platform/ip-address.ts'
import { type AddressRange, readRange } from '../core/address.ts'
import { type Rule, type Rules, ruleText } from '../core/rules.ts'
import { openPolicy } from '../policy.ts'
import { outputFlag } from './flags.ts'

/** A target as the agent reads it, and its judgement of it. */
export type Judging = {
  readonly readTarget: (
    address: string,
  ) =>
    | { readonly kind: 'address' | 'name'; readonly host: string; readonly port: number }
    | { readonly kind: 'refused'; readonly text: string }
  /** @returns the text of the refusal */
  readonly refusal: (
    rules: { readonly own: Rules | undefined; readonly hubRanges: readonly AddressRange[] },
    target: { readonly name?: string; readonly address?: string; readonly port: number },
  ) => string | undefined
  /** The rule that allows it, from 0. */
  readonly allowing: (
    rules: Rules,
    target: { readonly name?: string; readonly address?: string; readonly port: number },
  ) => number | undefined
  readonly resolve: (name: string) => Promise<readonly string[]>
}

type Judged = {
  readonly target: string
  /** In canonical form; none before a name is resolved. */
  readonly address: string | null
  readonly name: string | null
  readonly verdict: 'allowed' | 'denied' | 'by-address'
  readonly why: string
}

export const testCommand = (judging: Judging): Command => ({
  usage: 'test <host:port>... --policy-file <file> [flags]',
  summary: 'Explain what a policy says of a target, without a dial.',
  about: [
    'Judges each target as the agent does that has this policy, and tells the rule. A name is judged before it is resolved; with',
    '--resolve also with each address that this machine finds for it, with --address with the given ones. The exit code is 1 when',
    'anything is denied, or depends on addresses that were not asked for.',
  ],
  flags: {
    'policy-file': { takes: 'file', help: 'The policy; without it an agent refuses only what is always refused.' },
    'hub-ranges': {
      takes: 'cidr',
      help: 'A range of the hub, as for the agent.',
      repeats: true,
      problem: rangeProblem,
    },
    resolve: { help: 'Resolve names, on this machine, and judge each address.' },
    address: { takes: 'address', help: 'An address to take names for.', repeats: true, problem: addressProblem },
    output: outputFlag,
  },
  examples: [
    'culvert policy test 10.0.0.7:10250 --policy-file policy.yaml',
    'culvert policy test db.example.com:5432 --policy-file policy.yaml --resolve -o json',
    'culvert policy test db.example.com:5432 --policy-file policy.yaml --address 10.0.0.9',
  ],
  async run(given, problems): Promise<Outcome> {
    const found = given.words.length === 0 ? [...problems, 'name a target, such as 10.0.0.7:443'] : problems
    if (found.length > 0) return { kind: 'refused', problems: found }
    const file = given.value('policy-file')
    const opened = file === undefined ? undefined : openPolicy('--policy-file', file)
    if (opened?.ok === false) return { kind: 'failed', lines: [], warnings: opened.problems }
    const hubRanges = given.all('hub-ranges').flatMap((text) => readRange(text) as AddressRange)
    const rules = { own: opened?.policy.rules, hubRanges, lineOf: opened?.lineOf }
    const addressesOf = async (name: string): Promise<readonly string[]> =>
      given.isSet('resolve') ? [...given.all('address'), ...(await judging.resolve(name))] : given.all('address')
    const judged = (await Promise.all(given.words.map((word) => judge(word, rules, addressesOf, judging)))).flat()
    const kind = judged.every(({ verdict }) => verdict === 'allowed') ? 'done' : 'failed'
    if (given.value('output') === 'json') return { kind, lines: [JSON.stringify(judged, undefined, 2)] }
    return { kind, lines: judged.map(textOf) }
  },
})

type TestRules = {
  readonly own: Rules | undefined
  readonly hubRanges: readonly AddressRange[]
  readonly lineOf: ((pointer: string) => number) | undefined
}

async function judge(
  word: string,
  rules: TestRules,
  addressesOf: (name: string) => Promise<readonly string[]>,
  { readTarget, refusal, allowing }: Judging,
): Promise<Judged[]> {
  const read = readTarget(word)
  if (read.kind === 'refused') return [{ target: word, name: null, address: null, verdict: 'denied', why: read.text }]
  const { host, port } = read
  const say = (target: { readonly name?: string; readonly address?: string }): Judged => {
    const wanted = { ...target, port }
    const about = { target: word, name: target.name ?? null, address: target.address ?? null }
    const why = refusal(rules, wanted)
    if (why !== undefined) return { ...about, verdict: 'denied', why }
    if (rules.own === undefined) return { ...about, verdict: 'allowed', why: 'there is no policy file' }
    const rule = allowing(rules.own, wanted)
    if (rule === undefined) return { ...about, verdict: 'by-address', why: BY_ADDRESS }
    return { ...about, verdict: 'allowed', why: explained(rules.own[rule]!, rule, rules.lineOf) }
  }
  if (read.kind === 'address') return [say({ address: host })]
  const byName = say({ name: host })
  if (byName.verdict === 'denied') return [byName]
  try {
    const addresses = await addressesOf(host)
    return addresses.length === 0 ? [byName] : addresses.map((address) => say({ name: host, address }))
  } catch (cause) {
    const why = `could not resolve ${host}: ${(cause as Error).message}`
    return [{ target: word, name: host, address: null, verdict: 'denied', why }]
  }
}

const BY_ADDRESS = 'it depends on the address: ask with --resolve or --address'

function explained(rule: Rule, index: number, lineOf: TestRules['lineOf']): string {
  const line = lineOf === undefined ? '' : ` (line ${lineOf(`/rules/${index}`)})`
  return `rule ${index + 1}${line}, ${ruleText(rule)}`
}

function textOf({ target, name, address, verdict, why }: Judged): string {
  const shown = name !== null && address !== null ? `${target} as ${address}` : target
  return `${shown}: ${verdict === 'by-address' ? 'undecided' : verdict}: ${why}`
}

const addressProblem = (text: string): string | undefined => (ipBytes(text) === undefined ? 'an IP address' : undefined)

function rangeProblem(text: string): string | undefined {
  const range = readRange(text)
  return 'expected' in range ? range.expected : undefined
}
