/** `culvert policy` as a program: the verdicts are the agent's own. */
import { join } from 'node:path'
import t from 'tap'
import { culvert, type Run } from './run-culvert.ts'

const POLICY = `rules:
  - allow: { cidr: 10.0.0.0/8, ports: [443] }
  - allow: { name: localhost }
  - deny: { cidr: [10.1.0.0/16, 127.0.0.0/8, "::1"] }
  - allow: { name: "*.example" }
`

const policy: Run = (...argv) => culvert('policy', ...argv)

const HUB = `rules:
  - allow: { cidr: 10.0.0.0/8, ports: [443] }
  - allow: { cidr: 10.9.0.0/16 }
    from: user/prometheus
  - deny: { cidr: 10.2.0.0/16 }
    from: user/bob
  - deny: { cidr: 10.1.0.0/16 }
  - allow: { name: web.example }
`

const file = join(t.testdir({ 'policy.yaml': POLICY, 'hub.yaml': HUB, 'bad.yaml': 'rules: 1' }), 'policy.yaml')
const given = ['--policy-file', file]
const ofHub = ['--hub', '--policy-file', join(file, '../hub.yaml')]

t.test('explains each verdict, and exits with 1 where one is no yes', async (t) => {
  const allowed = await policy('test', '10.2.0.1:443', '[::ffff:10.2.0.1]:443', ...given)
  t.strictSame([allowed.code, allowed.stderr], [0, ''])
  t.equal(allowed.stdout.split('\n')[0], '10.2.0.1:443: allowed: rule 1 (line 2), allow 10.0.0.0/8 ports 443')
  t.match(allowed.stdout.split('\n')[1], /^\[::ffff:10\.2\.0\.1\]:443: allowed: rule 1/)
  const mixed = await policy(
    'test',
    '10.1.0.1:443',
    '0x0a000001:443',
    '169.254.169.254:80',
    'a.example:1',
    'db:443',
    ...given,
  )
  t.equal(mixed.code, 1)
  t.strictSame(mixed.stdout.trimEnd().split('\n'), [
    '10.1.0.1:443: denied: dial tcp 10.1.0.1:443: not allowed by the policy of this agent: rule 3, deny 10.1.0.0/16, 127.0.0.0/8, ::1/128',
    '0x0a000001:443: denied: dial tcp: lookup 0x0a000001: no such host',
    '169.254.169.254:80: denied: dial tcp 169.254.169.254:80: link-local addresses are not allowed by this agent',
    'a.example:1: undecided: it depends on the address: ask with --resolve or --address',
    'db:443: undecided: it depends on the address: ask with --resolve or --address',
  ])
})

t.test('judges names with the addresses that are given or found', async (t) => {
  const asked = await policy(
    'test',
    'a.example:1',
    ...given,
    '--address',
    '192.0.2.1',
    '--address',
    '10.1.0.9',
    '-o',
    'json',
  )
  t.equal(asked.code, 1)
  t.match(JSON.parse(asked.stdout), [
    { target: 'a.example:1', name: 'a.example', address: '192.0.2.1', verdict: 'allowed', why: /^rule 4 \(line 5\)/ },
    { target: 'a.example:1', name: 'a.example', address: '10.1.0.9', verdict: 'denied', why: /rule 3/ },
  ])
  const resolved = await policy('test', 'localhost:80', ...given, '--resolve')
  t.equal(resolved.code, 1)
  t.match(resolved.stdout, /^localhost:80 as (127\.0\.0\.1|::1): denied: .*rule 3/)
})

