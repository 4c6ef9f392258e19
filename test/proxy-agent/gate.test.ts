import t from 'tap'
import { MAX_POLICY_BYTES, type Policy, policyOf, readPolicyText } from '../../src/policy/policy.ts'
import { createGate, type GateDeps, PUSHES } from '../../src/proxy-agent/gate.ts'
import { processorMs } from '../platform/processor-time.ts'

function setup(own?: Policy, server: GateDeps['server'] = { address: undefined, port: undefined }) {
  let nowMs = 0
  const later = (ms: number): void => {
    nowMs += ms
  }
  const judged: number[] = []
  const gate = createGate({
    hubRanges: [],
    server,
    own: () => own,
    judged: (ms) => judged.push(ms),
    now: () => (nowMs += 2),
  })
  return { judged, gate, later, why: (address: string) => gate.judgeDial()({ address, port: 443 })?.why }
}
const text = '{"rules":[{"allow":{"cidr":["10.0.0.0/8"]}}]}'
const versionOf = (rules: string): string => {
  const read = readPolicyText(rules, 'p')
  return read.ok ? read.policy.version : ''
}
const version = versionOf(text)

t.test('times each judgement, by the policy as it is now', async (t) => {
  const { gate, judged, why } = setup(policyOf([]))
  t.equal(gate.judgeDial()({ name: 'web', port: 1 })?.why, 'policy')
  t.equal(why('10.0.0.1'), 'policy')
  t.strictSame(judged, [2, 2])
})

t.test('the server is not dialled where it is reached, as its socket says', async (t) => {
  const { why } = setup(undefined, { address: '::ffff:192.0.2.7', port: 443 })
  t.equal(why('192.0.2.7'), 'hub_range')
  t.equal(why('192.0.2.8'), undefined)
  t.equal(setup(undefined, { address: 'fe80::1%eth0', port: 443 }).why('192.0.2.7'), undefined)
})

t.test('a pushed policy is in force at once, and acknowledged by its version', async (t) => {
  const { gate, why } = setup()
  t.equal(why('11.0.0.1'), undefined)
  t.strictSame(gate.push({ version, rules: text }), { version, accepted: true, reason: '' })
  t.strictSame([why('10.0.0.1'), why('11.0.0.1')], [undefined, 'hub_policy'])
})

t.test('what is pushed while a dial waits narrows it, and opens nothing to it', async (t) => {
  const { gate, why } = setup()
  const wider = '{"rules":[{"allow":{"cidr":["10.0.0.0/8","192.168.0.0/16"]}},{"deny":{"cidr":["10.1.0.0/16"]}}]}'
  const judged = (judge: ReturnType<typeof gate.judgeDial>) =>
    ['10.0.0.1', '10.1.0.1', '192.168.1.1'].map((address) => judge({ name: 'web', address, port: 443 })?.why)
  const whenNothingWas = gate.judgeDial()
  gate.push({ version, rules: text })
  const before = gate.judgeDial()
  t.strictSame(judged(before), [undefined, undefined, 'hub_policy'])
  t.match(gate.push({ version: versionOf(wider), rules: wider }), { accepted: true })
  t.strictSame(judged(before), [undefined, 'hub_policy', 'hub_policy'], 'what both allow')
  t.strictSame(judged(whenNothingWas), [undefined, 'hub_policy', undefined], 'the server had no policy when it asked')
  t.strictSame(judged(gate.judgeDial()), [undefined, 'hub_policy', undefined])
  gate.push({ version, rules: 'unreadable' })
  const unreadable = gate.judgeDial()
  t.match(gate.push({ version, rules: text }), { accepted: true })
  t.equal(unreadable({ address: '10.0.0.1', port: 443 })?.why, 'hub_policy_unreadable')
  t.equal(why('10.0.0.1'), undefined)
})

t.test('one that cannot be read denies all until one can', async (t) => {
  const { gate, why } = setup()
  const unreadable = [
    '',
    'rules: []',
    `${text}${' '.repeat(MAX_POLICY_BYTES)}`,
    'rules',
    '{"rules":[{"allow":{}}],"then":"allow"}',
    '{"rules":[{"audit":{}}]}',
    '{"rules":[{"allow":{"country":"x"}}]}',
    `[${'['.repeat(100_000)}`,
    'rules: &a [*a]',
  ]
  for (const rules of unreadable) {
    const answer = gate.push({ version: 'v'.repeat(1_000), rules })
    t.match(answer, { version: 'v'.repeat(64), accepted: false, reason: /^.{0,60}expected/ }, rules.slice(0, 40))
    t.ok(answer !== 'too-often' && answer.reason.length <= 500)
    t.equal(why('10.0.0.1'), 'hub_policy_unreadable')
  }
  t.match(gate.push({ version, rules: text }), { accepted: true })
  t.equal(why('10.0.0.1'), undefined)
})

t.test('rules under another version than their own are not what somebody meant', async (t) => {
  const { gate, why } = setup()
  const reason = `expected the version ${version} of these rules`
  t.strictSame(gate.push({ version: '000000000000', rules: text }), {
    version: '000000000000',
    accepted: false,
    reason,
  })
  t.equal(why('10.0.0.1'), 'hub_policy_unreadable')
})

t.test('a server that pushes too often is told so, and has nothing dialled', async (t) => {
  const { gate, later, why } = setup()
  for (let count = 0; count < PUSHES; count++) t.match(gate.push({ version, rules: text }), { accepted: true })
  t.equal(gate.push({ version, rules: text }), 'too-often')
  t.equal(why('10.0.0.1'), 'hub_policy_unreadable')
  later(1_000)
  t.match(gate.push({ version, rules: text }), { accepted: true })
  t.equal(why('10.0.0.1'), undefined)
})

t.test('one frame of the longest that means nothing is read in a moment', async (t) => {
  const keys = Array.from({ length: 70_000 }, (_, index) => [`key-${index}`, 1])
  const rules = JSON.stringify(Object.fromEntries(keys))
  t.ok(rules.length > MAX_POLICY_BYTES * 0.8 && rules.length < MAX_POLICY_BYTES)
  const { gate } = setup()
  let answer: ReturnType<typeof gate.push> | undefined
  const tookMs = processorMs(() => {
    answer = gate.push({ version, rules })
  })
  t.match(answer, { accepted: false, reason: /^key-0: expected one of the keys rules/ })
  t.ok(tookMs < 2_000, 'it took minutes once')
})
