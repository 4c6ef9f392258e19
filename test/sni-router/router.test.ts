import type { Socket } from 'node:net'
import t from 'tap'
import { eventually, within } from '../integration/deadline.ts'
import { connectRaw, nextBackend } from '../integration/front-door.ts'
import { listenTarget, silent } from '../integration/target.ts'
import { nodeHello } from './hellos.ts'
import { startRouter } from './router-in-process.ts'

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