t.test('a hub’s policy is judged for who asks, by the server and then by the agent', async (t) => {
  const asked = async (targets: string[], ...more: string[]): Promise<string[]> =>
    (await policy('test', ...targets, ...ofHub, ...more)).stdout.trimEnd().split('\n')
  const by = 'not allowed by the policy of the cluster:'
  t.strictSame(await asked(['10.9.0.1:9090', '10.2.0.1:443'], '--from', 'user/prometheus'), [
    '10.9.0.1:9090: allowed: rule 2 (line 3), allow 10.9.0.0/16 from user/prometheus',
    '10.2.0.1:443: allowed: rule 1 (line 2), allow 10.0.0.0/8 ports 443',
  ])
  t.strictSame(await asked(['10.2.0.1:443'], '--from', 'user/bob'), [
    `10.2.0.1:443: denied: ${by} rule 3, deny 10.2.0.0/16`,
  ])
  t.strictSame(await asked(['10.9.0.1:9090', 'other.example:443', '10.1.0.1:443', '0x0a000001:443']), [
    `10.9.0.1:9090: denied: ${by} no rule allows it`,
    `other.example:443: denied: ${by} it depends on the address, which the agent cannot judge for who asks`,
    `10.1.0.1:443: denied: ${by} rule 4, deny 10.1.0.0/16`,
    `0x0a000001:443: denied: ${by} it is no name or address with a port`,
  ])
  const web = ['web.example:443']
  t.match(await asked(web), [/^web\.example:443: undecided: it depends on the address/])
  t.match(await asked(web, '--address', '10.3.0.1', '--address', '10.1.0.1', '--address', '169.254.1.1'), [
    /^web\.example:443 as 10\.3\.0\.1: allowed: rule 1 \(line 2\)/,
    /as 10\.1\.0\.1: denied: .*not allowed by the policy of the server: rule 3, deny 10\.1\.0\.0\/16$/,
    /as 169\.254\.1\.1: denied: .*link-local/,
  ])
  const json = await policy('test', ...web, '10.1.0.1:443', ...ofHub, '--from', 'user/bob', '-o', 'json')
  t.match(JSON.parse(json.stdout), [
    { name: 'web.example', address: null, verdict: 'denied', why: /cannot judge for who asks/ },
    { name: null, address: '10.1.0.1', verdict: 'denied' },
  ])
})

t.test('a hub’s policy is one only when that is said, and who asks is for it', async (t) => {
  t.match(await policy('test', 'a:1', '--hub'), { code: 1, stderr: /--hub: expected --policy-file as well/ })
  t.match(await policy('test', 'a:1', ...given, '--from', 'user/bob'), {
    code: 1,
    stderr: /--from: expected --hub as well/,
  })
  t.match(await policy('test', 'a:1', '--policy-file', join(file, '../hub.yaml')), {
    code: 1,
    stderr: /hub\.yaml:4: rules\.1\.from: expected one of the keys allow, deny, comment/,
  })
})

t.test('without a file, what is always refused; with --hub-ranges, those too', async (t) => {
  t.match(await policy('test', '10.0.0.1:1'), { code: 0, stdout: '10.0.0.1:1: allowed: there is no policy file\n' })
  t.match(await policy('test', '10.0.0.1:1', '--hub-ranges', '10.0.0.0/24'), {
    code: 1,
    stdout: /addresses of the hub/,
  })
})

t.test('says what is wrong with its line', async (t) => {
  t.match(await policy('test', ...given), { code: 1, stderr: /name a target, such as 10\.0\.0\.7:443/ })
  t.match(await policy('test', 'a:1', '--hub-ranges', '10.0.0.1/8'), {
    code: 1,
    stderr: /expected the first address of the range/,
  })
  t.match(await policy('test', 'a:1', '--policy-file', `${file}.none`), { code: 1, stderr: /there is no such file/ })
  t.match(await policy('validate', join(file, '../bad.yaml')), {
    code: 1,
    stderr: /bad\.yaml:1: rules: expected a list of rules/,
  })
  t.match(await policy('--help'), { code: 0, stdout: /test +Explain[\s\S]*validate +Check/ })
  t.match(await policy('test', '--help'), {
    code: 0,
    stdout: /Usage: culvert policy test[\s\S]*--resolve[\s\S]*Examples:/,
  })
})
