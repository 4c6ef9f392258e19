/** `culvert clusters` as a user runs it: the real program as a child process, in a folder of its own. */
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { parse } from 'yaml'
import { culvertIn, type Run } from './run-culvert.ts'

const clustersIn =
  (folder: string): Run =>
  (...argv) =>
    culvertIn(folder)('clusters', ...argv)

const lines = (text: string): string[] => text.split('\n').filter((line) => line !== '')

t.test('goes from nothing to a file of clusters, and back', async (t) => {
  const folder = t.testdir()
  const clusters = clustersIn(folder)
  const file = join(folder, 'clusters.yaml')
  t.match(await clusters('add', 'eu-1'), { code: 0, stdout: 'Added cluster eu-1 to clusters.yaml.\n', stderr: '' })
  const flags = [
    '--agent-subject',
    'O=x, CN=a',
    '--agent-user=u',
    '--user',
    'alice',
    '--server-name',
    'eu-2.hub.example',
  ]
  const limits = ['--limit', 'agents=2', '--limit=bufferedBytes=8MiB']
  t.match(await clusters('add', 'eu-2', ...flags, '--socket=/run/eu-2.sock', ...limits), { code: 0 })
  t.equal(
    readFileSync(file, 'utf8'),
    `id: eu-1
---
id: eu-2
agents:
  subjects:
    - O=x, CN=a
  users:
    - u
frontends:
  users:
    - alice
  serverNames:
    - eu-2.hub.example
  socket: /run/eu-2.sock
limits:
  agents: 2
  bufferedBytes: 8MiB
`,
  )
  t.match(await clusters('validate'), { code: 0, stdout: 'clusters.yaml: good: 2 clusters\n' })
  t.match(await clusters('list'), {
    code: 0,
    stdout:
      /^ID +AGENTS +CLIENTS +SERVER NAMES +SOCKET\neu-1 +0 +0 +- +-\neu-2 +2 +1 +eu-2\.hub\.example +\/run\/eu-2\.sock\n$/,
  })
  const { stdout: shown } = await clusters('show', 'eu-2')
  for (const word of [
    '/cluster/eu-2/agent/<name>',
    'subject is O=x, CN=a',
    'user certificate of alice',
    '8MiB',
    '2 agents',
  ]) {
    t.match(shown, word)
  }
  t.match(await clusters('remove', 'eu-1'), { code: 0, stdout: 'Removed cluster eu-1 from clusters.yaml.\n' })
  t.match(JSON.parse((await clusters('list', '-o', 'json')).stdout), [{ id: 'eu-2', limits: { clients: 20_000 } }])
  t.match(parse((await clusters('show', 'eu-2', '-o', 'yaml')).stdout), {
    id: 'eu-2',
    limits: { bufferedBytes: 8_388_608 },
  })
  t.match(await clusters('remove', 'eu-2'), { code: 0 })
  t.equal(readFileSync(file, 'utf8'), '', 'the file stays: a server looks at it')
  t.match(await clusters('list'), { code: 0, stdout: /^No clusters/ })
})

t.test('keeps a file for each cluster of a folder', async (t) => {
  const folder = t.testdir({ d: { 'both.yaml': '# two\nid: a\n---\nid: b # second\n' } })
  const clusters = clustersIn(folder)
  t.match(await clusters('add', 'eu-1', '--clusters', 'd'), { code: 0, stdout: 'Added cluster eu-1 to d/eu-1.yaml.\n' })
  t.match(await clusters('remove', 'a', '--clusters', 'd'), { code: 0 })
  t.equal(readFileSync(join(folder, 'd/both.yaml'), 'utf8'), '# two\n---\nid: b # second\n')
  t.match(await clusters('remove', 'eu-1', '--clusters=d'), { code: 0 })
  t.strictSame(readdirSync(join(folder, 'd')), ['both.yaml'])
})

t.test('writes nothing that a server would refuse', async (t) => {
  const folder = t.testdir({ 'clusters.yaml': 'id: a\nfrontends: {serverNames: [a.example]} # mine\n' })
  const clusters = clustersIn(folder)
  const before = readFileSync(join(folder, 'clusters.yaml'), 'utf8')
  t.match(await clusters('add', 'a'), {
    code: 1,
    stderr: /: cluster "a" is that of cluster a already, at clusters\.yaml:1\n/,
  })
  t.match(await clusters('add', 'b', '--server-name=a.example'), {
    code: 1,
    stderr: /server name "a\.example" is that of cluster a/,
  })
  t.match(await clusters('remove', 'c'), {
    code: 1,
    stderr: 'culvert clusters remove: clusters.yaml: there is no cluster c\n',
  })
  t.match(await clusters('show', 'c'), { code: 1, stderr: /there is no cluster c\n/ })
  t.equal(readFileSync(join(folder, 'clusters.yaml'), 'utf8'), before)
  t.strictSame(readdirSync(folder), ['clusters.yaml'], 'nothing is left behind')
})

