/** `culvert pki` as a user runs it: the real program as a child process, in a folder of its own. */
import { X509Certificate } from 'node:crypto'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { DAY_MS } from '../../src/pki/lifetime.ts'
import { writePair } from '../../src/pki/store.ts'
import { culvertIn, type Run } from './run-culvert.ts'

const pkiIn =
  (folder: string): Run =>
  (...argv) =>
    culvertIn(folder)('pki', ...argv)

/** A folder in which `pki/` holds a CA, and the program run there. */
async function setup(t: Test): Promise<{ folder: string; pki: Run }> {
  const folder = t.testdir()
  writePair(join(folder, 'pki'), 'ca', await createAuthority({ trustDomain: 'hub.example' }), 'keep')
  return { folder, pki: pkiIn(folder) }
}

const certificate = (file: string): X509Certificate => new X509Certificate(readFileSync(file))
const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '')

t.test('goes from nothing to certificates for every role, and verifies them', async (t) => {
  const folder = t.testdir()
  const pki = pkiIn(folder)
  t.match(await pki('init', '--trust-domain', 'hub.example', '--lifetime', '30d'), {
    code: 0,
    stdout: /Made the CA of hub\.example, valid for 30d/,
    stderr: '',
  })
  const names = ['--dns', 'hub.example', '--dns=*.hub.example', '--ip', '192.0.2.7', '--ip', '::1']
  t.match(await pki('issue', 'server', 'hub-0', ...names, '--lifetime=1d12h'), {
    code: 0,
    stdout: /^Issued server hub-0 in hub\.example, valid until /,
    stderr: '',
  })
  t.match(await pki('issue', 'agent', 'a1', '--cluster', 'eu-1', '--lifetime', '24h', '--out', 'agent'), { code: 0 })
  t.match(await pki('issue', 'apiserver', '--lifetime', '24h'), { code: 0 })
  t.match(await pki('issue', 'user', 'alice', '--lifetime', '24h'), { code: 0 })

  t.strictSame(readdirSync(folder).sort(), ['agent', 'pki'])
  t.strictSame(readdirSync(join(folder, 'agent')).sort(), ['a1.crt', 'a1.key', 'ca.crt'])
  for (const path of ['pki', 'agent']) t.equal(statSync(join(folder, path)).mode & 0o777, 0o700, path)
  for (const path of ['pki/ca.key', 'pki/hub-0.key', 'agent/a1.key', 'pki/apiserver.key', 'pki/alice.key']) {
    t.equal(statSync(join(folder, path)).mode & 0o777, 0o600, path)
  }
  t.match(
    certificate(join(folder, 'pki/hub-0.crt')).subjectAltName,
    'spiffe://hub.example/server/hub-0, DNS:hub.example, ',
  )
  t.match(
    certificate(join(folder, 'pki/apiserver.crt')).subjectAltName,
    'spiffe://hub.example/cluster/default/apiserver',
  )

  for (const [file, role, ...more] of [
    ['pki/hub-0.crt', 'server', '--name', 'hub-0'],
    ['agent/a1.crt', 'agent', '--cluster', 'eu-1', '--name', 'a1', '--ca', 'pki/ca.crt'],
    ['pki/apiserver.crt', 'apiserver', '--cluster', 'default'],
    ['pki/alice.crt', 'user', '--trust-domain', 'hub.example'],
  ] as const) {
    const stdout = new RegExp(`^${file}: good: ${role} .*, key ${file.replace('crt', 'key')} belongs to it\n$`)
    t.match(await pki('verify', file, '--role', role, ...more), { code: 0, stdout, stderr: '' })
  }
})

