import t from 'tap'
import { proveMainJob } from './main-job.ts'

const combination = { egress: 'http-connect-tcp', certificates: 'culvert' } as const

await t.test('kube-apiserver v1.36.3', (t) =>
  proveMainJob(t, { ...combination, kubeApiServer: 'v1.36.3', watchS: 120, lanes: 0 }),
)
await t.test('kube-apiserver v1.33.6, bulk over lanes', (t) =>
  proveMainJob(t, { ...combination, kubeApiServer: 'v1.33.6', watchS: 30, lanes: 4 }),
)
