import t, { type Test } from 'tap'
import { keepLease } from '../../src/kubernetes/lease-controller.ts'
import { leasesIn } from '../../src/kubernetes/leases.ts'
import { eventually } from '../integration/deadline.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'
import { type Asked, apiStandIn, clientOf, status, storedLease } from './api-stand-in.ts'

const NAME = 'konnectivity-proxy-server-s-1'
const ALL = '/apis/coordination.k8s.io/v1/namespaces/kube-system/leases'
const ONE = `${ALL}/${NAME}`

async function setup(t: Test) {
  const api = await apiStandIn(t)
  const clock = manualClock()
  const log = recordedLog()
  const renewals: string[] = []
  const controller = keepLease({
    leases: leasesIn('kube-system', clientOf(t, api.access, clock)),
    name: NAME,
    holder: 's-1',
    labels: { 'k8s-app': 'konnectivity-server' },
    clock,
    random: () => 0.5,
    log,
    renewed: (outcome) => renewals.push(outcome),
  })
  /** The next request, which must be this one, answered. */
  const exchange = async (method: string, path: string, code: number, body: object): Promise<Asked> => {
    const asked = await api.next()
    t.equal(`${asked.method} ${asked.path}`, `${method} ${path}`)
    asked.answer(code, body)
    return asked
  }
  const stored = (version: string) => storedLease(NAME, version, clock.unixMs())
  const renewalsAre = (...expected: string[]) =>
    eventually(
      'renewals are told',
      () => renewals,
      (found) => found.join() === expected.join(),
    )
  return { ...api, clock, log, controller, exchange, stored, renewals, renewalsAre }
}

t.test('creates the lease, then renews it every 15 s as it last was', async (t) => {
  const { clock, controller, exchange, stored, renewalsAre, count } = await setup(t)
  t.notOk(controller.isHeld())
  const created = await exchange('POST', ALL, 201, stored('1'))
  t.match(created.body, {
    metadata: { name: NAME, labels: { 'k8s-app': 'konnectivity-server' } },
    spec: { holderIdentity: 's-1', leaseDurationSeconds: 30 },
  })
  await renewalsAre('renewed')
  t.ok(controller.isHeld())
  clock.advance(14_999)
  t.equal(count(), 1)
  clock.advance(1)
  const renewed = await exchange('PUT', ONE, 200, stored('2'))
  t.match(renewed.body, {
    metadata: { resourceVersion: '1' },
    spec: { acquireTime: '1970-01-01T00:00:00.000000Z', renewTime: '1970-01-01T00:00:15.000000Z' },
  })
  await renewalsAre('renewed', 'renewed')
})

t.test('takes over what an earlier run of the same server has left', async (t) => {
  const { exchange, stored, renewalsAre } = await setup(t)
  await exchange('POST', ALL, 409, status(409, 'AlreadyExists'))
  await exchange('GET', ONE, 200, stored('41'))
  const taken = await exchange('PUT', ONE, 200, stored('42'))
  t.match(taken.body, { metadata: { resourceVersion: '41' } })
  await renewalsAre('renewed')
})

t.test('creates it again when it has been deleted, also while it was looked at', async (t) => {
  const { clock, exchange, stored, renewalsAre } = await setup(t)
  await exchange('POST', ALL, 201, stored('1'))
  await renewalsAre('renewed')
  clock.advance(15_000)
  await exchange('PUT', ONE, 404, status(404, 'NotFound'))
  await exchange('POST', ALL, 409, status(409, 'AlreadyExists'))
  await exchange('GET', ONE, 404, status(404, 'NotFound'))
  await exchange('POST', ALL, 201, stored('9'))
  await renewalsAre('renewed', 'renewed')
})

