import { execFileSync } from 'node:child_process'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { kubeconfigAccess } from '../../src/kubernetes/kubeconfig.ts'

type Changes = { readonly cluster?: object; readonly user?: object; readonly top?: object }

function config(t: Test, { cluster = {}, user = {}, top = {} }: Changes, files: Record<string, string> = {}): string {
  const text = JSON.stringify({
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': 'c',
    clusters: [{ name: 'k', cluster: { server: 'https://api.example:6443', ...cluster } }],
    users: [{ name: 'u', user }],
    contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
    ...top,
  })
  return join(t.testdir({ ...files, 'kube.config': text }), 'kube.config')
}

t.test('reads YAML too', async (t) => {
  const text = `
current-context: c
clusters:
- {name: k, cluster: {server: "https://api.example/prefix/"}}
users:
- {name: u, user: {token: hunter2}}
contexts:
- {name: c, context: {cluster: k, user: u}}
`
  const access = await kubeconfigAccess(join(t.testdir({ config: text }), 'config'))
  t.equal(access.server.href, 'https://api.example/prefix')
  t.match(await access.credentials(), { headers: { Authorization: 'Bearer hunter2' } })
})

t.test('has certificates from files beside it, as they are by now', async (t) => {
  const cluster = { 'certificate-authority': 'ca.crt', 'tls-server-name': 'other.example' }
  const user = { 'client-certificate': 'u.crt', 'client-key': 'u.key' }
  const path = config(t, { cluster, user }, { 'ca.crt': 'CA', 'u.crt': 'CERT', 'u.key': 'KEY' })
  const { credentials } = await kubeconfigAccess(path)
  const { tls, headers, agent } = await credentials()
  t.strictSame(headers, {})
  t.equal(agent, undefined, 'the library would keep these certificates for ever')
  t.strictSame(Object.fromEntries(Object.entries(tls).map(([name, value]) => [name, String(value)])), {
    ca: 'CA',
    cert: 'CERT',
    key: 'KEY',
    servername: 'other.example',
  })
  writeFileSync(join(path, '../u.crt'), 'CERT 2')
  t.equal(String((await credentials()).tls.cert), 'CERT 2')
})

t.test('has certificates from its own text', async (t) => {
  const base64 = (text: string): string => Buffer.from(text).toString('base64')
  const cluster = { 'certificate-authority-data': base64('CA') }
  const user = { 'client-certificate-data': base64('CERT'), 'client-key-data': base64('KEY') }
  const { tls } = await (await kubeconfigAccess(config(t, { cluster, user }))).credentials()
  t.strictSame([tls.ca, tls.cert, tls.key].map(String), ['CA', 'CERT', 'KEY'])
})

t.test('has a token from a file beside it', async (t) => {
  const path = config(t, { user: { tokenFile: 'the.token' } }, { 'the.token': 'first' })
  t.match(await (await kubeconfigAccess(path)).credentials(), { headers: { Authorization: 'Bearer first' } })
})

t.test('has credentials that a plug-in prints', async (t) => {
  const print = `console.log(JSON.stringify({ status: { token: 'printed' } }))`
  const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: process.execPath, args: ['-e', print] }
  const { credentials } = await kubeconfigAccess(config(t, { user: { exec } }))
  t.match(await credentials(), { headers: { Authorization: 'Bearer printed' } })
})

t.test(
  'calls a plug-in as Kubernetes promises: by a path beside the kubeconfig, told what it is asked for',
  async (t) => {
    const plugin = `#!${process.execPath}
    const { apiVersion, spec } = JSON.parse(process.env.KUBERNETES_EXEC_INFO)
    console.log(JSON.stringify({ status: { token: [apiVersion, spec.interactive, process.env.MORE].join() } }))`
    const env = [{ name: 'MORE', value: 'more' }]
    const exec = { apiVersion: 'client.authentication.k8s.io/v1', command: './plug-in.cjs', env }
    const path = config(t, { user: { exec } }, { 'plug-in.cjs': plugin })
    chmodSync(join(path, '../plug-in.cjs'), 0o700)
    const { headers } = await (await kubeconfigAccess(path)).credentials()
    t.strictSame(headers, { Authorization: 'Bearer client.authentication.k8s.io/v1,false,more' })
  },
)

