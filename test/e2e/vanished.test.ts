/**
 * Machines that are gone without a word, which iptables plays by dropping what comes from one end of one connection: whoever is at the
 * other end notices within 15 s, where it waits as where it does not read, and breaks what hangs on it. A gap of six seconds breaks
 * nothing. Without a cluster, on the loopback interface.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import { makePki } from '../integration/certificates.ts'
import { echoOver, endOf, openTunnel } from '../integration/client.ts'
import { event, eventually, within } from '../integration/deadline.ts'
import { AGENT, figureBecomes, SERVER } from '../integration/figures.ts'
import { connectRaw, nextBackend, startFrontDoor } from '../integration/front-door.ts'
import { echo, idle, listenTarget } from '../integration/target.ts'
import { startTunnel } from '../integration/tunnel.ts'
import { nodeHello } from '../sni-router/hellos.ts'
import { cleanUpInTheEnd } from './clean-up.ts'
import { dropBetween, removeOrphans } from './network.ts'

const NOTICED_MS = 15_000
const GAP_MS = 6_000
/** More than the kernel and the tunnel keep for a target that takes nothing. */
const FLOOD_BYTES = 32 * 1024 * 1024
const waiting = { buffered: true }

t.jobs = 5
cleanUpInTheEnd()
const pki = await makePki(t)

/** Bytes that the other end of a connection has sent and this one has not acknowledged: of the kernel's table, in hexadecimal. */
function onTheWayTo({ localPort = 0, remotePort = 0 }: Socket): number {
  const [from, to] = [remotePort, localPort].map((port) => `:${port.toString(16).toUpperCase().padStart(4, '0')}`)
  const lines = ['/proc/net/tcp', '/proc/net/tcp6'].flatMap((path) => readFileSync(path, 'latin1').split('\n'))
  const fields = lines.map((line) => line.trim().split(/\s+/))
  const [, , , , queues = ''] = fields.find(([, own, peer]) => own?.endsWith(from!) && peer?.endsWith(to!)) ?? []
  return Number.parseInt(queues, 16)
}

/**
 * What this end of a connection sends arrives no more, until the returned function is called. Nothing may be on the way to it: whoever
 * waits for an acknowledgement sends again and again instead of asking who is there.
 */
async function vanish(t: Test, socket: Socket): Promise<() => void> {
  const { localPort, remotePort } = socket
  await eventually(
    'nothing is on the way',
    () => onTheWayTo(socket),
    (bytes) => bytes === 0,
  )
  const restore = dropBetween(localPort!, remotePort!)
  t.teardown(restore)
  return restore
}

t.test('a rule of a run that was killed is removed by the next', waiting, async (t) => {
  const network = JSON.stringify(import.meta.resolve('./network.ts'))
  const text = `import { dropBetween } from ${network}; dropBetween(1, 2); process.kill(process.pid, 'SIGKILL')`
  const { pid, signal } = spawnSync(process.execPath, ['--input-type=module', '--eval', text])
  t.equal(signal, 'SIGKILL')
  const name = `culvert-e2e-${pid}-from-1-to-2`
  const isThere = (): boolean => execFileSync('iptables', ['-w', '-S', 'INPUT'], { encoding: 'utf8' }).includes(name)
  t.ok(isThere())
  removeOrphans()
  t.notOk(isThere())
})

t.test('a client on whose tunnel nothing moves', waiting, async (t) => {
  const { server } = await startTunnel(t, { pki })
  const target = await listenTarget(t, echo)
  const accepted = target.next()
  const client = await openTunnel(server, target.address)
  await echoOver(client, 'before')
  const ends = endOf(await accepted)
  client.on('error', () => undefined)
  await vanish(t, client)
  await within(ends, 'the target is told', NOTICED_MS)
  await figureBecomes(server, `${SERVER}established_connections`, 0)
})

t.test('a client that is not read, because its target takes nothing', waiting, async (t) => {
  const { server } = await startTunnel(t, { pki })
  const target = await listenTarget(t, idle)
  const client = await openTunnel(server, target.address)
  client.on('error', () => undefined)
  client.write(Buffer.alloc(FLOOD_BYTES))
  await eventually(
    'it is read no more',
    () => [client.writableLength, client.bytesWritten].join(),
    (() => {
      let [last, same] = ['', 0]
      return (now: string) => {
        same = now === last ? same + 1 : 0
        last = now
        return same === 50
      }
    })(),
  )
  await vanish(t, client)
  await figureBecomes(server, `${SERVER}established_connections`, 0, NOTICED_MS)
})

t.test('a target on whose connection nothing moves', waiting, async (t) => {
  const { server, agent } = await startTunnel(t, { pki })
  const target = await listenTarget(t, echo)
  const accepted = target.next()
  const client = await openTunnel(server, target.address)
  await echoOver(client, 'before')
  await vanish(t, await accepted)
  await within(endOf(client), 'the client is told', NOTICED_MS)
  await figureBecomes(agent, `${AGENT}open_endpoint_connections`, 0)
})

t.test('a client of the front door, and a backend', waiting, async (t) => {
  const target = await listenTarget(t, echo)
  const routes = [{ name: 'a', hosts: ['a.example'], backends: [target.address] }]
  const router = await startFrontDoor(t, { routes })
  const hello = await nodeHello({ servername: 'a.example' })
  const join = async (): Promise<readonly [Socket, Socket]> => {
    const reached = nextBackend(target)
    const client = await connectRaw(t, router.port)
    client.write(hello)
    const backend = await reached()
    await event(client, 'data')
    return [client, backend]
  }
  const [gone, itsBackend] = await join()
  const [itsClient, goneBackend] = await join()
  const both = Promise.all([endOf(itsBackend), endOf(itsClient)])
  await Promise.all([gone, goneBackend].map((socket) => vanish(t, socket)))
  await within(both, 'the other ends are told', NOTICED_MS)
  await figureBecomes(router, 'culvert_router_clients', 0)
})

t.test('a client that is away for six seconds keeps its tunnel', waiting, async (t) => {
  const { server } = await startTunnel(t, { pki })
  const target = await listenTarget(t, echo)
  const client = await openTunnel(server, target.address)
  await echoOver(client, 'before')
  const restore = await vanish(t, client)
  await new Promise((resolve) => setTimeout(resolve, GAP_MS)) // no wait for a state: this is how long it is away
  restore()
  await echoOver(client, 'after')
  client.destroy()
})
