import t from 'tap'
import { createPlaces } from '../../src/proxy-server/enrolment-places.ts'

function setup(most: number) {
  const places = createPlaces(most)
  const out: string[] = []
  const busy = new Set<string>()
  const take = (name: string, address: string) =>
    places.take({ address, isBeingAnswered: () => busy.has(name), turnedOut: () => out.push(name) })
  return { take, out, busy }
}

t.test('the address that holds most gives its oldest place up', async (t) => {
  const { take, out } = setup(4)
  take('honest', '10.0.0.1')
  for (const name of ['a', 'b', 'c']) take(name, '10.6.6.6')
  t.strictSame(out, [], 'there was room')
  t.ok(take('d', '10.6.6.6'))
  t.ok(take('late', '10.0.0.2'))
  t.ok(take('e', '10.6.6.6'))
  t.strictSame(out, ['a', 'b', 'c'])
})

t.test('who is being answered stays, and when all are nobody else comes in', async (t) => {
  const { take, out, busy } = setup(2)
  take('a', '10.0.0.1')
  take('b', '10.0.0.1')
  busy.add('a')
  t.ok(take('c', '10.0.0.2'))
  t.strictSame(out, ['b'])
  busy.add('c')
  t.equal(take('d', '10.0.0.3'), undefined)
  t.strictSame(out, ['b'])
})

t.test('a place that was given back is free, and one that was lost is not given back twice', async (t) => {
  const { take, out } = setup(2)
  const first = take('a', '10.0.0.1')
  take('b', '10.0.0.2')
  first?.[Symbol.dispose]()
  take('c', '10.0.0.3')
  t.strictSame(out, [])
  take('d', '10.0.0.4')
  first?.[Symbol.dispose]()
  take('e', '10.0.0.5')
  t.strictSame(out, ['b', 'c'])
})
