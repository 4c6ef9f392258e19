/**
 * Agents of a server of many clusters that are known by a token: one that is good no more is out within five seconds, with what it had open; one
 * whose token was exchanged in time never notices. With --tenancy=single a token is looked at once, as at konnectivity.
 */
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { type Asked, apiStandIn, kubeconfig, status } from '../kubernetes/api-stand-in.ts'
import { auditHas } from './audit-log.ts'
import { makePki, temporaryFolder } from './certificates.ts'
import { echoOver, endOf, type Frontend, openTunnel } from './client.ts'
import { eventually, within } from './deadline.ts'
import { fetchFrom, figure, figureBecomes } from './figures.ts'
import { apiserverLeaf, startHub } from './hub.ts'
import { echo, listenTarget } from './target.ts'
import { launchAgent, type Server, startServer } from './tunnel.ts'

/** What is promised of whoever is no longer good. */
const OUT_MS = 5_000
const CUT_OFF = 'connection cut off: its token is no longer good'
const again = (outcome: string): string => `culvert_server_token_re_reviews_total{outcome="${outcome}"}`
t.jobs = 4
const together = { buffered: true }
const pki = await makePki(t)
const target = await listenTarget(t, echo)
const userOf = (cluster: string): string => `system:serviceaccount:${cluster}:agent`
const clusters = ['eu-1', 'eu-2'].map((id) => `id: ${id}\nagents: {users: ["${userOf(id)}"]}`).join('\n---\n')

/** Knows whose each token is; a test may change that at any time, or have it say nothing of use. */
async function tokenApi(t: Test, users: Record<string, string>) {
  const state = { users, away: false, asked: [] as string[] }
  const api = await apiStandIn(t, ({ body, answer }: Asked) => {
    const { token } = (body as { spec: { token: string } }).spec
    state.asked.push(token)
    if (state.away) return answer(500, status(500, 'InternalError'))
    const username = state.users[token]
    const found = username
      ? { authenticated: true, user: { username }, audiences: ['hub'] }
      : { user: {}, error: token }
    answer(201, { status: found })
  })
  const flags = ['--authentication-audience=hub', `--kubeconfig=${kubeconfig(t, api.access.server.href)}`]
  return { state, flags }
}

/** An agent that shows a token and no certificate; `write` replaces the token. */
async function startTokenAgent(t: Test, server: Server, token: string) {
  const file = join(temporaryFolder(t), 'token')
  const write = (text: string): void => {
    writeFileSync(`${file}.new`, text)
    renameSync(`${file}.new`, file)
  }
  write(token)
  const flags = ['--agent-cert=', '--agent-key=', `--service-account-token-path=${file}`]
  const agent = await launchAgent(t, server, { flags })
  await agent.logged('connected')
  return { ...agent, write }
}

async function setup(t: Test, users: Record<string, string>) {
  const api = await tokenApi(t, users)
  const auditLog = join(temporaryFolder(t), 'audit.log')
  const flags = ['--cluster-ca-cert=', ...api.flags, `--audit-log-file=${auditLog}`]
  const hub = await startHub(t, () => clusters, flags, pki)
  const clientOf = async (cluster: string): Promise<Frontend> => {
    const apiserver = await apiserverLeaf(hub, cluster)
    return { ...hub, pki: { ...pki, apiserver } }
  }
  return { ...api, hub, auditLog, clientOf, said: () => JSON.stringify(hub.log) }
}

const reasonBecomes = ({ adminPort }: Server, cluster: string, wanted: string): Promise<unknown> =>
  eventually(
    `the reason ${wanted}`,
    async () => (await (await fetchFrom(adminPort, `/v1/clusters/${cluster}`)).json()) as { reason: string },
    ({ reason }) => reason === wanted,
  )

