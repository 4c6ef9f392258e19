import { rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { inClusterAccess } from '../../src/kubernetes/in-cluster.ts'

const pod = { KUBERNETES_SERVICE_HOST: '10.96.0.1', KUBERNETES_SERVICE_PORT: '443' }

t.test('finds the API server in the environment, and token and CA in files that are read anew', async (t) => {
  const folder = t.testdir({ token: 'first\n', 'ca.crt': 'PEM' })
  const { server, credentials } = await inClusterAccess(pod, folder)
  t.equal(server.href, 'https://10.96.0.1/')
  t.strictSame(await credentials(), { headers: { authorization: 'Bearer first' }, tls: { ca: 'PEM' } })
  writeFileSync(join(folder, 'token'), 'second')
  writeFileSync(join(folder, 'ca.crt'), 'PEM 2')
  t.strictSame(await credentials(), { headers: { authorization: 'Bearer second' }, tls: { ca: 'PEM 2' } })
  rmSync(join(folder, 'token'))
  await t.rejects(credentials(), { message: /token: there is no such file/ })
})

t.test('takes an address of IPv6 and any port', async (t) => {
  const folder = t.testdir({ token: 't', 'ca.crt': 'PEM' })
  const environment = { KUBERNETES_SERVICE_HOST: 'fd00::1', KUBERNETES_SERVICE_PORT: '6443' }
  t.equal((await inClusterAccess(environment, folder)).server.href, 'https://[fd00::1]:6443/')
})

t.test('says at once that this is no pod, or one without a token', async (t) => {
  for (const environment of [{}, { ...pod, KUBERNETES_SERVICE_HOST: '' }, { KUBERNETES_SERVICE_HOST: 'h' }]) {
    const message = /^failed to load kubernetes client config: .* so this is no pod: pass --kubeconfig$/
    await t.rejects(inClusterAccess(environment, t.testdir()), { code: 'bad-option', message })
  }
  await t.rejects(inClusterAccess(pod, t.testdir()), { code: 'bad-option', message: /token: there is no such file/ })
})
