import t from 'tap'
import { givesWay, weigh } from '../../src/tunnel/bulk.ts'
import type { Connection } from '../../src/tunnel/connection.ts'

/** A connection whose pacer writes down what it hears. */
function weighed() {
  const heard: string[] = []
  const link = {
    nowMs: 0,
    pacer: {
      open: () => false,
      sentSmall: () => void heard.push('small'),
      sentBulk: (bytes: number) => void heard.push(`bulk ${bytes}`),
    },
  }
  const connection = { link, burst: 0, burstMs: 0, bulk: false } as unknown as Connection
  return { connection, link, heard }
}

t.test('is bulk from 256 KiB on, and a small exchange only below 8 KiB', async (t) => {
  const { connection, heard } = weighed()
  weigh(connection, 8_191)
  weigh(connection, 1)
  weigh(connection, 256 * 1024 - 8_192)
  t.strictSame(heard, ['small'])
  t.notOk(givesWay(connection))
  weigh(connection, 1)
  t.strictSame(heard, ['small', 'bulk 1'])
  t.ok(givesWay(connection))
})

t.test('drains 2 MiB in a second, and is bulk until less than 16 KiB are left', async (t) => {
  const { connection, link, heard } = weighed()
  weigh(connection, 300_000)
  link.nowMs = 100
  weigh(connection, 1)
  t.ok(connection.bulk, 'some 90,000 are left')
  link.nowMs = 145
  weigh(connection, 1)
  t.notOk(connection.bulk)
  t.strictSame(heard, ['bulk 300000', 'bulk 1', 'small'])
})

t.test('is always small at 10,000 exchanges of 128 bytes in a second', async (t) => {
  const { connection, link, heard } = weighed()
  for (let count = 0; count < 10_000; count++) {
    link.nowMs += 0.1
    weigh(connection, 128)
  }
  t.strictSame(new Set(heard), new Set(['small']))
})

t.test('gives way to nobody where the peer cannot be pinged', async (t) => {
  const { connection, link } = weighed()
  Object.assign(link, { pacer: undefined })
  weigh(connection, 1_000_000)
  t.notOk(givesWay(connection))
})
