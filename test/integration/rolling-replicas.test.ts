/** A rolling restart of three replicas that agents know by name, behind a real front door, under load, with clients that go by `/readyz` themselves. */
import { randomInt } from 'node:crypto'
import type { Socket } from 'node:net'
import t, { type Test } from 'tap'
import type { Leaf } from './certificates.ts'
import { openTunnel } from './client.ts'
import { AGENT, figureBecomes } from './figures.ts'
import { flagsOf, hasAll, makeClusters, startAgents, startClusterLoad, THREE } from './many-clusters.ts'
import { watchReady } from './ready-servers.ts'
import { frontDoorOf, makeHubPki, type Replica, routesOf, startReplica } from './replicas.ts'
import { isReady, stopInOrder } from './rolling.ts'
import { echo, listenTarget } from './target.ts'
import type { Server } from './tunnel.ts'

const pki = await makeHubPki(t)

/** By any of those that are ready, without the front door. */
function openAtReady(t: Test, servers: () => readonly Server[], address: string): (apiserver: Leaf) => Promise<Socket> {
  const ready = watchReady(t, servers)
  return async (apiserver) => {
    const all = ready()
    const server = all[randomInt(Math.max(1, all.length))]
    if (!server) throw new Error('no server is ready')
    return openTunnel({ ...server, pki: { ...server.pki, apiserver } }, address)
  }
}

t.test(
  'three replicas are restarted under load from fifty clusters, and no CONNECT fails',
  { timeout: 0 },
  async (t) => {
    const clusters = await makeClusters(t, pki, 50)
    const flags = flagsOf(t, clusters)
    const start = (one: Replica): Promise<Server> => startReplica(t, pki, one, flags)
    const servers = await Promise.all(THREE.map(start))
    const named = (): [Replica, Server][] => THREE.map((one, index) => [one, servers[index]!])
    const door = await frontDoorOf(t, named())
    const target = await listenTarget(t, echo)
    const programs = await startAgents(t, pki, clusters, door.port)
    await Promise.all(servers.map((server) => hasAll(server, clusters)))
    const load = startClusterLoad(
      t,
      clusters,
      openAtReady(t, () => servers, target.address),
    )
    await load.goesOn(100)
    for (const [index, one] of THREE.entries()) {
      await stopInOrder(t, servers[index]!, `the end of ${one.id}`)
      servers[index] = await start(one)
      door.reload({ routes: routesOf(named()) })
      await isReady(servers[index])
      await load.goesOn(100)
    }
    await Promise.all(servers.map((server) => hasAll(server, clusters)))
    await load.goesOn(100)
    await load.stop()
    t.strictSame(load.failures, [])
    t.comment(`${load.count()} CONNECTs`)
    for (const program of programs) {
      await figureBecomes(program, `${AGENT}open_server_connections`, THREE.length)
    }
  },
)
