import { registerHooks } from 'node:module'
import { join } from 'node:path'
import t from 'tap'
import { openAccess } from '../../src/kubernetes/open-access.ts'

/** As outside of a pod, wherever the test runs. */
const podVariables = ['KUBERNETES_SERVICE_HOST', 'KUBERNETES_SERVICE_PORT']
const before = podVariables.map((name) => [name, process.env[name]] as const)
for (const name of podVariables) delete process.env[name]
t.teardown(() => {
  for (const [name, value] of before) if (value !== undefined) process.env[name] = value
})

const loaded: string[] = []
registerHooks({
  load(url, context, next) {
    loaded.push(url)
    return next(url, context)
  },
})
const hasReader = (): boolean => loaded.some((url) => url.endsWith('/src/kubernetes/kubeconfig.ts'))

t.test('is that of a pod where no kubeconfig is given, whose reader is not loaded then', async (t) => {
  await t.rejects(openAccess(''), { code: 'bad-option', message: /so this is no pod: pass --kubeconfig$/ })
  t.notOk(hasReader())
})

t.test('is that of the kubeconfig that is given', async (t) => {
  const text = JSON.stringify({
    'current-context': 'c',
    clusters: [{ name: 'k', cluster: { server: 'https://api.example:6443' } }],
    users: [{ name: 'u', user: { token: 'hunter2' } }],
    contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
  })
  const access = await openAccess(join(t.testdir({ config: text }), 'config'))
  t.equal(access.server.host, 'api.example:6443')
  t.match(await access.credentials(), { headers: { Authorization: 'Bearer hunter2' } })
  t.ok(hasReader())
})

t.test('says which kubeconfig cannot be used', async (t) => {
  const missing = join(t.testdir(), 'none')
  await t.rejects(openAccess(missing), { code: 'bad-option', message: `--kubeconfig ${missing}: ` })
})
