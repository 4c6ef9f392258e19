import t, { type Test } from 'tap'
import { type LeaseChange, type Leases, leasesIn } from '../../src/kubernetes/leases.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { type Asked, apiStandIn, clientOf, leaseList, status, storedLease } from './api-stand-in.ts'

const ALL = '/apis/coordination.k8s.io/v1/namespaces/ns/leases'
const own = { name: 'l', holder: 's', labels: { a: 'b' }, durationSeconds: 30, acquiredUnixMs: 0 }
const lease = { name: 'l', holder: '', resourceVersion: '7', expiresUnixMs: 30_000 }

async function setup(t: Test, namespace = 'ns') {
  const api = await apiStandIn(t)
  return { ...api, leases: leasesIn(namespace, clientOf(t, api.access, manualClock())) }
}

/** What was asked, and what came of the answer. */
async function answered<T>({ next }: { next: () => Promise<Asked> }, code: number, body: object, work: Promise<T>) {
  const asked = await next()
  asked.answer(code, body)
  return { asked, result: await work }
}

t.test('reads, makes, renews and deletes each lease under its own path', async (t) => {
  const api = await setup(t)
  const { leases } = api
  const stored = storedLease('l', '7', 0)
  const list = await answered(api, 200, leaseList('9', stored), leases.list('a=b,c'))
  t.match(list.asked, { method: 'GET', path: ALL, query: { labelSelector: 'a=b,c' }, body: undefined })
  t.strictSame(list.result, { leases: [lease], resourceVersion: '9' })
  const got = await answered(api, 200, stored, leases.get('l'))
  t.match(got.asked, { method: 'GET', path: `${ALL}/l` })
  t.strictSame(got.result, lease)
  const made = await answered(api, 201, stored, leases.create(own, 1_000))
  t.match(made.asked, { method: 'POST', path: ALL, body: { metadata: { name: 'l' }, spec: { holderIdentity: 's' } } })
  t.notOk((made.asked.body as typeof stored).metadata.resourceVersion, 'a new one has no version')
  const renewed = await answered(api, 200, stored, leases.replace(own, 1_000, lease))
  t.match(renewed.asked, { method: 'PUT', path: `${ALL}/l`, body: { metadata: { resourceVersion: '7' } } })
  const removed = await answered(api, 200, status(200, ''), leases.remove('l', lease))
  t.match(removed.asked, {
    method: 'DELETE',
    path: `${ALL}/l`,
    body: { kind: 'DeleteOptions', preconditions: { resourceVersion: '7' } },
  })
  const whatever = await answered(api, 200, status(200, ''), leases.remove('l'))
  t.equal(whatever.asked.body, undefined, 'whichever version it is')
})

t.test('lets no name or namespace lead elsewhere', async (t) => {
  const api = await setup(t, '../x')
  const { asked } = await answered(api, 200, storedLease('l', '7', 0), api.leases.get('a/../../b?c#d'))
  t.strictSame(
    [asked.path, asked.query],
    ['/apis/coordination.k8s.io/v1/namespaces/..%2Fx/leases/a%2F..%2F..%2Fb%3Fc%23d', {}],
  )
})

/** All that read an answer. */
const readings = (leases: Leases): readonly (readonly [string, () => Promise<unknown>])[] => [
  ['list leases in ns', () => leases.list('')],
  ['get lease l', () => leases.get('l')],
  ['create lease l', () => leases.create(own, 0)],
  ['renew lease l', () => leases.replace(own, 0, lease)],
]

t.test('says what was refused, with the status by which one goes on', async (t) => {
  const api = await setup(t)
  for (const [what, act] of [...readings(api.leases), ['delete lease l', () => api.leases.remove('l')] as const]) {
    const message = `${what}: the API server refused (409): no`
    const refused = t.rejects(act, { name: 'ApiError', message, status: 409, reason: 'Conflict' }, what)
    ;(await api.next()).answer(409, status(409, 'Conflict'))
    await refused
  }
})

t.test('takes nothing else for a lease or a list', async (t) => {
  const api = await setup(t)
  for (const [what, act] of readings(api.leases)) {
    for (const body of [[], status(200, ''), { items: {}, metadata: { name: 'l' } }]) {
      const message = `${what}: the API server answered with something else`
      const refused = t.rejects(act, { name: 'ApiError', message }, `${what}: ${JSON.stringify(body)}`)
      ;(await api.next()).answer(200, body)
      await refused
    }
  }
})

/** A watch that hears these events and then ends. */
async function watched(t: Test, ...events: readonly object[]) {
  const api = await setup(t)
  const changes: LeaseChange[] = []
  let opened = 0
  const ended = api.leases.watch({
    selector: 'a=b',
    resourceVersion: '9',
    watchMs: 60_000,
    opened: () => opened++,
    changed: (change) => changes.push(change),
    signal: new AbortController().signal,
  })
  ended.catch(() => undefined)
  const asked = await api.next()
  asked.answer(200, events.map((event) => `${JSON.stringify(event)}\n`).join(''))
  const error = await ended.then(
    () => undefined,
    (error: Error) => error,
  )
  return { asked, changes, error, opened }
}

t.test('hears what is changed, removed or not there, from a version on', async (t) => {
  const object = storedLease('l', '7', 0)
  const types = ['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'of tomorrow', 'constructor']
  const { asked, changes, error, opened } = await watched(t, ...types.map((type) => ({ type, object })))
  t.match(asked, {
    path: ALL,
    query: { watch: 'true', labelSelector: 'a=b', resourceVersion: '9', timeoutSeconds: '60' },
  })
  const kinds = ['changed', 'changed', 'removed', 'none', 'changed', 'changed']
  t.strictSame([changes, error, opened], [kinds.map((kind) => ({ kind, lease })), undefined, 1])
})

t.test('ends with the error that the API server sends as an event', async (t) => {
  const object = storedLease('l', '7', 0)
  const { changes, error } = await watched(
    t,
    { type: 'ADDED', object },
    { type: 'ERROR', object: status(410, 'Expired', 'too old resource version') },
    { type: 'ADDED', object },
  )
  t.equal(changes.length, 1)
  const message = 'watch leases in ns: the API server refused (410): too old resource version'
  t.match(error, { name: 'ApiError', message, status: 410, reason: 'Expired' })
})

t.test('ends at an event that is none', async (t) => {
  for (const event of [[], {}, { type: 'ADDED' }, { type: 'ADDED', object: { metadata: { name: 'l' } } }]) {
    const { changes, error } = await watched(t, event)
    t.strictSame(changes, [])
    t.match(
      error,
      { message: 'watch leases in ns: the API server answered with something else' },
      JSON.stringify(event),
    )
  }
})
