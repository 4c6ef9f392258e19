import { Socket } from 'node:net'
import t from 'tap'
import type { AuditRecord } from '../../src/audit/record.ts'
import { createRepeatedAudit } from '../../src/audit/repeated.ts'
import { createTenant, MAX_TOLD } from '../../src/proxy-server/core/tenant.ts'
import { createSeats, MAX_SILENT } from '../../src/proxy-server/frontend-seats.ts'
import { createBudget } from '../../src/tunnel/budget.ts'
import { cluster } from '../clusters/cluster.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedPenalty } from './recorded-penalty.ts'
import { roomyUnread } from './roomy-unread.ts'

const admission = { kind: 'admitted', cluster: 'eu-1', principal: 'user/alice' } as const

t.test('tells the audit log of many that are over the limit in one line', async (t) => {
  const told: AuditRecord[] = []
  const clock = manualClock()
  const { limits } = cluster('eu-1', { limits: { clients: 0 } })
  const tenant = createTenant('eu-1', limits, { processBudget: createBudget(1), after: clock.after })
  const tenants = { get: () => tenant, refused: () => undefined, onChange: () => undefined }
  const auditOften = createRepeatedAudit((record) => void told.push(record), clock)
  const seats = createSeats(tenants, { unread: roomyUnread(), clock, auditOften }, () => admission)
  for (let count = 0; count < 5; count++) {
    seats.take(new Socket(), admission, 'clients', () => undefined)
    seats.call('eu-1', 'user/alice')
  }
  const reason = 'cluster eu-1 is at its limit of 0 clients'
  t.match(told, [{ event: 'frontend', cluster: 'eu-1', principal: 'user/alice', verdict: 'refused', reason }])
  t.equal(told.length, 1)
})

t.test('of those that are hung up on without a word so many wait, and when they are gone others may', async (t) => {
  const clock = manualClock()
  const { limits } = cluster('eu-1', { limits: { clients: 0 } })
  const tenant = createTenant('eu-1', limits, { processBudget: createBudget(1), after: clock.after })
  const tenants = { get: () => tenant, refused: () => undefined, onChange: () => undefined }
  const seats = createSeats(tenants, { unread: roomyUnread(), clock }, () => admission)
  const come = (count: number): Socket[] =>
    Array.from({ length: count }, () => {
      const socket = new Socket()
      seats.take(socket, admission, 'clients', () => undefined)
      return socket
    })
  come(MAX_TOLD)
  const waiting = come(MAX_SILENT)
  t.notOk(waiting.some(({ destroyed }) => destroyed))
  t.ok(come(1)[0]?.destroyed)
  const closed = new Promise((resolve) => waiting[0]?.once('close', resolve))
  waiting[0]?.destroy()
  await closed
  t.notOk(come(1)[0]?.destroyed)
  t.ok(come(1)[0]?.destroyed)
})

t.test('has no place for a client whose cluster has just been removed, nor for its calls', async (t) => {
  const tenants = { get: () => undefined, refused: () => t.fail('it is at no limit'), onChange: () => undefined }
  const seats = createSeats(tenants, { unread: roomyUnread(), clock: manualClock() }, () => admission)
  const seat = seats.take(new Socket(), admission, 'clients', () => undefined)
  const cause = 'its cluster has just been removed'
  t.strictSame(seat?.admission, { kind: 'refused', cause, unmapped: true })
  t.strictSame(seats.call('eu-1', 'user/alice'), { text: cause })
})

t.test('of those that are hung up on without a word, who does not wait for it was there in vain', async (t) => {
  const clock = manualClock()
  const penalty = recordedPenalty()
  const { limits } = cluster('eu-1', { limits: { clients: 0 } })
  const tenant = createTenant('eu-1', limits, { processBudget: createBudget(1), after: clock.after })
  tenant.told = MAX_TOLD
  const tenants = { get: () => tenant, refused: () => undefined, onChange: () => undefined }
  const seats = createSeats(tenants, { unread: roomyUnread(), clock, penalty }, () => admission)
  const isVain = (): number => penalty.told.filter(([verb]) => verb === 'vain').length
  const come = (): Socket => {
    const socket = new Socket()
    Object.defineProperty(socket, 'remoteAddress', { value: '192.0.2.1' })
    seats.take(socket, admission, 'clients', () => undefined)
    return socket
  }
  const [impatient, patient] = [come(), come()]
  const gone = [impatient, patient].map((socket) => new Promise((resolve) => socket.once('close', resolve)))
  impatient.emit('end')
  await gone[0]
  t.equal(isVain(), 1)
  clock.advance(60_000)
  await gone[1]
  t.equal(isVain(), 1)
  for (let count = 0; count < MAX_SILENT; count++) come()
  t.equal(isVain(), 1)
  t.ok(come().destroyed)
  t.equal(isVain(), 2, 'nothing makes it wait')
  t.strictSame(penalty.told[0], ['vain', 'eu-1', '192.0.2.1'])
})
