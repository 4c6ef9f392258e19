/** The configuration while it is in use, and the end: what stands stays, what comes next meets the new. */
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { nodeHello } from '../sni-router/hellos.ts'
import { echoOver, readBytes } from './client.ts'
import { event, within } from './deadline.ts'
import { figure, figureBecomes } from './figures.ts'
import { connectRaw, type FrontDoor, nextBackend, startFrontDoor } from './front-door.ts'
import { echo, listenTarget, type Target } from './target.ts'

const hello = await nodeHello({ servername: 'a.example' })
const routeTo = (...backends: string[]) => [{ name: 'a', hosts: ['a.example'], backends }]

async function join(t: Test, router: FrontDoor): Promise<Socket> {
  const socket = await connectRaw(t, router.port)
  const back = readBytes(socket, hello.length)
  socket.write(hello)
  await back
  return socket
}

t.test('a new configuration is for who comes next; who is there stays where he is', async (t) => {
  const [before, after] = [await listenTarget(t, echo), await listenTarget(t, echo)]
  const router = await startFrontDoor(t, { routes: routeTo(before.address) })
  const old = await join(t, router)
  const clientsOf = ({ sockets }: Target) => [...sockets].filter((it) => it.bytesRead > 0).length // checks bring nothing
  t.equal(clientsOf(before), 1)
  router.reload({ routes: routeTo(after.address) })
  await router.logged('configuration changed, new connections use it')
  const reached = nextBackend(after)
  const socket = await join(t, router)
  await reached()
  t.equal(clientsOf(before), 1)
  await echoOver(old, 'still there')
  await echoOver(socket, 'here as well')
  t.equal(await figure(router, 'culvert_router_open_connections{route="a"}'), 2)
  t.equal(await figure(router, 'culvert_router_reloads_total'), 1)
  router.reload({ routes: [] })
  await router.logged('configuration changed, new connections use it', 2)
  t.match(await router.logged('configuration is used, and may not be meant so'), { reason: /everybody is refused/ })
  const refused = await connectRaw(t, router.port)
  refused.write(hello)
  t.equal((await readBytes(refused, 7)).toString('hex'), '15030100020270', 'unrecognized_name')
  await echoOver(old, 'and still')
})

t.test('a broken configuration leaves the one before in use, with an alarm until it is mended', async (t) => {
  const target = await listenTarget(t, echo)
  const routes = routeTo(target.address)
  const router = await startFrontDoor(t, { routes })
  let count = 0
  for (const [broken, reason] of [
    ['listen: [', /front-door\.yaml:\d+: /],
    [{ routes: [{ ...routes[0], hosts: ['a..b'] }] }, /routes\[0\]\.hosts\[0\]: expected a name/],
    [{ routes, listen: [{ port: 1 }] }, /listen has changed: restart/],
  ] as const) {
    router.reload(broken)
    const { reason: told } = await router.logged('configuration is broken, the one before stays in use', ++count)
    t.match(told, reason)
    await figureBecomes(router, 'culvert_router_config_broken', 1)
    const socket = await join(t, router)
    await echoOver(socket, 'as before')
    router.reload({ routes })
    await router.logged('configuration is good again', count)
    await figureBecomes(router, 'culvert_router_config_broken', 0)
  }
})

t.test('the first signal lets what is open finish and takes nobody new; then it ends', async (t) => {
  const target = await listenTarget(t, echo)
  const router = await startFrontDoor(t, { routes: routeTo(target.address) })
  const socket = await join(t, router)
  const mute = await connectRaw(t, router.port)
  await figureBecomes(router, 'culvert_router_clients', 2)
  const muteEnds = within(new Promise((resolve) => mute.resume().once('close', resolve)), 'its end')
  router.signal('SIGTERM')
  await router.logged('shutting down')
  await muteEnds
  const ready = await fetch(`http://127.0.0.1:${router.healthPort}/readyz`)
  t.equal(ready.status, 503)
  t.match(await ready.text(), /draining/)
  await t.rejects(connectRaw(t, router.port), 'it listens no more')
  await echoOver(socket, 'goes on')
  const ended = event(socket.resume(), 'end')
  socket.end()
  await ended
  t.strictSame(await within(router.ended, 'its end'), { code: 0, signal: null })
})

t.test('what does not finish is reset at the end of the time, or at the second signal', async (t) => {
  const target = await listenTarget(t, echo)
  for (const [flags, signals] of [
    [['--drain-timeout=300ms'], 1],
    [['--drain-timeout=5m'], 2],
  ] as const) {
    const router = await startFrontDoor(t, { routes: routeTo(target.address) }, { flags })
    const socket = await join(t, router)
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => socket.resume().once('error', resolve))
    router.signal('SIGTERM')
    await router.logged('shutting down')
    if (signals === 2) router.signal('SIGTERM')
    t.equal((await within(failed, 'a reset')).code, 'ECONNRESET')
    t.strictSame(await within(router.ended, 'its end'), { code: 0, signal: null })
  }
})
