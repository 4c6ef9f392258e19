/**
 * Agents of a server of many clusters that show a token and a certificate: it is the token that says the cluster, and the certificate
 * may be exchanged all the same while they are connected.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { apiStandIn, kubeconfig } from '../kubernetes/api-stand-in.ts'
import { makePki } from './certificates.ts'
import { echoOver, openTunnel } from './client.ts'
import { figure } from './figures.ts'
import { agentLeaf, startHub } from './hub.ts'
import { proved, show } from './showing.ts'
import { echo, listenTarget } from './target.ts'
import { launchAgent } from './tunnel.ts'
import { openWireAgent } from './wire-agent.ts'

const USER = 'system:serviceaccount:eu-1:agent'
const clusters = `
id: eu-1
agents: {users: ["${USER}"]}
---
id: eu-2
agents: {names: ["DNS:agent.eu-2.example"]}
`

const pki = await makePki(t)
const status = { authenticated: true, user: { username: USER }, audiences: ['hub'] }
const api = await apiStandIn(t, ({ answer }) => answer(201, { status })) // again and again
const hub = await startHub(
  t,
  () => clusters,
  ['--authentication-audience=hub', `--kubeconfig=${kubeconfig(t, api.access.server.href)}`],
  pki,
)
const target = await listenTarget(t, echo)
const nameless = { dnsNames: ['agent.eu-1.example'] } // of no cluster, and of one subject each time

t.test('an agent goes over to its next certificate, and all that is open stays', async (t) => {
  const leaf = await pki.issue('nameless', nameless)
  const tokenFile = join(pki.folder, 'token')
  writeFileSync(tokenFile, 'one.token.of-eu-1')
  const flags = [`--service-account-token-path=${tokenFile}`]
  const agent = await launchAgent(t, { ...hub, pki: { ...pki, agent: leaf } }, { flags })
  await agent.logged('connected')
  const tunnel = await openTunnel(hub, target.address)
  await pki.issue('nameless', nameless) // in the place of the one it has
  await hub.logged('agent shows a new certificate')
  await echoOver(tunnel, 'as before')
  t.equal(hub.log.filter(({ msg }) => msg === 'agent connected').length, 1, 'by the connection that it had')
  for (const why of ['revoked', 'expired', 'untrusted']) {
    const cutOff = `culvert_server_cut_off_connections_total{port="agent",why="${why}"}`
    t.equal(await figure(hub, cutOff), 0, why)
  }
  tunnel.destroy()
})

t.test('a certificate of another cluster or holder is no next one', async (t) => {
  const leaf = await pki.issue('by-hand', nameless)
  const headers = { agentid: 'by-hand', authorization: 'Bearer another.token.of-eu-1' }
  const agent = await openWireAgent(t, hub, { leaf, headers })
  await agent.answer()
  for (const [what, next, text] of [
    ['of another cluster by its identity', await agentLeaf(hub, 'eu-2'), /its certificate is of another cluster than/],
    ['of its own cluster, but of somebody', await agentLeaf(hub, 'eu-1'), /^is of another holder than the connection$/],
    [
      'of another cluster by a name that is mapped',
      await pki.issue('mapped', { dnsNames: ['agent.eu-2.example'] }),
      /its certificate is of another cluster than the user of its token/,
    ],
  ] as const) {
    t.match(await show(agent, proved(agent, next)), { status: 403, text }, what)
  }
  const next = await pki.issue('by-hand-next', nameless)
  t.strictSame(await show(agent, proved(agent, next)), { status: 200, text: '' }, 'what is right is taken still')
})
