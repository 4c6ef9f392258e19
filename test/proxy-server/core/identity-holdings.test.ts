import t from 'tap'
import { createHoldings } from '../../../src/proxy-server/core/identity-holdings.ts'

const holdings = (maxStreamsPerIdentity: number, maxIdentifiersPerIdentity: number) =>
  createHoldings({ maxStreamsPerIdentity, maxIdentifiersPerIdentity })

t.test('lets an identity have as many streams as it may, and one more when one has gone', async (t) => {
  const { over, hold } = holdings(2, 100)
  const gone = hold('a', 0)
  t.equal(over('a', 0), undefined)
  hold('a', 0)
  t.equal(over('a', 0), '2 agents are connected with this identity')
  gone()
  t.equal(over('a', 0), undefined)
})

t.test('lets all streams of an identity together have as many identifiers as they may', async (t) => {
  const { over, hold } = holdings(10, 5)
  t.equal(over('a', 5), undefined)
  t.equal(over('a', 6), 'agents with this identity would have 6 identifiers')
  hold('a', 1)
  const gone = hold('a', 3)
  t.equal(over('a', 1), undefined)
  t.equal(over('a', 2), 'agents with this identity would have 6 identifiers')
  gone()
  t.equal(over('a', 4), undefined, 'no longer those of a stream that has gone')
  t.equal(over('a', 5), 'agents with this identity would have 6 identifiers', 'but those of the other one')
})

t.test('counts each identity for itself', async (t) => {
  const { over, hold } = holdings(1, 5)
  const gone = hold('a', 5)
  t.equal(over('b', 5), undefined)
  hold('b', 5)
  gone()
  t.equal(over('a', 5), undefined)
  t.equal(over('b', 0), '1 agents are connected with this identity')
})

t.test('says of too many streams first', async (t) => {
  const { over, hold } = holdings(1, 1)
  hold('a', 1)
  t.equal(over('a', 1), '1 agents are connected with this identity')
})
