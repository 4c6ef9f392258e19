import t from 'tap'
import { noExtensions, offered, readExtensions, writeExtensions } from '../../src/tunnel/extensions.ts'

t.test('offers what it can do, in the form of the protocol', async (t) => {
  t.equal(
    writeExtensions(offered),
    'flow-control/1,half-close/1,heartbeat/1,close-reason/1,ping/1,going-away/1,lanes/1,new-certificate/1,new-token/1,policy/1,servers/1',
  )
})

t.test('reads back what it writes', async (t) => {
  t.strictSame(readExtensions(writeExtensions(offered)), offered)
  t.strictSame(readExtensions(writeExtensions(new Set(['ping', 'heartbeat'] as const))), new Set(['heartbeat', 'ping']))
})

t.test('takes what both sides know in the same version, and ignores the rest', async (t) => {
  const taken = (entry: string | undefined): string => writeExtensions(readExtensions(entry))
  t.equal(taken('ping/1, half-close/1 ,pivot/1,,x'), 'half-close/1,ping/1')
  t.equal(taken('ping/2,ping,ping/1/1,PING/1,ping/1;q=1'), '')
  t.equal(taken('lanes/2'), '')
  t.equal(taken(''), '')
})

t.test('takes a peer that says nothing for a stock one', async (t) => {
  t.strictSame(readExtensions(undefined), noExtensions)
})

t.test('does not read an entry over 1,024 bytes', async (t) => {
  const entry = 'ping/1,'.padEnd(1_024, 'x')
  t.ok(readExtensions(entry).has('ping'))
  t.strictSame(readExtensions(`${entry}x`), noExtensions)
})
