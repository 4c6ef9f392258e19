import { Socket } from 'node:net'
import t from 'tap'
import type { AuditRecord } from '../../src/audit/record.ts'
import { createDirectory } from '../../src/clusters/directory.ts'
import { MAX_VAIN, VAIN_PER_SECOND } from '../../src/proxy-server/core/penalty-box.ts'
import { createPenalty, LONGEST_TURN_MS, MAX_HELD } from '../../src/proxy-server/frontend-penalty.ts'
import { comesFrom } from '../../src/proxy-server/source.ts'
import { cluster } from '../clusters/cluster.ts'
import { manualClock } from '../platform/manual-clock.ts'
import { recordedLog } from '../platform/recorded-log.ts'

const TURN_MS = 1_000 / VAIN_PER_SECOND
const evil = cluster('evil', { frontends: { addresses: ['192.0.2.1', '2001:db8::/64'] } })
const calm = cluster('calm', { frontends: { addresses: ['192.0.2.2/32'] } })

function setup() {
  const clock = manualClock()
  const log = recordedLog()
  const turnedAway: string[] = []
  const told: AuditRecord[] = []
  const taken: Socket[] = []
  let directory = createDirectory([evil, calm])
  const changes: (() => void)[] = []
  const penalty = createPenalty({
    clock,
    log,
    metrics: { handshakeFailed: (port, why) => turnedAway.push(`${port} ${why}`) },
    tenants: { directory: () => directory, onChange: (changed) => void changes.push(changed) },
    auditOften: (record) => told.push(record),
  })
  const take = penalty.gate((socket) => taken.push(socket))
  const from = (address: string): Socket => {
    const socket = new Socket()
    Object.defineProperty(socket, 'remoteAddress', { value: address })
    return socket
  }
  const come = (count: number, address = '192.0.2.1'): Socket[] =>
    Array.from({ length: count }, () => {
      const socket = from(address)
      take(socket)
      return socket
    })
  const inVain = (id = 'evil', address = '192.0.2.1'): void => {
    for (let count = 0; count < MAX_VAIN; count++) penalty.vain(id, address)
  }
  const change = (...clusters: (typeof evil)[]): void => {
    directory = createDirectory(clusters)
    for (const changed of changes) changed()
  }
  return { clock, log, penalty, come, from, taken, turnedAway, told, inVain, take, change }
}

t.test('connections of a cluster that owes begin their handshakes one after the other, others at once', async (t) => {
  const { clock, come, taken, inVain, turnedAway } = setup()
  come(3)
  t.equal(taken.length, 3, 'it owes nothing')
  inVain()
  const waiting = come(3)
  const others = [...come(1, '192.0.2.2'), ...come(1, '192.0.2.3')]
  t.strictSame(taken.slice(3), others)
  for (const [index, socket] of waiting.entries()) {
    clock.advance(TURN_MS - 1)
    t.equal(taken.length, 5 + index, 'not yet')
    clock.advance(1)
    t.equal(taken.at(-1), socket)
  }
  clock.advance(2 * LONGEST_TURN_MS)
  t.strictSame([turnedAway, clock.waiting()], [[], 0])
})

t.test('who has waited for too long is hung up on, and told of', async (t) => {
  const { clock, come, taken, inVain, turnedAway, told } = setup()
  inVain()
  const count = Math.ceil(LONGEST_TURN_MS / TURN_MS) + 2
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
  t.match(told[0], { event: 'frontend', source: '192.0.2.1', verdict: 'refused', reason: 'TLS handshake: too many' })
})

t.test('of those that wait there are so many, the next are hung up on at once; who goes makes room', async (t) => {
  const { come, inVain, turnedAway } = setup()
  inVain()
  const [first] = come(MAX_HELD)
  const [over] = come(1)
  t.ok(over?.destroyed)
  t.equal(turnedAway.length, 1)
  const closed = new Promise((resolve) => first?.once('close', resolve))
  first?.destroy()
  await closed
  t.notOk(come(1)[0]?.destroyed)
})

t.test('who is known to have gone is not given a turn, and the next turn comes all the same', async (t) => {
  const { clock, come, taken, inVain } = setup()
  inVain()
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

t.test('counts what comes from the addresses of its own cluster, and nothing else', async (t) => {
  const { come, taken, inVain, penalty } = setup()
  inVain('evil', '192.0.2.3')
  for (let count = 0; count < MAX_VAIN; count++) penalty.vain('evil', undefined)
  inVain('evil', '192.0.2.2')
  come(1)
  come(1, '192.0.2.2')
  t.equal(taken.length, 2)
})

t.test('goes by the address that a front door tells of', async (t) => {
  const { taken, inVain, take, from } = setup()
  inVain()
  const behindDoor = from('192.0.2.2')
  comesFrom(behindDoor, { ip: '2001:db8::abcd', port: 1 })
  take(behindDoor)
  t.equal(taken.length, 0)
})

t.test('who breaks off counts by where he came from; who had to wait may have given up', async (t) => {
  const { penalty, come, from, taken, log, clock } = setup()
  for (let count = 0; count < MAX_VAIN; count++) penalty.brokeOff(from('192.0.2.9'))
  for (let count = 0; count < MAX_VAIN; count++) penalty.brokeOff(from('192.0.2.1'))
  const [held] = come(1)
  t.equal(taken.length, 0)
  t.equal(log.messages('warn').length, 1)
  clock.advance((1_000 * (MAX_VAIN - 1)) / VAIN_PER_SECOND)
  for (let count = 0; count < MAX_VAIN; count++) penalty.brokeOff(held!)
  clock.advance(TURN_MS)
  const before = taken.length
  come(1)
  t.equal(taken.length, before + 1, 'it owes nothing any more')
})

t.test('a dial pays for one in vain', async (t) => {
  const { penalty, come, taken, inVain } = setup()
  for (let count = 0; count < MAX_VAIN; count++) penalty.ofUse('evil')
  inVain()
  come(1)
  t.equal(taken.length, 0)
  for (let count = 0; count < MAX_VAIN; count++) penalty.ofUse('evil')
  come(1)
  t.equal(taken.length, 1)
})

t.test('a cluster that was removed and comes back owes nothing, and addresses are those of now', async (t) => {
  const { come, taken, inVain, change } = setup()
  inVain()
  change(calm)
  come(1)
  t.equal(taken.length, 1)
  change(calm, evil)
  come(1)
  t.equal(taken.length, 2)
  inVain()
  change(calm, cluster('evil', { frontends: { addresses: ['192.0.2.77'] } }))
  come(1)
  t.equal(taken.length, 3)
  come(1, '192.0.2.77')
  t.equal(taken.length, 3)
})

t.test('says in the log who owes, and what follows from it, once in a while', async (t) => {
  const { log, inVain, clock } = setup()
  inVain()
  clock.advance(11_000)
  inVain()
  const warnings = log.lines.filter(({ level }) => level === 'warn')
  t.match(warnings, [{ fields: { cluster: 'evil' }, message: /handshakes of its clients came to nothing/ }])
  t.equal(warnings.length, 1)
})
