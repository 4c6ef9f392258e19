import { connect, type Socket } from 'node:net'
import t from 'tap'
import { echoOver, readBytes } from '../integration/client.ts'
import { eventually, within } from '../integration/deadline.ts'
import { connectRaw, nextBackend } from '../integration/front-door.ts'
import { echo, listenTarget, silent } from '../integration/target.ts'
import { nodeHello } from './hellos.ts'
import { configWith, routeTo, startRouter } from './router-in-process.ts'

const closeOf = (socket: Socket): Promise<unknown> =>
  within(new Promise((resolve) => socket.resume().once('close', resolve)), 'the end of a connection')

t.test('a router that ends hangs up on everybody, however it came to its end', async (t) => {
  const target = await listenTarget(t, silent)
  const { router, port } = await startRouter(t, target.address)
  const mute = await connectRaw(t, port)
  const joined = await connectRaw(t, port)
  const reached = nextBackend(target)
  joined.write(await nodeHello({ servername: 'a.example' }))
  const backend = await reached()
  await eventually(
    'both are there',
    () => router.count(),
    (count) => count === 2,
  )
  const closed = Promise.all([mute, joined, backend].map(closeOf))
  router[Symbol.dispose]()
  await closed
  await eventually(
    'nobody is left',
    () => router.count(),
    (count) => count === 0,
  )
})

const hello = await nodeHello({ servername: 'a.example' })

t.test('a route that goes and comes back still has the connections that it had', async (t) => {
  const target = await listenTarget(t, echo)
  const { router, port } = await startRouter(t, target.address)
  const client = await connectRaw(t, port)
  const back = readBytes(client, hello.length)
  client.write(hello)
  await back
  router.apply(configWith([]))
  t.equal(router.tallies().get('a')?.open, 1, 'and is shown while it has one')
  const [route] = routeTo(target.address)
  router.apply(configWith([{ ...route!, maxConnections: 1 }]))
  const second = await connectRaw(t, port)
  second.write(hello)
  t.equal((await readBytes(second, 7)).toString('hex'), '15030100020250', 'there is no room')
  client.destroy()
  await eventually(
    'the first has left',
    () => router.tallies().get('a')?.open,
    (open) => open === 0,
  )
  router.apply(configWith([]))
  t.strictSame([...router.tallies().keys()], [])
})

t.test('a client that waits for a name that a reload takes away is given to the route as it is now', async (t) => {
  const target = await listenTarget(t, echo)
  const { router, port } = await startRouter(t, 'backend.example:1')
  const wait = async (): Promise<Socket> => {
    const client = await connectRaw(t, port)
    client.write(hello)
    await eventually(
      'it waits',
      () => router.tallies().get('a'),
      (tally) => tally?.dialing === 1,
    )
    return client
  }
  const client = await wait()
  router.apply(configWith(routeTo('other.example:1')))
  router.apply(configWith(routeTo(target.address)))
  t.ok((await readBytes(client, hello.length)).equals(hello))
  t.match(router.tallies().get('a'), { open: 1, dialing: 0, misses: { 'no-backend': 0 } })
  router.apply(configWith(routeTo('backend.example:1')))
  const other = await wait()
  router.apply(configWith([]))
  t.equal((await readBytes(other, 7)).toString('hex'), '15030100020270', 'unrecognized_name')
  t.match(router.tallies().get('a'), { open: 1, dialing: 0 })
})

t.test('who has its answer and does not hang up is given a second', async (t) => {
  const { router, port, clock } = await startRouter(t, 'backend.example:1')
  const client = await connectRaw(t, port)
  client.write(await nodeHello({ servername: 'other.example' }))
  t.equal((await readBytes(client, 7)).toString('hex'), '15030100020270', 'unrecognized_name')
  clock.advance(999)
  t.equal(router.count(), 1)
  clock.advance(1)
  await eventually(
    'it is cut',
    () => router.count(),
    (count) => count === 0,
  )
})

t.test(
  'a router that drains takes nobody more, cuts who has not said where to, and waits for the others',
  async (t) => {
    const target = await listenTarget(t, echo)
    const { router, port } = await startRouter(t, target.address)
    const mute = await connectRaw(t, port)
    const client = await connectRaw(t, port)
    const back = readBytes(client, hello.length)
    client.write(hello)
    await back
    let isOver = false
    const over = router.drain().then(() => {
      isOver = true
    })
    await closeOf(mute)
    await closeOf(connect(port, '127.0.0.1').on('error', () => undefined))
    await echoOver(client, 'still there')
    t.notOk(isOver)
    client.destroy()
    await within(over, 'the end')
    await within(router.drain(), 'the end of nobody')
  },
)
