/** A server of many clusters with workers: each of them holds peers to their cluster, and clusters to their share. */
import { lstatSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { askFor } from './client.ts'
import { figure, figureBecomes } from './figures.ts'
import { agentLeaf, apiserverLeaf, askHub, startHub } from './hub.ts'
import { RESTART_MS } from './rolling.ts'
import { launchAgent } from './tunnel.ts'
import { holdsAll } from './workers.ts'

const WORKERS = 2
/** Where nobody listens: an agent that is asked says so. */
const address = '127.0.0.1:1'

t.test('clients reach their own cluster on every worker, by certificate and by socket', async (t) => {
  const hub = await startHub(
    t,
    (folder) => `id: eu-1
frontends: {socket: ${join(folder, 'eu-1.sock')}}
limits: {clients: 3, agents: 5}
---
id: eu-2
frontends: {socket: ${join(folder, 'eu-2.sock')}}
`,
    [`--workers=${WORKERS}`],
  )
  const agent = await launchAgent(t, { ...hub, pki: { ...hub.pki, agent: await agentLeaf(hub, 'eu-1') } })
  await holdsAll(agent, WORKERS)
  await figureBecomes(hub, 'culvert_server_cluster_usage{cluster="eu-1",limit="agents"}', WORKERS)
  const [own, other] = [await apiserverLeaf(hub, 'eu-1'), await apiserverLeaf(hub, 'eu-2')]
  const bySocket = (id: string) => ({ ...hub, transport: 'uds' as const, socketPath: join(hub.folder, `${id}.sock`) })
  for (let turn = 0; turn < 2 * WORKERS; turn++) {
    t.match(await askHub(hub, own, { address }), { status: 502, body: /connection refused/ })
    t.match(await askFor(bySocket('eu-1'), address), { status: 502, body: /connection refused/ })
    t.match(await askHub(hub, other, { address }), { status: 500, body: /No agent available/ })
    t.match(await askFor(bySocket('eu-2'), address), { status: 500, body: /No agent available/ })
  }
  t.equal(await figure(hub, 'culvert_server_cluster_limit{cluster="eu-1",limit="clients"}'), 2 * WORKERS, 'rounded up')
  t.equal(await figure(hub, 'culvert_server_cluster_limit{cluster="eu-1",limit="agents"}'), 5 * WORKERS, 'each has all')
})

t.test('the sockets stay those of the first process when the file changes and workers are replaced', async (t) => {
  const hub = await startHub(t, (folder) => `id: eu-1\nfrontends: {socket: ${join(folder, 'eu-1.sock')}}\n`, [
    `--workers=${WORKERS}`,
  ])
  const socketPath = join(hub.folder, 'eu-1.sock')
  const { ino } = lstatSync(socketPath)
  hub.write(`id: eu-1\nfrontends: {socket: ${socketPath}}\nlimits: {clients: 7}\n`)
  await hub.logged('clusters changed', WORKERS)
  t.equal(lstatSync(socketPath).ino, ino, 'as it was')
  hub.signal('SIGHUP')
  await hub.logged('all workers are replaced', 1, RESTART_MS)
  t.match(await askFor({ ...hub, transport: 'uds', socketPath }, address), { status: 500 })
})

t.test('a socket that the clusters file gains is served by the workers', async (t) => {
  const hub = await startHub(t, () => 'id: eu-1\n', [`--workers=${WORKERS}`])
  const socketPath = join(hub.folder, 'eu-1.sock')
  hub.write(`id: eu-1\nfrontends: {socket: ${socketPath}}\n`)
  await hub.logged('serving on the socket of a cluster')
  await hub.logged('clusters changed', WORKERS)
  t.match(await askFor({ ...hub, transport: 'uds', socketPath }, address), { status: 500 })
})

t.test('a worker that crashes while the clusters file is broken is replaced, with the clusters in use', async (t) => {
  const hub = await startHub(t, () => 'id: eu-1\n', [`--workers=${WORKERS}`])
  hub.write('id: EU\n')
  await hub.logged('clusters are broken, the ones before stay in use', WORKERS)
  for (const { pid } of hub.log.filter(({ msg }) => msg === 'worker started')) process.kill(Number(pid), 'SIGKILL')
  await hub.logged('worker serving', 2 * WORKERS)
  const own = await apiserverLeaf(hub, 'eu-1')
  for (let turn = 0; turn < WORKERS; turn++) {
    t.match(await askHub(hub, own, { address }), { status: 500, body: /No agent available/ }, 'known, without an agent')
  }
  await hub.logged('clusters are broken, the ones before stay in use', 2 * WORKERS)
})
