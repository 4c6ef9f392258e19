/** The fleet as a running hub tells it: states of clusters, their changes as events, who may ask, and `culvert status`. */
import { spawn } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import t from 'tap'
import type { ServerEvent } from '../../src/cli/event-stream.ts'
import { culvert, ENTRY, type Ended } from '../cli/run-culvert.ts'
import { makePki, temporaryFolder } from './certificates.ts'
import { event, eventually } from './deadline.ts'
import { fetchFrom } from './figures.ts'
import { followEvents, seenIn } from './fleet-events.ts'
import { agentLeaf, startHub } from './hub.ts'
import { launchAgent, type Server, startAgent, startServer } from './tunnel.ts'
import { openWireAgent } from './wire-agent.ts'
import { allReady, holdsAll, startTeam, workerPids } from './workers.ts'

const pki = await makePki(t)

const dataOf = ({ data }: ServerEvent): Record<string, unknown> => JSON.parse(data) as Record<string, unknown>

const toldIn = (event: ServerEvent): string => {
  const { type, cluster, reason } = dataOf(event)
  return `${type} ${cluster} ${reason}`
}

const clusterOf = async (server: Pick<Server, 'adminPort'>, id = 'default'): Promise<Record<string, unknown>> =>
  (await (await fetchFrom(server.adminPort, `/v1/clusters/${id}`)).json()) as Record<string, unknown>

/**
 * From three quarters of it on an agent is late, which is looked for every second: the last quarter has to be longer than that, and
 * than what a busy machine adds, or it is lost before anybody has seen that it is late.
 */
const HEARTBEAT_TIMEOUT = '8s'
const agentFlags = ['--heartbeat-interval=500ms']

t.test('a cluster comes, falls silent, is lost, comes back, drains and goes', async (t) => {
  const server = await startServer(t, { pki, flags: [`--heartbeat-timeout=${HEARTBEAT_TIMEOUT}`] })
  const events = await followEvents(t, server)
  await seenIn(events, 'snapshot')
  t.strictSame(dataOf(events.seen[0]!), { clusters: [] })
  t.equal((await fetchFrom(server.adminPort, '/v1/clusters/default')).status, 404)

  const agent = await startAgent(t, server, { flags: ['--agent-id=a-1', ...agentFlags] })
  await seenIn(events, 'snapshot', 'established')
  t.match(dataOf(events.seen[1]!), { cluster: 'default', agent: 'a-1', reason: 'an agent is connected', time: String })
  t.match(await clusterOf(server), { id: 'default', state: 'established', agents: [{ agentId: 'a-1' }] })

  agent.signal('SIGSTOP')
  await seenIn(events, 'snapshot', 'established', 'degraded', 'lost')
  t.match(dataOf(events.seen[2]!), { cluster: 'default', reason: 'an agent is silent' })
  t.match(dataOf(events.seen[3]!), { cluster: 'default', reason: 'heartbeat_timeout' })
  t.match(await clusterOf(server), { id: 'default', state: 'lost', reason: 'heartbeat_timeout', agents: [] })

  agent.signal('SIGCONT')
  await seenIn(events, 'snapshot', 'established', 'degraded', 'lost', 'established')
  await agent.logged('connected', 2) // else it may end before it has heard the server's answer, with nothing to drain
  agent.signal('SIGTERM')
  await seenIn(events, 'snapshot', 'established', 'degraded', 'lost', 'established', 'draining', 'lost')
  t.match(dataOf(events.seen[6]!), { reason: 'closed' })
  await agent.ended

  const lastButOne = events.seen[5]?.id
  const again = await followEvents(t, server, { 'Last-Event-ID': lastButOne })
  await seenIn(again, 'lost', 'snapshot')
  t.equal(again.seen[0]?.id, events.seen[6]?.id, 'what was missed comes first')
  const foreign = await followEvents(t, server, { 'Last-Event-ID': 'another-process-7' })
  await seenIn(foreign, 'established', 'degraded', 'lost', 'established', 'draining', 'lost', 'snapshot')
})

t.test('who is refused is told of, with the reason', async (t) => {
  const server = await startServer(t, { pki })
  const events = await followEvents(t, server)
  await openWireAgent(t, server, { leaf: pki.apiserver }).then(({ ended }) => ended())
  await seenIn(events, 'snapshot', 'refused')
  t.match(dataOf(events.seen[1]!), { source: '127.0.0.1', reason: /it is an apiserver certificate/ })
})

