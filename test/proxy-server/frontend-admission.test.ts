import type { TLSSocket } from 'node:tls'
import t from 'tap'
import type { Cluster } from '../../src/clusters/cluster.ts'
import { createDirectory } from '../../src/clusters/directory.ts'
import { createFrontendAdmission } from '../../src/proxy-server/frontend-admission.ts'
import { cluster } from '../clusters/cluster.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'
import { recordedMetrics } from './recorded-metrics.ts'

t.test('reads the certificate of a client once, however often the clusters change', async (t) => {
  let directory = createDirectory([])
  const use = (...clusters: Cluster[]): void => {
    directory = createDirectory(clusters)
  }
  const unmapped: string[] = []
  const tenants = {
    directory: () => directory,
    unmapped: (port: string) => void unmapped.push(port),
  }
  const deps = { clock: manualClock(), log: recordedLog(), metrics: recordedMetrics() }
  const admission = createFrontendAdmission({ trustDomain: undefined, tenants }, deps)
  let read = 0
  const socket = {
    authorized: true,
    servername: 'eu-1.hub.example',
    getPeerX509Certificate() {
      read++
      return { subject: 'O=x\nCN=api', subjectAltName: 'DNS:api.example' }
    },
  } as unknown as TLSSocket
  use(cluster('eu-1', { frontends: { subjects: ['O=x, CN=api'] } }))
  const admitted = (id: string, by: string) => ({ kind: 'admitted', cluster: id, principal: `cluster/${id}/${by}` })
  t.strictSame(admission.overTls(socket), admitted('eu-1', 'O=x, CN=api'))
  use(cluster('eu-2', { frontends: { names: ['DNS:api.example'] } }))
  t.strictSame(admission.again(socket), admitted('eu-2', 'DNS:api.example'))
  use(cluster('eu-3', { frontends: { serverNames: ['eu-1.hub.example'] } }))
  t.strictSame(admission.again(socket), admitted('eu-3', 'O=x, CN=api'))
  use(cluster('eu-4'))
  t.match(admission.again(socket), { kind: 'refused', unmapped: true })
  t.strictSame([read, unmapped], [1, []])
})

const withoutTenants = () => {
  const log = recordedLog()
  const deps = { clock: manualClock(), log, metrics: recordedMetrics() }
  const admission = createFrontendAdmission({ trustDomain: 'hub.example' }, deps)
  const warned = () => log.lines.filter(({ level }) => level === 'warn').map(({ fields }) => fields.cause)
  return { warned, come: (socket: object) => admission.overTls({ remoteAddress: '192.0.2.1', ...socket } as TLSSocket) }
}
const unverified = (authorizationError: string) => ({ authorized: false, authorizationError, ...certificate() })
const certificate = (subjectAltName = '') => ({ getPeerX509Certificate: () => ({ subject: '', subjectAltName }) })

t.test('warns of each cause for which an address is refused', async (t) => {
  const { warned, come } = withoutTenants()
  for (let time = 0; time < 2; time++) {
    come({ getPeerX509Certificate: () => undefined })
    come(unverified('CERT_HAS_EXPIRED'))
    come({ authorized: true, ...certificate('URI:spiffe://hub.example/cluster/eu-1/agent/a') })
  }
  t.match(warned(), ['none was sent', 'it has expired', /^it is an agent certificate/])
  t.equal(warned().length, 3)
})

t.test('warns once of what the certificates of an address say, however they word it', async (t) => {
  const { warned, come } = withoutTenants()
  for (const name of ['x', 'y', 'z']) come({ authorized: true, ...certificate(`URI:spiffe://hub.example/${name}`) })
  t.match(warned(), [/"spiffe:\/\/hub\.example\/x"/])
  t.equal(warned().length, 1)
})
