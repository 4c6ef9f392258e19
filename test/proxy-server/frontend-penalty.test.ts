import { Socket } from 'node:net'
import t from 'tap'
import type { AuditRecord } from '../../src/audit/record.ts'
import { MAX_VAIN, VAIN_PER_SECOND } from '../../src/proxy-server/core/penalty-box.ts'
import { createPenalty, LONGEST_TURN_MS, MAX_HELD } from '../../src/proxy-server/frontend-penalty.ts'
import { comesFrom } from '../../src/proxy-server/source.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'

const evil = { kind: 'admitted', cluster: 'evil', principal: 'cluster/evil/apiserver' } as const
const calm = { kind: 'admitted', cluster: 'calm', principal: 'cluster/calm/apiserver' } as const
const alice = { kind: 'admitted', cluster: 'evil', principal: 'user/alice' } as const

const TURN_MS = 1_000 / VAIN_PER_SECOND

function setup() {
  const clock = manualClock()
  const log = recordedLog()
  const turnedAway: string[] = []
  const told: AuditRecord[] = []
  const taken: Socket[] = []
  const penalty = createPenalty({
    clock,
    log,
    metrics: { handshakeFailed: (port, why) => turnedAway.push(`${port} ${why}`) },
    auditOften: (record) => told.push(record),
  })
  penalty.came('192.0.2.1', evil)
  penalty.came('192.0.2.2', calm)
  const take = penalty.gate((socket) => taken.push(socket))
  const come = (count: number, from = '192.0.2.1'): Socket[] =>
    Array.from({ length: count }, () => {
      const socket = new Socket()
      Object.defineProperty(socket, 'remoteAddress', { value: from })
      take(socket)
      return socket
    })
  const inVain = (who: typeof evil | typeof alice): void => {
    for (let count = 0; count < MAX_VAIN; count++) penalty.vain(who)
  }
  return { clock, log, penalty, come, taken, turnedAway, told, inVain, take }
}

t.test('connections of a cluster that owes begin their handshakes one after the other, others at once', async (t) => {
  const { clock, come, taken, inVain, turnedAway } = setup()
  come(3)
  t.equal(taken.length, 3, 'it owes nothing')
  inVain(evil)
  const waiting = come(3)
  const [other] = come(1, '192.0.2.2')
  t.strictSame(taken.slice(3), [other])
  for (const [index, socket] of waiting.entries()) {
    clock.advance(TURN_MS - 1)
    t.equal(taken.length, 4 + index, 'not yet')
    clock.advance(1)
    t.equal(taken.at(-1), socket)
  }
  clock.advance(2 * LONGEST_TURN_MS)
  t.strictSame([turnedAway, clock.waiting()], [[], 0])
})

t.test('who has waited for too long is hung up on, and told of', async (t) => {
  const { clock, come, taken, inVain, turnedAway, told } = setup()
  inVain(evil)
  const count = LONGEST_TURN_MS / TURN_MS + 2
  const waiting = come(count)
  for (let passed = 0; passed < LONGEST_TURN_MS; passed += TURN_MS) clock.advance(TURN_MS)
  const late = waiting.filter(({ destroyed }) => destroyed)
  t.equal(taken.length + late.length, count)
  t.ok(late.length > 0)
  t.notOk(taken.some(({ destroyed }) => destroyed))
  t.strictSame(
    turnedAway,
    Array.from(late, () => 'frontend too_many'),
  )
  t.match(told[0], {
    event: 'frontend',
    source: '192.0.2.1',
    verdict: 'refused',
    reason: 'TLS handshake: too many',
  })
})

t.test('of those that wait there are so many, the next are hung up on at once; who goes makes room', async (t) => {
  const { come, inVain, turnedAway } = setup()
  inVain(evil)
  const [first] = come(MAX_HELD)
  const [over] = come(1)
  t.ok(over?.destroyed)
  t.equal(turnedAway.length, 1)
  const closed = new Promise((resolve) => first?.once('close', resolve))
  first?.destroy()
  await closed
  t.notOk(come(1)[0]?.destroyed)
})

t.test('who waits and goes is not given a turn, and the next turn comes all the same', async (t) => {
  const { clock, come, taken, inVain } = setup()
  inVain(evil)
  const [gone] = come(1)
  const closed = new Promise((resolve) => gone?.once('close', resolve))
  gone?.destroy()
  await closed
  t.equal(clock.waiting(), 1, 'nobody hangs up on it later')
  const [next] = come(1)
  clock.advance(TURN_MS)
  t.strictSame(taken, [next])
  const [last] = come(1)
  clock.advance(TURN_MS)
  t.strictSame(taken, [next, last])
  clock.advance(LONGEST_TURN_MS)
  t.equal(clock.waiting(), 0)
})

t.test('the holder of a user certificate owes alone, whichever cluster he asks for', async (t) => {
  const { come, taken, inVain, penalty } = setup()
  penalty.came('192.0.2.3', alice)
  penalty.came('192.0.2.3', { ...alice, cluster: 'calm' })
  inVain(alice)
  come(1, '192.0.2.3')
  t.equal(taken.length, 0)
  come(1)
  t.equal(taken.length, 1, 'his cluster owes nothing')
})

t.test('goes by the address that a front door tells of, and by networks of IPv6', async (t) => {
  const { penalty, taken, inVain, take } = setup()
  penalty.came('2001:db8::1', evil)
  inVain(evil)
  const behindDoor = new Socket()
  Object.defineProperty(behindDoor, 'remoteAddress', { value: '192.0.2.2' })
  comesFrom(behindDoor, { ip: '2001:db8::abcd', port: 1 })
  take(behindDoor)
  t.equal(taken.length, 0)
})

t.test('who breaks off handshakes owes as well; who came by a Unix socket has no address', async (t) => {
  const { penalty, come, taken, log } = setup()
  penalty.came(undefined, evil)
  penalty.failed(undefined)
  for (let count = 0; count < MAX_VAIN; count++) penalty.failed('192.0.2.1')
  come(1)
  t.equal(taken.length, 0)
  t.equal(log.messages('warn').length, 1)
})

t.test('says in the log who owes, and what follows from it, once in a while', async (t) => {
  const { log, inVain, clock } = setup()
  inVain(evil)
  clock.advance(11_000)
  inVain(evil)
  const warnings = log.lines.filter(({ level }) => level === 'warn')
  t.match(warnings, [{ fields: { owner: 'cluster/evil' }, message: /handshakes came to nothing/ }])
  t.equal(warnings.length, 1)
})