t.test('gives up a renewal that somebody spoils five times, until the next', async (t) => {
  const { exchange, stored, renewalsAre, log } = await setup(t)
  await exchange('POST', ALL, 409, status(409, 'AlreadyExists'))
  for (let tries = 2; tries <= 5; tries++) {
    await exchange('GET', ONE, 200, stored(String(tries)))
    await exchange('PUT', ONE, 409, status(409, 'Conflict'))
  }
  await renewalsAre('failed')
  t.strictSame(log.messages('warn'), ['lease not renewed, trying on'])
})

t.test('goes on trying whatever the API server says, and tells of it once', async (t) => {
  const { clock, controller, exchange, stored, renewalsAre, log } = await setup(t)
  await exchange('POST', ALL, 403, status(403, 'Forbidden', 'leases is forbidden'))
  await renewalsAre('failed')
  clock.advance(550)
  await exchange('POST', ALL, 500, {})
  await renewalsAre('failed', 'failed')
  clock.advance(825)
  await exchange('POST', ALL, 200, { not: 'a lease' })
  await renewalsAre('failed', 'failed', 'failed')
  t.notOk(controller.isHeld())
  clock.advance(1_238)
  await exchange('POST', ALL, 201, stored('1'))
  await renewalsAre('failed', 'failed', 'failed', 'renewed')
  t.ok(controller.isHeld())
  t.match(log.lines, [
    { level: 'warn', message: 'lease not renewed, trying on', fields: { lease: NAME, reason: /leases is forbidden/ } },
    { level: 'info', message: 'lease renewed again' },
  ])
})

t.test('is held until the lease expires, though it cannot be renewed', async (t) => {
  const { clock, controller, exchange, stored, renewalsAre } = await setup(t)
  await exchange('POST', ALL, 201, stored('1'))
  await renewalsAre('renewed')
  clock.advance(15_000)
  await exchange('PUT', ONE, 503, status(503, 'ServiceUnavailable'))
  await renewalsAre('renewed', 'failed')
  t.ok(controller.isHeld())
  clock.advance(15_000)
  t.notOk(controller.isHeld())
})

t.test('removes the lease when it is withdrawn, and renews it no more', async (t) => {
  const { clock, controller, exchange, stored, renewalsAre, log, count } = await setup(t)
  await exchange('POST', ALL, 201, stored('1'))
  await renewalsAre('renewed')
  const gone = controller.withdraw()
  const asked = await exchange('DELETE', ONE, 200, {})
  t.equal(asked.body, undefined, 'whatever version is stored')
  await gone
  t.notOk(controller.isHeld())
  t.strictSame(log.messages('info'), ['lease withdrawn'])
  clock.advance(60_000)
  await controller.withdraw()
  t.equal(count(), 2)
})

t.test('removes it only after a renewal under way, which would bring it back', async (t) => {
  const { controller, exchange, next, stored, count } = await setup(t)
  const creating = await next()
  const gone = controller.withdraw()
  t.equal(count(), 1)
  creating.answer(201, stored('1'))
  await exchange('DELETE', ONE, 200, {})
  await gone
})

t.test('is content when somebody else has removed it', async (t) => {
  const { controller, exchange, stored, renewalsAre } = await setup(t)
  await exchange('POST', ALL, 201, stored('1'))
  await renewalsAre('renewed')
  const gone = controller.withdraw()
  await exchange('DELETE', ONE, 404, status(404, 'NotFound'))
  await gone
})

t.test('leaves it to expire when it cannot be removed, and says so', async (t) => {
  const { clock, controller, exchange, stored, renewalsAre, log } = await setup(t)
  await exchange('POST', ALL, 201, stored('1'))
  await renewalsAre('renewed')
  const gone = controller.withdraw()
  for (let removal = 1; removal <= 3; removal++) {
    await exchange('DELETE', ONE, 500, {})
    if (removal < 3) {
      await eventually(
        'it waits',
        () => clock.asked.filter((ms) => ms === 500).length,
        (found) => found === removal,
      )
      clock.advance(500)
    }
  }
  await gone
  t.strictSame(log.messages('warn'), ['lease not withdrawn, it will expire'])
})
