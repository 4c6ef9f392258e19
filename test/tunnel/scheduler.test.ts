import t from 'tap'
import { type Carrier, READ_BYTES } from '../../src/tunnel/carrier.ts'
import { createScheduler, type Need } from '../../src/tunnel/scheduler.ts'
import { recordedCarrier } from './recorded-carrier.ts'

type Sender = {
  readonly name: string
  queuedOn: Carrier | undefined
  needs: Need[]
  givesWay: boolean
  nextReadBytes: number
}

const sender = (name: string, ...needs: Need[]): Sender => ({
  name,
  queuedOn: undefined,
  needs,
  givesWay: false,
  nextReadBytes: READ_BYTES,
})

/** A scheduler over a recorded carrier; `log` says who was pumped and who was permitted, in order. */
function ring(index = 0) {
  const carrier = recordedCarrier(index)
  const log: string[] = []
  const scheduler = createScheduler<Sender>(
    carrier,
    (it) => {
      log.push(`pump ${it.name}`)
      return it.needs.shift() ?? 'nothing'
    },
    (it) => log.push(`permit ${it.name}`),
    (it) => it.givesWay,
    (it) => it.nextReadBytes,
  )
  return { carrier, log, ...scheduler }
}

t.test('serves those who wait in turn, once each', async (t) => {
  const { wait, deal, log, carrier } = ring()
  const [a, b] = [sender('a', 'permit'), sender('b', 'nothing')]
  for (const it of [a, b, a, b]) wait(it)
  t.ok(carrier.woken, 'asked to be called')
  deal()
  t.strictSame(log, ['pump a', 'permit a', 'pump b'])
  log.length = 0
  deal()
  t.strictSame(log, [], 'nobody waits any more')
})

t.test('puts one that still needs room behind the others', async (t) => {
  const { wait, deal, log } = ring()
  const [a, b] = [sender('a', 'room', 'nothing'), sender('b', 'nothing')]
  wait(a)
  wait(b)
  deal()
  deal()
  t.strictSame(log, ['pump a', 'pump b', 'pump a'])
})

t.test('permits as many reads as fit into the room, the others first next time', async (t) => {
  for (const [roomBytes, expected] of [
    [2 * READ_BYTES - 1, 1],
    [2 * READ_BYTES, 2],
    [4 * READ_BYTES, 4],
  ] as const) {
    const { wait, deal, log, carrier } = ring()
    carrier.roomBytes = roomBytes
    const senders = [...'abcdef'].map((name) => sender(name, 'permit', 'permit', 'permit'))
    for (const it of senders) wait(it)
    carrier.woken = false
    deal()
    const permits = log.filter((line) => line.startsWith('permit')).map((line) => line.at(-1))
    t.strictSame(permits, [...'abcdef'].slice(0, expected), `room for ${roomBytes} bytes`)
    t.ok(carrier.woken, 'asks to be called again')
    log.length = 0
    deal()
    t.equal(log.find((line) => line.startsWith('permit'))?.at(-1), 'abcdef'[expected % 6])
  }
})

t.test('permits more at once who are likely to read little', async (t) => {
  const { wait, deal, log, carrier } = ring()
  carrier.roomBytes = READ_BYTES + 5_000
  const some = [sender('much', 'permit'), ...[...'abcdef'].map((name) => sender(name, 'permit'))]
  for (const it of some.slice(1)) it.nextReadBytes = 1_000
  for (const it of some) wait(it)
  deal()
  t.strictSame(
    log.filter((line) => line.startsWith('permit')).map((line) => line.slice(7)),
    ['much', 'a', 'b', 'c', 'd', 'e'],
  )
})

t.test('serves nobody who stood there when it was cleared, and takes them again', async (t) => {
  const { wait, deal, clear, log } = ring()
  const [gone, again] = [sender('gone', 'nothing'), sender('again', 'permit')]
  wait(gone)
  wait(again)
  clear()
  wait(again)
  deal()
  t.strictSame(log, ['pump again', 'permit again'])
})

t.test('pumps nobody while there is no room, and asks again', async (t) => {
  const { wait, deal, log, carrier } = ring()
  carrier.roomBytes = 0
  wait(sender('a'))
  carrier.woken = false
  deal()
  t.strictSame(log, [])
  t.ok(carrier.woken)
})

t.test('bears a sender that waits again while it is being permitted', async (t) => {
  const carrier = recordedCarrier()
  let permits = 0
  const only = sender('a')
  const { wait, deal } = createScheduler<Sender>(
    carrier,
    () => 'permit',
    (it) => {
      permits++
      wait(it)
      deal()
    },
    () => false,
    () => READ_BYTES,
  )
  wait(only)
  deal()
  t.equal(permits, 1, 'its next turn is the next deal')
  t.ok(carrier.woken)
  deal()
  t.equal(permits, 2)
})

t.test('serves a sender that moved where it moved to, and no longer here', async (t) => {
  const [first, second] = [ring(1), ring(2)]
  const [mover, other] = [sender('mover', 'permit'), sender('other', 'nothing')]
  first.wait(mover)
  first.wait(other)
  second.wait(mover)
  first.deal()
  t.strictSame(first.log, ['pump other'])
  second.deal()
  t.strictSame(second.log, ['pump mover', 'permit mover'])
})

t.test('serves a sender once that moved away and came back', async (t) => {
  const [first, second] = [ring(1), ring(2)]
  const mover = sender('mover', 'permit', 'permit')
  first.wait(mover)
  second.wait(mover)
  first.wait(mover)
  first.deal()
  second.deal()
  t.strictSame(first.log, ['pump mover', 'permit mover'])
  t.strictSame(second.log, [])
})

t.test(
  'leaves out those who give way, without asking to be called for them, and serves them first when they may',
  async (t) => {
    const { wait, deal, log, carrier } = ring()
    const [bulk, small] = [sender('bulk', 'permit'), sender('small', 'permit')]
    bulk.givesWay = true
    wait(bulk)
    wait(small)
    carrier.woken = false
    deal()
    t.strictSame(log, ['pump small', 'permit small'])
    t.notOk(carrier.woken, 'nobody is left whom room would help')
    bulk.givesWay = false
    small.needs.push('permit')
    wait(small)
    deal()
    t.strictSame(log.slice(2), ['pump bulk', 'permit bulk', 'pump small', 'permit small'])
  },
)

t.test('asks to be called for those that it did not reach, whoever gives way', async (t) => {
  const { wait, deal, carrier } = ring()
  carrier.roomBytes = READ_BYTES - 1
  const [bulk, small] = [sender('bulk', 'permit'), sender('small', 'permit')]
  bulk.givesWay = true
  wait(bulk)
  wait(small)
  carrier.woken = false
  deal()
  t.ok(carrier.woken)
})
