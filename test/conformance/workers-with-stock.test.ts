/** A server of ours with workers, as konnectivity's agents see it: two servers behind one address, of which one may die. */
import type { Socket } from 'node:net'
import t from 'tap'
import { makePki } from '../integration/certificates.ts'
import { openTunnel } from '../integration/client.ts'
import { eventually } from '../integration/deadline.ts'
import { figure } from '../integration/figures.ts'
import { echo, listenTarget } from '../integration/target.ts'
import { expectedHash, receivePattern, sendPattern } from '../integration/transfer.ts'
import { startServer } from '../integration/tunnel.ts'
import { allReady, fleetOf, workerPids } from '../integration/workers.ts'
import { agentOf } from './programs-of.ts'

const WORKERS = 2
const TUNNELS = 6
const BYTES = 8 * 1024 * 1024
/** Konnectivity's agent looks for servers it lacks every second, and every ten after failures. */
const FOUND_MS = 60_000
const pki = await makePki(t)
const target = await listenTarget(t, echo)
t.setTimeout(180_000)

for (const release of ['v0.36.0', 'v0.31.4'] as const) {
  t.test(`${release}: an agent finds both workers, and one that dies costs its own connections`, async (t) => {
    const server = await startServer(t, { pki, flags: [`--workers=${WORKERS}`] })
    await agentOf(t, release, server)
    await allReady(server, WORKERS, 1, FOUND_MS)
    const sockets: Socket[] = []
    while (sockets.length < TUNNELS) sockets.push(await openTunnel(server, target.address)) // one after the other: in turn
    for (const socket of sockets) socket.on('error', () => undefined)
    const spread = async (): Promise<number[]> => (await fleetOf(server)).map(({ connections }) => connections)
    t.strictSame(await spread(), [TUNNELS / 2, TUNNELS / 2])
    await Promise.all(sockets.map(carriesAll))

    const [victim] = workerPids(server)
    const over = new Set<Socket>()
    for (const socket of sockets) for (const name of ['end', 'close']) socket.once(name, () => over.add(socket))
    process.kill(victim!, 'SIGKILL')
    for (const socket of sockets) socket.resume()
    await eventually(
      'the connections of the one that died are over',
      () => over.size,
      (count) => count === TUNNELS / 2,
    )
    const left = sockets.filter((socket) => !over.has(socket))
    await Promise.all(left.map(carriesAll))
    await allReady(server, WORKERS, 1, FOUND_MS)
    t.equal(await figure(server, 'culvert_server_worker_crashes_total'), 1)
    const again = [await openTunnel(server, target.address), await openTunnel(server, target.address)]
    await Promise.all([...left, ...again].map(carriesAll))
    t.equal(left.length, TUNNELS / 2)
    for (const socket of [...sockets, ...again]) socket.destroy()
  })
}

/** To the target and back. */
async function carriesAll(socket: Socket): Promise<void> {
  const [hash] = await Promise.all([receivePattern(socket, BYTES), sendPattern(socket, BYTES)])
  if (hash !== expectedHash(BYTES)) throw new Error('other bytes came back')
}