t.test('reports every mistake of a file with its line', async (t) => {
  const folder = t.testdir({ 'clusters.yaml': 'id: A\n---\nid: b\nlimit: {}\n' })
  const { code, stderr } = await clustersIn(folder)('validate')
  t.equal(code, 1)
  t.strictSame(lines(stderr), [
    'culvert clusters validate: clusters.yaml:1: id: expected a DNS label such as eu-1, got "A"',
    'culvert clusters validate: clusters.yaml:4: cluster: expected one of id, agents, frontends, policy, limits, got "limit"',
  ])
  t.match(await clustersIn(t.testdir())('list'), { code: 1, stderr: /clusters\.yaml/ })
})

t.test('reports every mistake of a line', async (t) => {
  const folder = t.testdir()
  const { code, stderr } = await clustersIn(folder)(
    'add',
    'EU',
    'b',
    '--limit',
    'size=1',
    '--server-name=A',
    '--colour',
  )
  t.equal(code, 1)
  t.match(stderr, '--colour: unknown flag')
  t.match(stderr, '--limit: expected one of agents, clients,')
  t.match(stderr, '"b": unexpected; add takes one cluster')
  t.notOk(existsSync(join(folder, 'clusters.yaml')))
  t.match(await clustersIn(folder)('add', 'EU', '--server-name=A'), {
    code: 1,
    stderr: /id: expected a DNS label such as eu-1, got "EU"\n.*serverNames\[0\]: expected a host name in lower case/,
  })
  for (const command of ['add', 'show', 'remove']) {
    t.match(await clustersIn(folder)(command), { code: 1, stderr: new RegExp(`name the cluster to ${command}\n`) })
  }
  t.match(await clustersIn(folder)('list', 'x'), { code: 1, stderr: /"x": unexpected; list takes flags only/ })
})

t.test('keeps the mode of a file, and a link to it', async (t) => {
  const folder = t.testdir()
  mkdirSync(join(folder, 'real'))
  writeFileSync(join(folder, 'real/c.yaml'), 'id: a\n')
  chmodSync(join(folder, 'real/c.yaml'), 0o600)
  symlinkSync('real/c.yaml', join(folder, 'clusters.yaml'))
  t.match(await clustersIn(folder)('add', 'b'), { code: 0 })
  t.equal(readFileSync(join(folder, 'real/c.yaml'), 'utf8'), 'id: a\n---\nid: b\n')
  t.equal(statSync(join(folder, 'real/c.yaml')).mode & 0o777, 0o600)
})

t.test('a join token is made for a cluster that is listed only, where the list is given', async (t) => {
  const folder = t.testdir({ 'clusters.yaml': 'id: eu-1\n' })
  const culvert = culvertIn(folder)
  t.match(await culvert('pki', 'init', '--trust-domain=hub.example'), { code: 0 })
  const create = ['token', 'create', '--clusters=clusters.yaml', '--cluster']
  t.match(await culvert(...create, 'eu1'), {
    code: 1,
    stdout: '',
    stderr: 'culvert token create: clusters.yaml: there is no cluster eu1: did you mean eu-1?\n',
  })
  t.notOk(existsSync(join(folder, 'pki/join-tokens')), 'no token was made')
  t.match(await culvert(...create, 'eu-1'), { code: 0, stderr: '' })
})

t.test('shows help for itself and for each command, with examples', async (t) => {
  const clusters = clustersIn(t.testdir())
  t.match(await clusters('--help'), {
    code: 0,
    stdout: /Usage: culvert clusters <command>[\s\S]*validate /,
    stderr: '',
  })
  for (const command of ['add', 'list', 'show', 'remove', 'validate']) {
    const stdout = new RegExp(
      `Usage: culvert clusters ${command} [\\s\\S]*\nExamples:\n {2}culvert clusters ${command}`,
    )
    t.match(await clusters(command, '--help'), { code: 0, stdout, stderr: '' })
  }
})
