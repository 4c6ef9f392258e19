/**
 * `culvert policy test`: what an agent would say of a target, or a hub and its agent, and why, without a dial. The agent's
 * judging is its own, which the caller brings: this folder knows no program.
 */
import type { Command, Outcome } from '../../platform/command-line.ts'
import { ipBytes } from '../../platform/ip-address.ts'
import { type AddressRange, readRange } from '../core/address.ts'
import { type Authorisation, authorise, pushedRules, rulesFor } from '../core/authorise.ts'
import { type Rule, type Rules, ruleText } from '../core/rules.ts'
import { openPolicy, type ReadPolicy } from '../policy.ts'
import { hubFlag, outputFlag } from './flags.ts'

/** What an agent judges by. */
type AgentRules = {
  readonly own: Rules | undefined
  readonly pushed: Rules | undefined
  readonly hubRanges: readonly AddressRange[]
}

/** A target as the agent reads it, and its judgement of it. */
export type Judging = {
  readonly readTarget: (
    address: string,
  ) =>
    | { readonly kind: 'address' | 'name'; readonly host: string; readonly port: number }
    | { readonly kind: 'refused'; readonly text: string }
  /** @returns the text of the refusal */
  readonly refusal: (
    rules: AgentRules,
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
    '',
    'With --hub the policy is that of a hub: judged as its server does for the client of --from, then as an agent does that it is',
    'pushed to and that has no policy of its own. An agent counts rules as they are pushed: those that deny only some are not.',
  ],
  flags: {
    'policy-file': { takes: 'file', help: 'The policy; without it an agent refuses only what is always refused.' },
    hub: hubFlag,
    from: { takes: 'client', help: 'With --hub: who asks, such as user/bob; without it nobody whom rules name.' },
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
    'culvert policy test 10.0.0.7:9090 --policy-file hub.yaml --hub --from user/prometheus',
  ],
  async run(given, problems): Promise<Outcome> {
    const isHub = given.isSet('hub')
    const found = [
      ...problems,
      ...(given.words.length === 0 ? ['name a target, such as 10.0.0.7:443'] : []),
      ...(isHub && !given.isSet('policy-file') ? ['--hub: expected --policy-file as well'] : []),
      ...(!isHub && given.isSet('from') ? ['--from: expected --hub as well: an agent does not know who asks'] : []),
    ]
    if (found.length > 0) return { kind: 'refused', problems: found }
    const file = given.value('policy-file')
    const opened = file === undefined ? undefined : openPolicy('--policy-file', file, isHub ? 'hub' : 'agent')
    if (opened?.ok === false) return { kind: 'failed', lines: [], warnings: opened.problems }
    const hubRanges = given.all('hub-ranges').flatMap((text) => readRange(text) as AddressRange)
    const rules = testRules(opened, isHub ? (given.value('from') ?? NOBODY) : undefined, hubRanges)
    const addressesOf = async (name: string): Promise<readonly string[]> =>
      given.isSet('resolve') ? [...given.all('address'), ...(await judging.resolve(name))] : given.all('address')
    const judged = (await Promise.all(given.words.map((word) => judge(word, rules, addressesOf, judging)))).flat()
    const kind = judged.every(({ verdict }) => verdict === 'allowed') ? 'done' : 'failed'
    if (given.value('output') === 'json') return { kind, lines: [JSON.stringify(judged, undefined, 2)] }
    return { kind, lines: judged.map(textOf) }
  },
})

/** No rule can name it. */
const NOBODY = ''

type TestRules = {
  readonly agent: AgentRules
  /** What the server says of host:port; none: the policy is not a hub's. */
  readonly authorise: ((address: string) => Authorisation) | undefined
  /** None: there is no file. */
  readonly file: { readonly counting: Rules; readonly explain: (rule: Rule) => string } | undefined
}

/** @param client none: the policy is an agent's */
function testRules(
  opened: Extract<ReadPolicy, { readonly ok: true }> | undefined,
  client: string | undefined,
  hubRanges: readonly AddressRange[],
): TestRules {
  const nothing: AgentRules = { own: undefined, pushed: undefined, hubRanges }
  if (opened === undefined) return { agent: nothing, authorise: undefined, file: undefined }
  const { policy, lineOf } = opened
  const { rules } = policy
  const explain = (rule: Rule): string => {
    const index = rules.indexOf(rule)
    return `rule ${index + 1} (line ${lineOf(`/rules/${index}`)}), ${ruleText(rule)}`
  }
  if (client === undefined) {
    return { agent: { ...nothing, own: rules }, authorise: undefined, file: { counting: rules, explain } }
  }
  return {
    agent: { ...nothing, pushed: pushedRules(rules) },
    authorise: (address) => authorise(rules, client, address),
    file: { counting: rulesFor(rules, client), explain },
  }
}

async function judge(
  word: string,
  rules: TestRules,
  addressesOf: (name: string) => Promise<readonly string[]>,
  { readTarget, refusal, allowing }: Judging,
): Promise<Judged[]> {
  const read = readTarget(word)
  const asked = rules.authorise?.(word)
  const [name, address] = [read.kind === 'name' ? read.host : null, read.kind === 'address' ? read.host : null]
  if (asked?.kind === 'denied') return [{ target: word, name, address, verdict: 'denied', why: asked.text }]
  if (read.kind === 'refused') return [{ target: word, name, address, verdict: 'denied', why: read.text }]
  const { host, port } = read
  const say = (target: { readonly name?: string; readonly address?: string }): Judged => {
    const wanted = { ...target, port }
    const about = { target: word, name: target.name ?? null, address: target.address ?? null }
    const why = refusal(rules.agent, wanted)
    if (why !== undefined) return { ...about, verdict: 'denied', why }
    if (rules.file === undefined) return { ...about, verdict: 'allowed', why: 'there is no policy file' }
    const { counting, explain } = rules.file
    const rule = allowing(counting, wanted)
    if (rule === undefined) return { ...about, verdict: 'by-address', why: BY_ADDRESS }
    return { ...about, verdict: 'allowed', why: explain(counting[rule]!) }
  }
  if (address !== null) return [say({ address })]
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

function textOf({ target, name, address, verdict, why }: Judged): string {
  const shown = name !== null && address !== null ? `${target} as ${address}` : target
  return `${shown}: ${verdict === 'by-address' ? 'undecided' : verdict}: ${why}`
}

const addressProblem = (text: string): string | undefined => (ipBytes(text) === undefined ? 'an IP address' : undefined)

function rangeProblem(text: string): string | undefined {
  const range = readRange(text)
  return 'expected' in range ? range.expected : undefined
}
