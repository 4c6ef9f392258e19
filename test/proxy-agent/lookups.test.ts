import { connect, createServer } from 'node:net'
import t from 'tap'
import { type Addresses, createLookups, type Lookup, shuffledLookup } from '../../src/proxy-agent/lookups.ts'
import { event } from '../integration/deadline.ts'

const address = (last: number): { address: string; family: number } => ({ address: `10.0.0.${last}`, family: 4 })
const never = new AbortController().signal
const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve))

/** A resolver that answers when told to. */
function setup(most: number) {
  const asked: string[] = []
  const answers = new Map<string, PromiseWithResolvers<Addresses>>()
  const lookup = createLookups((name) => {
    asked.push(name)
    const answer = Promise.withResolvers<Addresses>()
    answers.set(name, answer)
    return answer.promise
  }, most)
  const answer = (name: string, addresses: Addresses = [address(1)]): void => answers.get(name)!.resolve(addresses)
  return { lookup, asked, answer, answers }
}

t.test('equal names share one lookup, whoever gives up', async (t) => {
  const { lookup, asked, answer } = setup(4)
  const gone = new AbortController()
  const all = [lookup('web', never), lookup('web', gone.signal), lookup('web', never)]
  gone.abort()
  answer('web', [address(7)])
  t.strictSame(await Promise.all(all), [[address(7)], [address(7)], [address(7)]])
  t.strictSame(asked, ['web'])
  const again = lookup('web', never)
  answer('web', [address(8)])
  t.strictSame(await again, [address(8)], 'an answer is not kept for those who ask later')
  t.strictSame(asked, ['web', 'web'])
})

t.test('a lookup that fails fails for all who wait, and not for those who ask later', async (t) => {
  const { lookup, answer, answers } = setup(4)
  const failure = Object.assign(new Error('no such host'), { code: 'ENOTFOUND' })
  const both = [lookup('web', never), lookup('web', never)]
  answers.get('web')!.reject(failure)
  for (const one of both) await t.rejects(one, failure)
  const later = lookup('web', never)
  answer('web')
  t.strictSame(await later, [address(1)])
})

t.test('so many are under way at once, the rest wait their turn', async (t) => {
  const { lookup, asked, answer } = setup(2)
  const all = ['a', 'b', 'c', 'd', 'e'].map((name) => lookup(name, never))
  t.strictSame(asked, ['a', 'b'])
  answer('b')
  await all[1]
  t.strictSame(asked, ['a', 'b', 'c'])
  answer('a')
  answer('c')
  await Promise.all([all[0], all[2]])
  t.strictSame(asked, ['a', 'b', 'c', 'd', 'e'])
})

t.test('a name that hangs holds one place, however often it is asked for', async (t) => {
  const { lookup, asked, answer } = setup(2)
  for (let count = 0; count < 100; count++) void lookup('hangs', never)
  const web = lookup('web', never)
  t.strictSame(asked, ['hangs', 'web'])
  answer('web')
  t.strictSame(await web, [address(1)])
})

t.test('a lookup that nobody waits for any more is not begun', async (t) => {
  const { lookup, asked, answer } = setup(1)
  const first = lookup('first', never)
  const [one, other] = [new AbortController(), new AbortController()]
  void lookup('given-up', one.signal)
  void lookup('given-up', other.signal)
  const wanted = lookup('wanted', never)
  const both = lookup('half-wanted', one.signal)
  void lookup('half-wanted', never)
  one.abort()
  other.abort()
  answer('first')
  await first
  t.strictSame(asked, ['first', 'wanted'])
  answer('wanted')
  await wanted
  t.strictSame(asked, ['first', 'wanted', 'half-wanted'])
  answer('half-wanted')
  await both
})

t.test('a lookup under way that was given up is shared by those who ask while it lasts', async (t) => {
  const { lookup, asked, answer } = setup(2)
  const gone = new AbortController()
  void lookup('web', gone.signal)
  gone.abort()
  const web = lookup('web', never)
  t.strictSame(asked, ['web'])
  answer('web')
  t.strictSame(await web, [address(1)])
})

t.test('a lookup that fails when nobody waits for it any more is no trouble', async (t) => {
  const { lookup, answers } = setup(1)
  const unhandled: unknown[] = []
  const note = (reason: unknown): void => void unhandled.push(reason)
  process.prependListener('unhandledRejection', note)
  t.teardown(() => process.off('unhandledRejection', note))
  void lookup('web', never)
  answers.get('web')!.reject(new Error('no such host'))
  await turn()
  t.strictSame(unhandled, [])
})

t.test('sixteen are under way at once', async (t) => {
  const asked: string[] = []
  const lookup = createLookups((name) => {
    asked.push(name)
    return new Promise(() => undefined)
  })
  for (let count = 0; count < 20; count++) void lookup(`name-${count}`, never)
  t.equal(asked.length, 16)
})

t.test('one who asks for a name that was given up while it waited gets a lookup of its own', async (t) => {
  const { lookup, asked, answer } = setup(1)
  const first = lookup('first', never)
  const gone = new AbortController()
  void lookup('web', gone.signal)
  gone.abort()
  const web = lookup('web', never)
  answer('first')
  await first
  answer('web', [address(9)])
  t.strictSame(await web, [address(9)])
  t.strictSame(asked, ['first', 'web'])
})

t.test('resolves by the machine itself, its hosts file included', async (t) => {
  const found = await createLookups()('localhost', never)
  t.ok(found.some(({ address }) => address === '127.0.0.1' || address === '::1'))
  // A name that the C library refuses by itself, so that no name server is needed.
  await t.rejects(createLookups()('no..such', never), { code: 'ENOTFOUND' })
})

const fixed =
  (...found: Addresses): Lookup =>
  async () =>
    found

t.test('gives the addresses of a name in an order that is drawn each time', async (t) => {
  const three = [address(1), address(2), address(3)]
  const draw = (...fractions: number[]): Promise<string> => {
    const lookup = shuffledLookup(fixed(...three), () => fractions.shift()!, never)
    return new Promise((resolve) => {
      lookup('hub', { all: true }, (_error, found) => resolve((found as typeof three).map((one) => one.address).join()))
    })
  }
  t.equal(await draw(0, 0, 0), '10.0.0.1,10.0.0.2,10.0.0.3')
  t.equal(await draw(0.99, 0.99, 0), '10.0.0.3,10.0.0.2,10.0.0.1')
  t.equal(await draw(0.4, 0, 0), '10.0.0.2,10.0.0.1,10.0.0.3')
})

t.test('connects to a name, to one address or to several', async (t) => {
  const listener = createServer((socket) => socket.end()).listen(0, '127.0.0.1')
  t.teardown(() => listener.close())
  await event(listener, 'listening')
  const { port } = listener.address() as { port: number }
  const lookup = shuffledLookup(fixed({ address: '127.0.0.1', family: 4 }), Math.random, never)
  for (const autoSelectFamily of [true, false]) {
    const socket = connect({ host: 'hub', port, lookup, autoSelectFamily })
    await event(socket, 'connect')
    socket.destroy()
  }
})

t.test('says why a name gave no address', async (t) => {
  const failing: Lookup = () =>
    Promise.reject(Object.assign(new Error('getaddrinfo EAI_AGAIN hub'), { code: 'EAI_AGAIN' }))
  for (const [lookup, code] of [
    [fixed(), 'ENOTFOUND'],
    [failing, 'EAI_AGAIN'],
  ] as const) {
    const socket = connect({ host: 'hub', port: 1, lookup: shuffledLookup(lookup, Math.random, never) })
    t.match(await event(socket, 'error'), { code })
  }
  await turn()
})
