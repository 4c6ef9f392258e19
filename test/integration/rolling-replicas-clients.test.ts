/** A rolling restart of three replicas under load, with the clients behind the front door too, which goes by `/readyz`. */
import t from 'tap'
import { openTunnel } from './client.ts'
import { figureBecomes } from './figures.ts'
import { startFrontDoor } from './front-door.ts'
import { flagsOf, hasAll, makeClusters, startAgents, startClusterLoad, THREE } from './many-clusters.ts'
import { HUB, makeHubPki, startReplica } from './replicas.ts'
import { RESTART_MS, stopInOrder } from './rolling.ts'
import { echo, listenTarget, ownPort } from './target.ts'
import type { Server } from './tunnel.ts'

const pki = await makeHubPki(t)
/** Each at an address of its own, so that all can have the same health port, which the front door asks. */
const addressOf = (number: number): string => `127.0.0.${number + 2}`

t.test(
  'three replicas are restarted, clients come through the front door that asks who is ready, and no CONNECT fails',
  { timeout: 0 },
  async (t) => {
    const clusters = await makeClusters(t, pki, 10)
    const flags = flagsOf(t, clusters)
    const readiness = { port: await ownPort() }
    const ports = await Promise.all(THREE.map(async () => ({ server: await ownPort(), agent: await ownPort() })))
    const start = (number: number): Promise<Server> => {
      const address = addressOf(number)
      const bind = ['server', 'agent', 'health'].map((name) => `--${name}-bind-address=${address}`)
      const own = Object.entries({ ...ports[number], health: readiness.port })
      const at = ['--server-listen-any=false', ...own.map(([name, port]) => `--${name}-port=${port}`)]
      return startReplica(t, pki, THREE[number]!, [...flags, ...bind, ...at])
    }
    const servers = [await start(0), await start(1), await start(2)]
    const at = (name: 'agentPort' | 'frontendPort'): string[] =>
      servers.map((server, number) => `${addressOf(number)}:${server[name]}`)
    const alpn = ['h2', 'culvert-lane/1']
    const door = await startFrontDoor(t, {
      routes: [
        ...THREE.map(({ id, serverName }, number) => ({
          ...{ name: id, hosts: [serverName], alpn, backends: [at('agentPort')[number]] },
        })),
        { name: 'agents', hosts: [HUB], alpn, backends: at('agentPort') },
        { name: 'clients', hosts: [HUB], readiness, backends: at('frontendPort') },
      ],
      healthCheck: { interval: '1s' },
    })
    const areUp = (count: number): Promise<unknown> =>
      figureBecomes(door, 'culvert_router_backends{route="clients",state="up"}', count, RESTART_MS)
    const target = await listenTarget(t, echo)
    await startAgents(t, pki, clusters, door.port)
    await Promise.all(servers.map((server) => hasAll(server, clusters)))
    const through = { transport: 'tls', socketPath: '', frontendPort: door.port, servername: HUB } as const
    const load = startClusterLoad(t, clusters, (apiserver) =>
      openTunnel({ ...through, pki: { ...pki, apiserver } }, target.address),
    )
    await load.goesOn(50)
    for (const [number, server] of servers.entries()) {
      await areUp(3)
      const stopped = stopInOrder(t, server, `the end of ${THREE[number]!.id}`)
      await areUp(2)
      await stopped
      t.match(await server.logged('closed the frontend'), { why: 'quiet', open: 0 })
      servers[number] = await start(number)
      await load.goesOn(50)
    }
    await areUp(3)
    await load.goesOn(50)
    await load.stop()
    t.strictSame(load.failures, [])
    t.comment(`${load.count()} CONNECTs`)
  },
)