t.test('a hub with workers tells of all of them as one', async (t) => {
  const { server, agent } = await startTeam(t, { pki, agent: { flags: ['--agent-id=a-1'] } })
  const events = await followEvents(t, server)
  await seenIn(events, 'snapshot')
  t.match(dataOf(events.seen[0]!), { clusters: [{ id: 'default', state: 'established' }] })
  t.match(await clusterOf(server), { id: 'default', state: 'established', agents: [{ worker: 1 }, { worker: 2 }] })
  process.kill(workerPids(server)[0] ?? -1, 'SIGKILL')
  await seenIn(events, 'snapshot', 'degraded', 'established')
  t.match(dataOf(events.seen[1]!), { reason: 'a worker of the server has ended' })
  // It may have come to the worker that it has, a second time, and still look for the new one.
  await holdsAll(agent, 2)
  await allReady(server, 2)
  agent.signal('SIGTERM')
  await seenIn(events, 'snapshot', 'degraded', 'established', 'draining', 'lost')
  await agent.ended
})

t.test('a cluster that --clusters gains or loses is one event, of however many workers', async (t) => {
  for (const workers of [1, 2]) {
    const hub = await startHub(t, () => 'id: eu-1\n---\nid: idle\n', [`--workers=${workers}`], pki)
    const agent = await launchAgent(t, { ...hub, pki: { ...pki, agent: await agentLeaf(hub, 'eu-1') } })
    await holdsAll(agent, workers)
    await allReady(hub, workers)
    const events = await followEvents(t, hub)
    await seenIn(events, 'snapshot')
    hub.write('id: us-1\n')
    await eventually(
      `the changes, of ${workers}`,
      () => events.seen.filter(({ type }) => type !== 'refused').map(toldIn),
      (told) => told.at(-1) === 'lost eu-1 it was removed from --clusters' && told.length === 4,
    )
    t.strictSame(events.seen.slice(1, 3).map(toldIn), [
      'lost us-1 it is new in --clusters: no agent has come yet',
      'lost idle it was removed from --clusters',
    ])
    const { clusters } = (await (await fetchFrom(hub.adminPort, '/v1/clusters')).json()) as { clusters: object[] }
    t.match(clusters, [{ id: 'us-1', state: 'lost' }])
    agent.signal('SIGTERM')
    await agent.ended
  }
})

t.test('only so many may read at once, and by GET only', async (t) => {
  const server = await startServer(t, { pki })
  for (let count = 0; count < 64; count++) await followEvents(t, server)
  t.equal((await fetchFrom(server.adminPort, '/v1/events')).status, 503)
  t.equal((await fetchFrom(server.adminPort, '/v1/events', { method: 'HEAD' })).status, 503)
  t.equal((await fetchFrom(server.adminPort, '/v1/events', { method: 'POST' })).status, 405)
})

const adminFlags = [`--admin-cert=${pki.server.certFile}`, `--admin-key=${pki.server.keyFile}`]
const TOKEN = 'a-token-of-sufficient-length'

const status = (...argv: string[]): Promise<Ended> => culvert('status', ...argv)