t.test('an agent whose token is revoked is out with all that it has open, and others go on', together, async (t) => {
  const users = { 'hunter2.one': userOf('eu-1'), 'hunter2.two': userOf('eu-2') }
  const { hub, state, auditLog, clientOf, said } = await setup(t, users)
  await startTokenAgent(t, hub, 'hunter2.one')
  await startTokenAgent(t, hub, 'hunter2.two')
  const open = await openTunnel(await clientOf('eu-1'), target.address)
  const other = await openTunnel(await clientOf('eu-2'), target.address)
  await eventually(
    'both were reviewed again',
    () => figure(hub, again('known')),
    (count) => count >= 2,
  )
  state.users = { 'hunter2.two': userOf('eu-2') }
  await within(endOf(open), 'what it has open ends', OUT_MS)
  t.match(await hub.logged(CUT_OFF), { why: 'revoked', cluster: 'eu-1', principal: userOf('eu-1') })
  const principal = userOf('eu-1')
  await auditHas(auditLog, { event: 'cut-off', cluster: 'eu-1', principal, reason: 'token revoked' })
  await auditHas(auditLog, { event: 'agent-end', cluster: 'eu-1', reason: 'revoked' })
  t.equal(await figure(hub, 'culvert_server_cut_off_connections_total{port="agent",why="revoked"}'), 1)
  await reasonBecomes(hub, 'eu-1', 'revoked')
  await hub.logged('agent refused')
  await echoOver(other, 'as before')
  t.notMatch(said(), /hunter2/)
  other.destroy()
})

t.test('an agent whose token has expired is out, and comes back by the next one', together, async (t) => {
  const claims = { exp: Math.floor(Date.now() / 1000) - 60 }
  const old = `hunter2.${Buffer.from(JSON.stringify(claims)).toString('base64url')}.x`
  const { hub, state, auditLog } = await setup(t, { [old]: userOf('eu-1') })
  const agent = await startTokenAgent(t, hub, old)
  state.users = { 'hunter2.next': userOf('eu-1') }
  await hub.logged(CUT_OFF)
  await auditHas(auditLog, { event: 'cut-off', reason: 'token expired' })
  await reasonBecomes(hub, 'eu-1', 'expired')
  agent.write('hunter2.next')
  await agent.logged('connected', 2)
})

t.test('an agent whose token is exchanged in time loses nothing', together, async (t) => {
  const { hub, state, clientOf, said } = await setup(t, {
    'hunter2.one': userOf('eu-1'),
    'hunter2.two': userOf('eu-1'),
  })
  const agent = await startTokenAgent(t, hub, 'hunter2.one')
  const open = await openTunnel(await clientOf('eu-1'), target.address)
  agent.write('hunter2.two')
  await hub.logged('agent shows a new token')
  state.users = { 'hunter2.two': userOf('eu-1') }
  const from = state.asked.length
  const asked = (): string[] => state.asked.slice(from)
  await eventually('it is reviewed twice', asked, (tokens) => tokens.length >= 2)
  t.strictSame([...new Set(asked())], ['hunter2.two'])
  await echoOver(open, 'as before')
  t.equal(agent.log.filter(({ msg }) => msg === 'connected').length, 1)
  t.equal(await figure(hub, again('refused')), 0)
  t.notMatch(said() + JSON.stringify(agent.log), /hunter2/)
  open.destroy()
})

t.test(
  'while the API server is away nobody is out; who is revoked meanwhile is when it is back',
  together,
  async (t) => {
    const { hub, state, clientOf } = await setup(t, { 'hunter2.one': userOf('eu-1') })
    await startTokenAgent(t, hub, 'hunter2.one')
    const open = await openTunnel(await clientOf('eu-1'), target.address)
    state.away = true
    await eventually(
      'reviews fail',
      () => figure(hub, again('failed')),
      (count) => count >= 2,
    )
    await echoOver(open, 'as before')
    const failing = 'tokens of connected agents cannot be reviewed again, they stay connected'
    t.equal(hub.log.filter(({ msg }) => msg === failing).length, 1)
    state.users = {}
    state.away = false
    await within(endOf(open), 'what it has open ends', OUT_MS)
  },
)

t.test('with --tenancy=single a token is looked at when its agent comes, and never again', together, async (t) => {
  const { hub, ...api } = await setup(t, { 'hunter2.one': userOf('eu-1'), 'hunter2.two': userOf('eu-2') })
  const flags = ['--cluster-ca-cert=', '--agent-namespace=eu-1', '--agent-service-account=agent', ...api.flags]
  const server = await startServer(t, { pki, flags })
  await startTokenAgent(t, server, 'hunter2.one')
  const { extensions } = (await server.logged('agent connected')) as unknown as { extensions: string[] }
  t.ok(extensions.includes('new-certificate'))
  t.notOk(extensions.includes('new-token'), 'there would be no use for it')
  await startTokenAgent(t, hub, 'hunter2.two')
  await figureBecomes(hub, again('known'), 2) // by then it would have been looked at as often
  t.equal(api.state.asked.filter((token) => token === 'hunter2.one').length, 1)
})
