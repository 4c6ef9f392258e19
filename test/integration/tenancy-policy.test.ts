/** The policy of a cluster in the clusters file: of that cluster only, on the server and on its agents. */
import t from 'tap'
import { eventually } from './deadline.ts'
import { fetchFrom, figure } from './figures.ts'
import { agentLeaf, apiserverLeaf, askHub, type Hub, startHub } from './hub.ts'
import { echo, listenTarget } from './target.ts'
import { startAgent } from './tunnel.ts'

const { port } = await listenTarget(t, echo)
const NOBODY = 'connect: connection refused'

type Pushed = { readonly state?: string; readonly version?: string }
async function pushed(hub: Hub, cluster: string): Promise<Pushed> {
  const { clusters } = (await (await fetchFrom(hub.adminPort, '/v1/clusters')).json()) as {
    clusters: { id: string; agents: { policy?: Pushed }[] }[]
  }
  return clusters.find(({ id }) => id === cluster)?.agents[0]?.policy ?? {}
}

t.test('each cluster by its own policy, which a reload changes and takes back', async (t) => {
  const rules = (text: string): string => `id: eu-1\npolicy: {rules: [${text}]}\n---\nid: eu-2\n`
  const hub = await startHub(t, () => rules('{allow: {cidr: 127.0.0.1}}, {deny: {ports: 1}}'))
  const agent = async (cluster: string) =>
    startAgent(t, { ...hub, pki: { ...hub.pki, agent: await agentLeaf(hub, cluster) } })
  const [own] = [await agent('eu-1'), await agent('eu-2')]
  const [one, two] = [await apiserverLeaf(hub, 'eu-1'), await apiserverLeaf(hub, 'eu-2')]
  await eventually(
    'the agent takes its policy',
    () => pushed(hub, 'eu-1'),
    ({ state }) => state === 'accepted',
  )
  t.strictSame(await pushed(hub, 'eu-2'), {})
  t.match(await askHub(hub, one, { address: '127.0.0.2:1' }), {
    status: 403,
    reason: /rule 2, deny everything ports 1/,
  })
  t.match(await askHub(hub, one, { address: `127.0.0.2:${port}` }), { status: 403, reason: /no rule allows it/ })
  t.match(
    await askHub(hub, two, { address: '127.0.0.2:1' }),
    { status: 502, body: NOBODY },
    'nothing is said of the other',
  )
  t.equal(await figure(hub, 'culvert_server_denied_dials_total{why="policy"}'), 2)

  hub.write(rules('{allow: {name: localhost}}, {deny: {cidr: [127.0.0.0/8, "::1"]}}'))
  await own.logged('policy of the server is in force', 2)
  t.match(await askHub(hub, one, { address: `localhost:${port}` }), {
    status: 502,
    body: /policy of the server: rule 2/,
  })

  hub.write('id: eu-1\n---\nid: eu-2\n')
  await own.logged('policy of the server is in force', 3)
  t.match(await askHub(hub, one, { address: '127.0.0.2:1' }), { status: 502, body: NOBODY })
})