t.test('culvert status shows the clusters in every form', async (t) => {
  const server = await startServer(t, { pki })
  await startAgent(t, server, { flags: ['--agent-id=a-1'] })
  const url = `--server=http://127.0.0.1:${server.adminPort}`
  t.match(await status(url), {
    code: 0,
    stderr: '',
    stdout: /^CLUSTER .*HEARD\ndefault +established +\d+s +1 +0 +\d+s\n$/,
  })
  t.match(await status(url, 'default', '-o', 'wide'), {
    code: 0,
    stdout: /REASON\ndefault .* an agent is connected\n$/,
  })
  t.match(JSON.parse((await status(url, '-o', 'json')).stdout), {
    clusters: [{ id: 'default', agents: [{ agentId: 'a-1' }] }],
  })
  t.match(await status(url, 'default', '-o', 'yaml'), { code: 0, stdout: /^id: default\nstate: established\n/ })
  t.match(await culvert('clusters', url, '-o', 'wide'), {
    code: 0,
    stdout: /REASON\ndefault .* an agent is connected\n$/,
  })
  t.match(await culvert('clusters', '--server=http://127.0.0.1:1'), {
    code: 1,
    stderr: /^culvert clusters: could not ask/,
  })
  t.match(await status(url, 'defualt'), {
    code: 1,
    stderr: /^culvert status: no agent of a cluster "defualt" has been there: did you mean default\?\n$/,
  })
  t.match(await status(`--server=http://127.0.0.1:${server.healthPort}`), {
    code: 1,
    stderr: /knows of no clusters: is it the admin port of a proxy-server\?\n$/,
  })
  t.match(await culvert('clusters', 'eu-1'), { code: 1, stderr: /"culvert status eu-1"/ })
  t.match(await status('--server=http://127.0.0.1:1'), { code: 1, stderr: /could not ask http:\/\/127\.0\.0\.1:1/ })
  t.match(await status('--server=nonsense', '--cert=x', 'a', 'b'), {
    code: 1,
    stderr: /expected http.*\n.*unexpected.*\n.*belong together/,
  })
  t.match(await status('--help'), { code: 0, stdout: /Usage: culvert status \[cluster\] \[flags\]/ })
})

t.test('culvert status asks over TLS with a token or a certificate', async (t) => {
  const tokenFile = join(temporaryFolder(t), 'token')
  writeFileSync(tokenFile, TOKEN)
  const flags = [...adminFlags, `--admin-token-file=${tokenFile}`, `--admin-ca-cert=${pki.caFile}`]
  const server = await startServer(t, { pki, flags })
  const to = [`--server=https://127.0.0.1:${server.adminPort}`, `--ca-cert=${pki.caFile}`]
  t.match(await status(...to, `--token-file=${tokenFile}`), { code: 0, stdout: 'no cluster is connected\n' })
  const alice = await pki.issue('alice', { identity: { role: 'user', name: 'alice' } })
  t.match(await status(...to, `--cert=${alice.certFile}`, `--key=${alice.keyFile}`), { code: 0 })
  t.match(await status(...to, `--cert=${pki.agent.certFile}`, `--key=${pki.agent.keyFile}`), { code: 1 })
  t.match(await status(...to), { code: 1, stderr: /answers 401/ })
  t.match(await status(to[0]!), { code: 1, stderr: /certificate/ })
})

t.test('culvert status --watch tells each change, and goes on when the hub is back', async (t) => {
  const server = await startServer(t, { pki })
  const url = `http://127.0.0.1:${server.adminPort}`
  const child = spawn(process.execPath, [ENTRY, 'status', '--watch', `--server=${url}`], { stdio: 'pipe' })
  t.teardown(() => child.kill('SIGKILL'))
  const lines: string[] = []
  for (const output of [child.stdout, child.stderr])
    createInterface({ input: output }).on('line', (line) => lines.push(line))
  const has = (pattern: RegExp): Promise<unknown> =>
    eventually(
      `a line like ${pattern}`,
      () => lines,
      (all) => all.some((line) => pattern.test(line)),
    )
  const agent = await startAgent(t, server, { flags: ['--agent-id=a-1'] })
  await has(/Z {2}established {2}default {2}an agent is connected/)
  agent.signal('SIGKILL')
  await has(/Z {2}lost {9}default {2}lost \(agent a-1\)$/)
  server.signal('SIGKILL')
  await has(/asking again$/)
})

t.test('culvert clusters --watch ends quietly when nobody reads on', async (t) => {
  const server = await startServer(t, { pki })
  const agent = await startAgent(t, server, { flags: ['--agent-id=a-1'] })
  const argv = ['clusters', '--watch', '-o', 'yaml', `--server=http://127.0.0.1:${server.adminPort}`]
  const child = spawn(process.execPath, [ENTRY, ...argv], { stdio: 'pipe' })
  t.teardown(() => child.kill('SIGKILL'))
  let complaints = ''
  child.stderr.on('data', (bytes: Buffer) => {
    complaints += bytes.toString()
  })
  const ended = event<number>(child, 'exit')
  const said = await event<Buffer>(child.stdout, 'data')
  t.match(said.toString(), /^---\ntime: .*\ntype: established\ncluster: default\nreason: an agent is connected\n$/)
  child.stdout.destroy()
  agent.signal('SIGTERM')
  t.equal(await ended, 0)
  t.equal(complaints, '')
})
