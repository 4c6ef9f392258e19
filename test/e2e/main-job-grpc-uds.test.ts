import t from 'tap'
import { proveMainJob } from './main-job.ts'

const combination = { egress: 'grpc-uds', certificates: 'openssl', watchS: 30 } as const

await t.test('kube-apiserver v1.36.3', (t) => proveMainJob(t, { ...combination, kubeApiServer: 'v1.36.3', lanes: 0 }))
await t.test('kube-apiserver v1.33.6, bulk over lanes', (t) =>
  proveMainJob(t, { ...combination, kubeApiServer: 'v1.33.6', lanes: 4 }),
)
