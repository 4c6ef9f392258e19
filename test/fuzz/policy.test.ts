/**
 * A policy from whatever text: it is read or every mistake is told with its place, without an exception; what was read arrives at an
 * agent as it was pushed; and server and agent together let nobody have what the rules of who asks do not allow. The corpus is
 * policies in their forms. A failing round prints its seed; CULVERT_FUZZ_SEED and CULVERT_FUZZ_ROUNDS replay or prolong.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { ipBytes } from '../../src/platform/ip-address.ts'
import { authorise, MAX_PUSHED_BYTES, pushedRules } from '../../src/policy/core/authorise.ts'
import { type PolicyOf, writeRules } from '../../src/policy/core/read-rules.ts'
import { judge, type Rules } from '../../src/policy/core/rules.ts'
import { policyOf, readPolicyText, readPushedPolicy } from '../../src/policy/policy.ts'
import { createRandom, type Random } from '../platform/random.ts'

const ROUNDS = Number(process.env.CULVERT_FUZZ_ROUNDS ?? 1_000)
const SEED = Number(process.env.CULVERT_FUZZ_SEED ?? 1)
const FOLDER = join(import.meta.dirname, 'corpus/policy')

const corpus = readdirSync(FOLDER).map((name) => ({ name, text: readFileSync(join(FOLDER, name), 'utf8') }))
const pieces = [
  ...'allow: |deny: |from: |cidr: |name: |ports: |comment: |rules: '.split('|'),
  ...'10.0.0.0/8|::/0|0.0.0.0/0|*|*.b|443|1-100|user/bob|-1|1e9|0x7f000001'.split('|'),
  ...'{|}|{}|[|]|[[[[[[[[|,|.|:|/|#|- |---\n|"|&a |*a|!t |~|null|true|__proto__|constructor'.split('|'),
  ...'\n| |  |\n  - |\n    |\t|\r\n|\0|\ud800|\u2028|\u0130'.split('|'),
]
const clients = ['user/prometheus', 'cluster/default/apiserver', 'nobody']
const ports = [80, 443, 9090]
const addresses = ['10.96.0.1', '10.0.0.1', '10.0.99.1', 'fd00:10::1', '64:ff9b::a00:6301', '0.0.0.0', '::1']
const names = ['web.example', 'a.b', 'x.monitoring.svc.cluster.local', 'secret.svc.cluster.local']

function mutated(random: Random): string {
  let { text } = random.pick(corpus)
  for (let count = 1 + random.below(3); count > 0; count--) {
    const at = random.below(text.length + 1)
    const dropped = random.chance(50) ? random.below(20) : 0
    text = text.slice(0, at) + (random.chance(80) ? random.pick(pieces) : '') + text.slice(at + dropped)
  }
  return text
}

function fault(text: string, of: PolicyOf): string | undefined {
  const read = readPolicyText(text, 'p.yaml', of)
  if (!read.ok) {
    const vague = read.problems.find((problem) => !/^p\.yaml(:[1-9]\d*)?: \S/.test(problem))
    return read.problems.length === 0 ? 'refused without a word' : vague && `no place: ${vague}`
  }
  const { rules } = read.policy
  const pushed = policyOf(pushedRules(rules))
  const wire = writeRules(pushed.rules)
  if (of === 'hub' && Buffer.byteLength(wire) > MAX_PUSHED_BYTES) return 'more is pushed than an agent takes'
  const arrived = readPushedPolicy(wire)
  if (JSON.stringify(arrived) !== JSON.stringify({ ok: true, value: pushed })) return `arrives as another one: ${wire}`
  return clients.map((client) => opening(rules, pushed.rules, client)).find((opened) => opened !== undefined)
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

t.test('the corpus is read, as an agent’s where it says not who asks', async (t) => {
  t.ok(corpus.length >= 5)
  for (const { name, text } of corpus) {
    t.equal(fault(text, 'hub'), undefined, name)
    t.equal(readPolicyText(text, name, 'hub').ok, true, name)
    t.equal(readPolicyText(text, name).ok, !text.includes('from:'), name)
  }
})

t.test('whatever the text, the answer is one, and opens nothing', async (t) => {
  let good = 0
  for (let seed = SEED; seed < SEED + ROUNDS; seed++) {
    const text = mutated(createRandom(seed))
    if (readPolicyText(text, 'p.yaml', 'hub').ok) good++
    const found = fault(text, 'agent') ?? fault(text, 'hub')
    if (found !== undefined) t.fail(`seed ${seed}: ${found}\n${JSON.stringify(text)}`)
    const pushed = readPushedPolicy(text)
    if (!pushed.ok && pushed.problems.length === 0) t.fail(`seed ${seed}: refused without a word when pushed`)
  }
  t.ok(good > ROUNDS / 20, `${good} of ${ROUNDS} are good: they are looked at as well`)
})
