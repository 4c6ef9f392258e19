import t from 'tap'
import { leaseObject, readLease, readLeaseList } from '../../src/kubernetes/lease.ts'

const stored = (spec: object) => ({ metadata: { name: 'l', resourceVersion: '7' }, spec })

t.test('expires after its duration, counted from when it was renewed, or else acquired', async (t) => {
  const renewTime = '2026-01-01T00:00:10.500000Z'
  const acquireTime = '2026-01-01T00:00:00.000000Z'
  const lease = readLease(stored({ renewTime, acquireTime, leaseDurationSeconds: 30 }))
  t.strictSame(lease, {
    name: 'l',
    holder: '',
    resourceVersion: '7',
    expiresUnixMs: Date.UTC(2026, 0, 1, 0, 0, 40, 500),
  })
  const acquired = readLease(stored({ acquireTime, leaseDurationSeconds: 30 }))
  t.equal(acquired?.expiresUnixMs, Date.UTC(2026, 0, 1, 0, 0, 30))
})

t.test('never was valid without a time, without a duration, or with what is none', async (t) => {
  const renewTime = '2026-01-01T00:00:00.000000Z'
  for (const spec of [{}, { leaseDurationSeconds: 30 }, { renewTime }, { renewTime: 'x', leaseDurationSeconds: 30 }]) {
    t.equal(readLease(stored(spec))?.expiresUnixMs, Number.NEGATIVE_INFINITY, JSON.stringify(spec))
  }
  t.equal(readLease({ metadata: { name: 'l', resourceVersion: '7' } })?.expiresUnixMs, Number.NEGATIVE_INFINITY)
})

t.test('is none without a name and a version', async (t) => {
  for (const value of [null, 'x', {}, { metadata: { name: 'l' } }, { metadata: { resourceVersion: '7' } }]) {
    t.equal(readLease(value), undefined)
    t.strictSame(readLeaseList({ metadata: { resourceVersion: '9' }, items: [value] }), {
      leases: [],
      resourceVersion: '9',
    })
  }
  t.equal(readLeaseList({ metadata: { resourceVersion: '9' } }), undefined)
  t.equal(readLeaseList({ items: [] }), undefined)
})

t.test('is written as an API server takes it: times with six digits, the version of what it replaces', async (t) => {
  const own = {
    name: 'konnectivity-proxy-server-s',
    holder: 's',
    labels: { a: 'b' },
    durationSeconds: 30,
    acquiredUnixMs: Date.UTC(2026, 0, 1, 0, 0, 0, 7),
  }
  const object = leaseObject(own, Date.UTC(2026, 0, 1, 0, 0, 15, 120))
  t.strictSame(object, {
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: { name: 'konnectivity-proxy-server-s', labels: { a: 'b' } },
    spec: {
      holderIdentity: 's',
      leaseDurationSeconds: 30,
      acquireTime: '2026-01-01T00:00:00.007000Z',
      renewTime: '2026-01-01T00:00:15.120000Z',
    },
  })
  t.match(leaseObject(own, 0, { resourceVersion: '7' }), { metadata: { resourceVersion: '7' } })
})

t.test('says how its holder is reached, and forgets what is no such text', async (t) => {
  const replica = { serverName: 'hub-0.example', address: 'hub.example:443' }
  const own = { name: 'l', holder: 's', labels: {}, replica, durationSeconds: 30, acquiredUnixMs: 0 }
  const object = leaseObject(own, 0, { resourceVersion: '7' }) as { metadata: { annotations: object } }
  const { annotations } = object.metadata
  t.strictSame(annotations, { 'culvert-server-name': 'hub-0.example', 'culvert-address': 'hub.example:443' })
  t.match(readLease(object), { holder: 's', replica })
  const read = (given: object) => readLease({ metadata: { name: 'l', resourceVersion: '7', annotations: given } })
  t.strictSame(read({ 'culvert-server-name': 'a' })?.replica, { serverName: 'a', address: '' })
  for (const given of [{}, { 'culvert-server-name': 1 }, { 'culvert-server-name': 'x'.repeat(301) }]) {
    t.equal(read(given)?.replica, undefined)
  }
  t.equal(read({ 'culvert-server-name': 'a', 'culvert-address': 1 })?.replica, undefined)
})
