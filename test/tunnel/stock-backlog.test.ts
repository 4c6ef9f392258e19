import t from 'tap'
import { createStockBacklog } from '../../src/tunnel/stock-backlog.ts'
import { recordedCarrier } from './recorded-carrier.ts'

const limits = { connectionBytes: 100, streamBytes: 1_000, slowBytes: 50, slowMs: 10_000 }

type Waiting = { backlog: number }

function backlog() {
  const carrier = recordedCarrier()
  const all: Waiting[] = []
  const stock = createStockBacklog<Waiting>(carrier, limits, () => all.reduce((sum, it) => sum + it.backlog, 0))
  const one = (bytes: number): Waiting => {
    const waiting = { backlog: bytes }
    all.push(waiting)
    stock.changed(waiting, 0, 0)
    return waiting
  }
  const took = (waiting: Waiting, bytes: number, nowMs = 0): void => {
    waiting.backlog -= bytes
    stock.changed(waiting, bytes, nowMs)
  }
  return { carrier, stock, one, took }
}

t.test('stops the carrier for one over its limit, and starts it again at half of that', async (t) => {
  const { carrier, one, took } = backlog()
  const waiting = one(100)
  t.ok(carrier.reading, 'at the limit')
  took(waiting, -1)
  t.notOk(carrier.reading)
  took(waiting, 50)
  t.notOk(carrier.reading, '51 are left')
  took(waiting, 1)
  t.ok(carrier.reading)
})

t.test('waits for the last of several that are over', async (t) => {
  const { carrier, stock, one, took } = backlog()
  const [first, second] = [one(101), one(200)]
  took(first, 101)
  t.notOk(carrier.reading)
  stock.forget(second)
  t.ok(carrier.reading)
})

t.test('stops the carrier for all together one byte over their limit', async (t) => {
  const { carrier, one, took } = backlog()
  const all = Array.from({ length: 10 }, () => one(100))
  t.ok(carrier.reading)
  const last = one(1)
  t.notOk(carrier.reading)
  took(last, 1)
  t.ok(carrier.reading)
  t.equal(all.length, 10)
})

t.test('calls slow who took too little in the time, each time anew', async (t) => {
  const { stock, one, took } = backlog()
  const [idle, slow, fine] = [one(1_000), one(1_000), one(1_000)]
  took(slow, 49)
  took(fine, 50)
  t.strictSame(stock.slow(9_999), [])
  t.strictSame(stock.slow(10_000), [idle, slow])
  took(slow, 50, 15_000)
  t.strictSame(stock.slow(19_999), [])
  t.strictSame(stock.slow(20_000), [idle, fine])
})

t.test('starts the time when a socket goes over its limit, not before', async (t) => {
  const { stock, one, took } = backlog()
  const waiting = one(100)
  took(waiting, -1, 9_000)
  t.strictSame(stock.slow(18_999), [])
  t.strictSame(stock.slow(19_000), [waiting])
})

t.test(
  'while all together are over their limit, calls slow whoever holds something and takes too little',
  async (t) => {
    const { carrier, stock, one, took } = backlog()
    const small = Array.from({ length: 11 }, () => one(95))
    const [lively] = small
    t.notOk(carrier.reading, '1,045 bytes wait, none of them over its own limit')
    t.strictSame(stock.slow(1_000), [], 'the time starts with the first look')
    took(lively!, 40, 5_000)
    lively!.backlog += 35
    stock.changed(lively!, 0, 6_000)
    took(lively!, 10, 7_000)
    lively!.backlog += 10
    stock.changed(lively!, 0, 7_000)
    t.strictSame(stock.slow(10_999), [])
    t.strictSame(stock.slow(11_000), small.slice(1))
    for (const waiting of small.slice(1)) stock.forget(waiting)
  },
)

t.test('forgets how slow somebody was when there is room again', async (t) => {
  const { stock, one, took } = backlog()
  const small = Array.from({ length: 11 }, () => one(95))
  stock.slow(1_000)
  took(small[0]!, 95, 2_000)
  t.strictSame(stock.slow(11_000), [], 'room again')
  one(95)
  t.strictSame(stock.slow(12_000), [], 'crowded anew: the time starts anew')
})