t.test('keeps a CA and a certificate that exist, unless forced', async (t) => {
  const { folder, pki } = await setup(t)
  const before = readFileSync(join(folder, 'pki/ca.key'), 'utf8')
  t.match(await pki('init', '--trust-domain', 'hub.example'), {
    code: 1,
    stdout: '',
    stderr: /^culvert pki init: pki\/ca\.key and pki\/ca\.crt exist already: .* --force to replace them\n$/,
  })
  t.equal(readFileSync(join(folder, 'pki/ca.key'), 'utf8'), before)
  t.match(await pki('issue', 'user', 'a'), { code: 0 })
  t.match(await pki('issue', 'user', 'a'), { code: 1, stderr: /a\.key and pki\/a\.crt exist already/ })
  t.match(await pki('issue', 'user', 'a', '--force'), { code: 0 })
  t.match(await pki('init', '--trust-domain', 'new.example', '--force'), { code: 0 })
  t.match(certificate(join(folder, 'pki/ca.crt')).subjectAltName, 'spiffe://new.example')
  t.match(await pki('verify', 'pki/a.crt'), { code: 1, stderr: /pki\/a\.crt: was not issued by this CA\n/ })
})

t.test('reports every mistake of a line at once, and then does nothing', async (t) => {
  const { folder, pki } = await setup(t)
  const { code, stdout, stderr } = await pki('issue', 'server', 'a/b', 'c', '--colour', '--lifetime', '20y')
  t.equal(code, 1)
  t.equal(stdout, '')
  t.strictSame(lines(stderr), [
    'culvert pki issue: --colour: unknown flag',
    'culvert pki issue: --lifetime: expected a lifetime from 1s to 36500d, such as 365d or 24h, got "20y"',
    'culvert pki issue: "c": unexpected; issue takes a role and a name',
    'culvert pki issue: "a/b": expected a name of 1 to 253 letters, digits, ".", "-" or "_"',
    'culvert pki issue: --dns or --ip: must be set for a server: agents and API servers accept it under these names only',
    '"culvert pki issue --help" says more',
  ])
  t.strictSame(readdirSync(join(folder, 'pki')).sort(), ['ca.crt', 'ca.key'])
})

