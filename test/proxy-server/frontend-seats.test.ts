import { Socket } from 'node:net'
import t from 'tap'
import { createSeats } from '../../src/proxy-server/frontend-seats.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { roomyUnread } from './roomy-unread.ts'

t.test('has no place for a client whose cluster has just been removed, nor for its calls', async (t) => {
  const admission = { kind: 'admitted', cluster: 'eu-1', principal: 'user/alice' } as const
  const tenants = { get: () => undefined, refused: () => t.fail('it is at no limit'), onChange: () => undefined }
  const seats = createSeats(tenants, { unread: roomyUnread(), clock: manualClock() }, () => admission)
  const seat = seats.take(new Socket(), admission, 'clients', () => undefined)
  const cause = 'its cluster has just been removed'
  t.strictSame(seat?.admission, { kind: 'refused', cause, unmapped: true })
  t.strictSame(seats.call('eu-1'), { text: cause })
})
