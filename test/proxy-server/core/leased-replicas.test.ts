import t from 'tap'
import { leasedReplicas } from '../../../src/proxy-server/core/leased-replicas.ts'

const own = { id: 'hub-0', serverName: 'hub-0.example', address: '', workers: 1 }
const lease = (holder: string, serverName?: string, address = '') => ({
  name: `lease-${holder}`,
  resourceVersion: '1',
  holder,
  expiresUnixMs: 0,
  ...(serverName !== undefined && { replica: { serverName, address } }),
})

t.test('lists the holders by the names that their leases have, and itself in any case', async (t) => {
  t.strictSame(leasedReplicas([], own), { ok: true, list: [own] })
  const leases = [lease('hub-1', 'hub-1.example', 'hub.example:1'), lease('hub-0', 'hub-0.example')]
  t.strictSame(leasedReplicas(leases, own), {
    ok: true,
    list: [own, { id: 'hub-1', serverName: 'hub-1.example', address: 'hub.example:1', workers: 1 }],
  })
})

t.test('takes leases of one name for the workers of one replica', async (t) => {
  const leases = [lease('hub-1-w2', 'hub-1.example'), lease('hub-1-w1', 'hub-1.example')]
  t.match(leasedReplicas(leases, own), { list: [own, { id: 'hub-1-w1', workers: 2 }] })
  const mine = { ...own, id: 'hub-0-w1-1234', workers: 2 }
  t.match(leasedReplicas([lease('hub-0-w1', 'hub-0.example')], mine), { list: [{ id: 'hub-0-w1', workers: 2 }] })
  const fewer = [1, 2, 3].map((number) => lease(`hub-0-w${number}`, 'hub-0.example'))
  t.match(leasedReplicas(fewer, mine), { list: [{ id: 'hub-0-w1', workers: 3 }] })
})

t.test('the same leases make the same list, in whatever order they come', async (t) => {
  const leases = [lease('b', 'b.example'), lease('a', 'z.example'), lease('c', 'b.example')]
  t.strictSame(leasedReplicas(leases, own), leasedReplicas(leases.toReversed(), own))
})

t.test('makes no list where a holder has no name, or where agents would refuse it', async (t) => {
  t.match(leasedReplicas([lease('stock')], own), { ok: false, reason: /no server name/ })
  t.match(leasedReplicas([lease('x', '10.0.0.1')], own), { ok: false, reason: /a DNS name/ })
})