t.test("never lets a leaf take the name of the CA's own files", async (t) => {
  const { folder, pki } = await setup(t)
  const before = readFileSync(join(folder, 'pki/ca.key'), 'utf8')
  for (const name of ['ca', 'CA']) {
    t.match(await pki('issue', 'user', name, '--force'), { code: 1, stderr: /is the name of the CA's own files/ })
  }
  t.equal(readFileSync(join(folder, 'pki/ca.key'), 'utf8'), before)
})

t.test('says what to do where there is no CA', async (t) => {
  const folder = t.testdir()
  t.match(await pkiIn(folder)('issue', 'user', 'a', '--out', 'b'), {
    code: 1,
    stderr: /^culvert pki issue: pki\/ca\.crt: there is no CA here: make one with "culvert pki init --dir pki"/,
  })
  t.notOk(existsSync(join(folder, 'b')))
})

t.test('says when a lifetime was cut to that of the CA', async (t) => {
  const folder = t.testdir()
  const authority = await createAuthority({ trustDomain: 'hub.example', lifetimeMs: 2 * DAY_MS })
  writePair(join(folder, 'pki'), 'ca', authority, 'keep')
  t.match(await pkiIn(folder)('issue', 'user', 'a'), {
    code: 0,
    stderr: /the lifetime is cut to the end of the CA, \d{4}-/,
  })
  t.match(await pkiIn(folder)('issue', 'user', 'b', '--lifetime', '1d'), { code: 0, stderr: '' })
})

t.test('shows certificates for people and for scripts, and no key', async (t) => {
  const { folder, pki } = await setup(t)
  const expired = { nowUnixMs: Date.now() - 3 * DAY_MS, lifetimeMs: DAY_MS }
  const authority = await createAuthority({ trustDomain: 'old.example', nowUnixMs: expired.nowUnixMs })
  const identity = { role: 'agent', cluster: 'eu-1', name: 'a1' } as const
  const leaf = await issueLeaf(authority, { ...expired, identity })
  writeFileSync(join(folder, 'mixed.pem'), leaf.certificatePem + leaf.keyPem)

  const text = await pki('show', 'pki/ca.crt', 'mixed.pem')
  t.match(text, { code: 0, stderr: '' })
  t.match(
    text.stdout,
    /^pki\/ca\.crt\n {2}subject[\s\S]*role +CA of hub\.example\n[\s\S]*CA +yes\n[\s\S]*\n\nmixed\.pem\n/,
  )
  t.match(text.stdout, /role +agent a1 of cluster eu-1 in old\.example\n[\s\S]*\(EXPIRED\)\n/)
  t.notMatch(text.stdout, /PRIVATE|BEGIN/)

  const json = await pki('show', 'pki/ca.crt', '-o', 'json', 'mixed.pem')
  t.match(JSON.parse(json.stdout), [
    { file: 'pki/ca.crt', isAuthority: true, role: 'none', daysLeft: 3649 },
    {
      file: 'mixed.pem',
      isAuthority: false,
      role: 'agent',
      cluster: 'eu-1',
      name: 'a1',
      trustDomain: 'old.example',
      daysLeft: -3,
      names: ['URI:spiffe://old.example/cluster/eu-1/agent/a1'],
      sha256: certificate(join(folder, 'mixed.pem')).fingerprint256,
    },
  ])
  t.notMatch(json.stdout, /PRIVATE|BEGIN/)

  const partly = await pki('show', 'pki/ca.key', 'missing', 'pki/ca.crt')
  t.match(partly, { code: 1, stdout: /^pki\/ca\.crt\n/ })
  t.strictSame(lines(partly.stderr), [
    'culvert pki show: pki/ca.key: holds a private key, not a certificate',
    'culvert pki show: missing: cannot be read: no such file or directory',
  ])
})

t.test('verify reports every cause, and as JSON too', async (t) => {
  const { folder, pki } = await setup(t)
  await pki('issue', 'agent', 'a1')
  await pki('issue', 'user', 'alice')
  const asked = ['verify', 'pki/a1.crt', '--key', 'pki/alice.key', '--role', 'user', '--cluster', 'eu-1', '--name', 'b']
  const causes = [
    'the key does not belong to the certificate',
    'expected the role user, found agent',
    'expected the cluster eu-1, found default',
    'expected the name b, found a1',
  ]
  const text = await pki(...asked)
  t.match(text, { code: 1, stdout: '' })
  t.strictSame(
    lines(text.stderr),
    causes.map((cause) => `culvert pki verify: pki/a1.crt: ${cause}`),
  )
  const json = await pki(...asked, '-o', 'json')
  t.match(json, { code: 1, stderr: '' })
  t.match(JSON.parse(json.stdout), {
    file: 'pki/a1.crt',
    ok: false,
    problems: causes,
    keyFile: 'pki/alice.key',
    role: 'agent',
  })
  const good = await pki('verify', 'pki/a1.crt', '-o', 'json')
  t.match(JSON.parse(good.stdout), { ok: true, problems: [], keyFile: 'pki/a1.key', cluster: 'default' })

  writeFileSync(join(folder, 'alone.crt'), readFileSync(join(folder, 'pki/a1.crt')))
  t.match(await pki('verify', 'alone.crt', '--ca', 'pki/ca.crt'), { code: 0, stdout: /days left, no key checked\n$/ })
  t.match(await pki('verify', 'alone.crt'), {
    code: 1,
    stderr: /^culvert pki verify: ca\.crt: cannot be read: no such file/,
  })
})

t.test('shows help for itself and for each command, with examples', async (t) => {
  const pki = pkiIn(t.testdir())
  t.match(await pki('--help'), {
    code: 0,
    stdout: /Usage: culvert pki <command>[\s\S]*init [\s\S]*issue [\s\S]*show [\s\S]*verify /,
    stderr: '',
  })
  for (const command of ['init', 'issue', 'show', 'list', 'verify', 'revoke', 'crl']) {
    const stdout = new RegExp(
      `Usage: culvert pki ${command} [\\s\\S]*\nFlags:\n[\\s\\S]*\nExamples:\n  culvert pki ${command}`,
    )
    t.match(await pki(command, '--help'), { code: 0, stdout, stderr: '' })
  }
  t.match(await pki('renew'), {
    code: 1,
    stderr: /unknown command "renew"\nexpected one of init, issue, show, list, verify, revoke, crl; /,
  })
  t.match(await pki(), { code: 1, stderr: /no command given\n/ })
})