t.test('starts a plug-in that takes its time only once', async (t) => {
  const folder = t.testdir({ runs: '' })
  const print = `
    const { appendFileSync, existsSync } = require('node:fs')
    appendFileSync('${folder}/runs', 'x')
    setInterval(() => {
      if (!existsSync('${folder}/go')) return
      console.log(JSON.stringify({ status: { token: 'printed' } }))
      process.exit()
    }, 10)`
  const exec = { command: process.execPath, args: ['-e', print] }
  const text = { 'current-context': 'c', clusters: [{ name: 'k', cluster: { server: 'https://h' } }] }
  const users = [{ name: 'u', user: { exec } }]
  const contexts = [{ name: 'c', context: { cluster: 'k', user: 'u' } }]
  writeFileSync(join(folder, 'config'), JSON.stringify({ ...text, users, contexts }))
  const { credentials } = await kubeconfigAccess(join(folder, 'config'))
  const asked = [credentials(), credentials(), credentials()]
  writeFileSync(join(folder, 'go'), '')
  for (const { headers } of await Promise.all(asked)) t.match(headers, { Authorization: 'Bearer printed' })
  t.equal(readFileSync(join(folder, 'runs'), 'utf8'), 'x')
})

t.test('says that a plug-in failed, and nothing that it printed to its output', async (t) => {
  const fails = { command: process.execPath, args: ['-e', "console.error('no such account'); process.exit(1)"] }
  const message = /^the credentials of --kubeconfig cannot be had: no such account/
  await t.rejects((await kubeconfigAccess(config(t, { user: { exec: fails } }))).credentials(), { message })
  const garbage = { command: process.execPath, args: ['-e', `console.log('{"status":{"token":hunter2')`] }
  const { credentials } = await kubeconfigAccess(config(t, { user: { exec: garbage } }))
  await t.rejects(credentials(), { message: /cannot be had: what a plug-in printed is no JSON$/ })
  const missing = { command: '/no/such/plug-in' }
  await t.rejects((await kubeconfigAccess(config(t, { user: { exec: missing } }))).credentials(), { message: /ENOENT/ })
})

t.test('has a name and a password, and whom to act as', async (t) => {
  const user = { username: 'u', password: 'p', as: 'somebody' }
  const { headers } = await (await kubeconfigAccess(config(t, { user }))).credentials()
  t.match(headers, { authorization: `Basic ${Buffer.from('u:p').toString('base64')}`, 'Impersonate-User': 'somebody' })
})

t.test('connects through a proxy where it names one', async (t) => {
  const path = config(t, { cluster: { 'proxy-url': 'http://proxy.example:3128' } })
  t.ok((await (await kubeconfigAccess(path)).credentials()).agent)
})

t.test('refuses a file that cannot be used, by its name and with nothing that is in it', async (t) => {
  const text = (content: string) => () => join(t.testdir({ config: content }), 'config')
  const changed = (changes: Changes) => () => config(t, changes)
  const cases: readonly (readonly [make: () => string, why: RegExp])[] = [
    [() => '/no/such/file', /there is no such file/],
    [text(''), /expected a document/],
    [text('users: [{name: u, user: {token: hunter2}}'), /unexpected end of the stream/],
    [text('users: [{user: {token: hunter2}}]'), /users\[0\]\.name is missing/],
    [text(`a: ${'x'.repeat(1_048_576)}`), /over the limit of 1048576 bytes/],
    [changed({ top: { 'current-context': 'other' } }), /current-context "other" names no cluster/],
    [changed({ top: { users: [] } }), /names no user/],
    [changed({ cluster: { server: 'http://api.example' } }), /expected a server such as https:\/\/10\.0\.0\.1:6443/],
    [changed({ cluster: { server: 'api.example' } }), /expected a server such as https/],
  ]
  for (const [make, why] of cases) {
    const path = make()
    const error = await kubeconfigAccess(path).then(
      () => undefined,
      (cause) => cause as Error,
    )
    t.match(error, { code: 'bad-option', message: why })
    t.match(error?.message, new RegExp(`^failed to load kubernetes client config: --kubeconfig ${path}: `))
    t.notMatch(error?.stack, /hunter2/)
  }
})

t.test('is what loads the client library, and nothing else does', async (t) => {
  const seen = `import { registerHooks } from 'node:module'
    registerHooks({ resolve(name, context, next) {
      if (name.includes('client-node')) console.log('loaded')
      return next(name, context)
    } })`
  const hook = `data:text/javascript,${encodeURIComponent(seen)}`
  const loads = (code: string): string =>
    execFileSync(process.execPath, ['--import', hook, '--input-type=module', '-e', code], {
      cwd: new URL('../..', import.meta.url),
      encoding: 'utf8',
    })
  const programs = "await import('./src/proxy-server/run.ts'); await import('./src/proxy-agent/run.ts')"
  const open = (path: string): string =>
    `const { openAccess } = await import('./src/kubernetes/open-access.ts'); await openAccess('${path}').catch(() => 0)`
  t.equal(loads(`${programs}; ${open('')}`), '')
  t.match(loads(open('/no/such/file')), /^loaded/)
})
