/**
 * A policy: it is read or every mistake is told with its place; what was read passes the schema that is shipped, and arrives at an agent
 * as it was pushed; its parts are read again from what is shown of them; server and agent together let nobody have what the rules of who
 * asks do not allow.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Ajv } from 'ajv'
import { ipBytes } from '../../../src/platform/ip-address.ts'
import { addressText, readRange } from '../../../src/policy/core/address.ts'
import { authorise, MAX_PUSHED_BYTES, pushedRules } from '../../../src/policy/core/authorise.ts'
import { canonicalPattern } from '../../../src/policy/core/name.ts'
import { type PolicyOf, writeRules } from '../../../src/policy/core/read-rules.ts'
import { judge, type Rules } from '../../../src/policy/core/rules.ts'
import { policyOf, readPolicyText, readPushedPolicy } from '../../../src/policy/policy.ts'
import { mutated, utf8 } from '../mutate.ts'
import { hold, type Target } from '../target.ts'
import { readAsJson, yamlPieces } from './yaml.ts'

const schema = JSON.parse(readFileSync(join(import.meta.dirname, '../../../config/policy.schema.json'), 'utf8'))
const isOfSchema = new Ajv({ strict: false }).compile(schema)
const pieces = [
  ...yamlPieces,
  ...utf8(
    'allow: ',
    'deny: ',
    'from: ',
    'cidr: ',
    'name: ',
    'ports: ',
    'comment: ',
    'rules: ',
    '*',
    '*.b',
    '443',
    '1-100',
  ),
  ...utf8(
    '10.0.0.0/8',
    '::/0',
    '0.0.0.0/0',
    'user/bob',
    '0x7f000001',
    '::ffff:10.0.0.0/104',
    '64:ff9b::/96',
    '2002::/16',
    '/33',
  ),
]
const clients = ['user/prometheus', 'cluster/default/apiserver', 'nobody']
const ports = [80, 443, 9090]
const addresses = ['10.96.0.1', '10.0.0.1', '10.0.99.1', 'fd00:10::1', '64:ff9b::a00:6301', '0.0.0.0', '::1']
const names = ['web.example', 'a.b', 'x.monitoring.svc.cluster.local', 'secret.svc.cluster.local']

export const policy: Target = {
  name: 'policy',
  ending: 'yaml',
  covers: [
    'policy/policy',
    'policy/core/address',
    'policy/core/authorise',
    'policy/core/name',
    'policy/core/read-rules',
  ]
    .concat('policy/core/rules', 'platform/yaml', 'platform/ip-address')
    .map((file) => `src/${file}.ts`),
  maxMs: 200,
  kinds: ['read', 'refused'],

  make: (random, corpus) => mutated(random, random.pick(corpus), corpus, pieces, 1 + random.below(3)),

  check(bytes) {
    const text = bytes.toString()
    const documents = readAsJson(text)
    const kinds = (['agent', 'hub'] as const).map((of) => checkAs(of, text, documents))
    hold(kinds[0] === 'refused' || kinds[1] === 'read', () => 'an agent reads what a hub does not')
    const pushed = readPushedPolicy(text)
    hold(pushed.ok || pushed.problems.length > 0, () => 'refused without a word when pushed')
    return kinds[1] ?? 'refused'
  },
}

function checkAs(of: PolicyOf, text: string, documents: readonly unknown[] | undefined): 'read' | 'refused' {
  const read = readPolicyText(text, 'p.yaml', of)
  if (!read.ok) {
    hold(read.problems.length > 0, () => 'refused without a word')
    const vague = read.problems.find((problem) => !/^p\.yaml(:[1-9]\d*)?: ./s.test(problem))
    hold(vague === undefined, () => `no place: ${vague}`)
    return 'refused'
  }
  hold(
    documents?.length === 1 && isOfSchema(documents[0]),
    () => `not of the schema: ${JSON.stringify(isOfSchema.errors)}`,
  )
  const { rules } = read.policy
  partsAreCanonical(rules)
  const pushed = policyOf(pushedRules(rules))
  const wire = writeRules(pushed.rules)
  hold(of === 'agent' || Buffer.byteLength(wire) <= MAX_PUSHED_BYTES, () => 'more is pushed than an agent takes')
  const arrived = readPushedPolicy(wire)
  hold(JSON.stringify(arrived) === JSON.stringify({ ok: true, value: pushed }), () => `arrives as another one: ${wire}`)
  const opened = clients.map((client) => opening(rules, pushed.rules, client)).find((found) => found !== undefined)
  hold(opened === undefined, () => `opens ${opened}`)
  return 'read'
}

function partsAreCanonical(rules: Rules): void {
  for (const { ranges, names } of rules) {
    for (const range of ranges) {
      hold(JSON.stringify(readRange(range.text)) === JSON.stringify(range), () => `the range ${range.text}`)
      const shown = addressText(range.bytes)
      hold(String(ipBytes(shown)) === String(range.bytes), () => `the address ${shown}`)
    }
    for (const name of names) hold(canonicalPattern(name) === name, () => `the name ${name}`)
  }
}

/** What somebody gets, or does not, against the rules. */
function opening(rules: Rules, pushed: Rules, client: string): string | undefined {
  const own = rules.filter(({ from }) => from.length === 0 || from.includes(client))
  const isAllowed = (by: Rules, target: Parameters<typeof judge>[1]): boolean => judge(by, target).kind === 'allowed'
  for (const port of ports) {
    for (const shown of addresses) {
      const target = { address: ipBytes(shown), port }
      const host = shown.includes(':') ? `[${shown}]` : shown
      const passes = authorise(rules, client, `${host}:${port}`).kind === 'allowed'
      if (passes !== isAllowed(own, target)) return `${client} to ${shown}:${port} by the server`
      if (passes && !isAllowed(pushed, target)) return `${client} to ${shown}:${port} by the agent`
      for (const name of names) {
        const { kind } = authorise(rules, client, `${name}:${port}`)
        const does = kind !== 'denied' && isAllowed(pushed, { ...target, name })
        if (does && !isAllowed(own, { ...target, name })) return `${client} to ${name}:${port} at ${shown}`
      }
    }
  }
  return undefined
}
