/**
 * Agents that are known by the tokens of service accounts, which a real kube-apiserver issues and reviews: ours and
 * konnectivity's, at our server and at konnectivity's, with the rights of config/rbac-*.yaml.
 */
import { createSign } from 'node:crypto'
import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import t from 'tap'
import { figureIn } from '../integration/figures.ts'
import { AUDIENCE, NAMESPACE, type Probed, SERVICE_ACCOUNT, startLeaseHub } from './lease-hub.ts'
import type { Maker } from './tunnel.ts'
import { becomes, says } from './waiting.ts'

const SOON_MS = 20_000
/** Longer than the deadline of a review. */
const REVIEW_MS = 30_000
const OPEN = 'konnectivity_network_proxy_agent_open_server_connections'
const KNOWN = 'culvert_server_token_reviews_total{outcome="known"}'
const OURS = 0
const STOCK = 1

const hub = await startLeaseHub(t, 2)
const { kubectl, folder } = hub
await kubectl.text('create', 'serviceaccount', 'other', '-n', NAMESPACE)
await kubectl.text('create', 'serviceaccount', SERVICE_ACCOUNT, '-n', 'default')

const serverFlags = [
  `--agent-namespace=${NAMESPACE}`,
  `--agent-service-account=${SERVICE_ACCOUNT}`,
  `--authentication-audience=${AUDIENCE}`,
  `--kubeconfig=${hub.configs.server}`,
  '--kubeconfig-qps=50',
  '--kubeconfig-burst=50',
]
// All that is refused is told to the finest log, the rest of it once a minute.
const server = await hub.startServer('ours', OURS, [...serverFlags, '--log-level=debug'])
const stockServer = await hub.startServer('stock', STOCK, serverFlags)

const right = await hub.token(SERVICE_ACCOUNT, AUDIENCE)
const tokens = {
  'for another audience': [
    await hub.token(SERVICE_ACCOUNT, 'another'),
    /lookup failed: .*token audiences .*another.* is invalid for the target audiences/,
  ],
  'of another service account': [
    await hub.token('other', AUDIENCE),
    /lookup failed: incoming request from \\*"other\\*" service account\. Expected \\*"konnectivity-agent\\*"/,
  ],
  'of another namespace': [
    await hub.token(SERVICE_ACCOUNT, AUDIENCE, 'default'),
    /lookup failed: incoming request from \\*"default\\*" namespace\. Expected \\*"kube-system\\*"/,
  ],
  'that has expired': [await expired(right), /lookup failed: .*token has expired/],
  'that is garbage': ['garbage.of-no.meaning', /lookup failed: .*invalid bearer token/],
  'whose signature is another': [`${right.slice(0, -4)}AAAA`, /lookup failed: .*invalid bearer token/],
} as const satisfies Record<string, readonly [token: string, text: RegExp]>
let agents = 0

/** Signed by the key of kube-apiserver, over: an hour ago. */
async function expired(token: string): Promise<string> {
  const [header = '', claims = ''] = token.split('.')
  const hourAgo = Math.floor(Date.now() / 1000) - 3_600
  const changed = { ...JSON.parse(Buffer.from(claims, 'base64url').toString()), exp: hourAgo }
  const signed = `${header}.${Buffer.from(JSON.stringify(changed)).toString('base64url')}`
  const key = await readFile(hub.pki.kubernetes.serviceAccount.key, 'utf8')
  const signature = createSign('sha256').update(signed).sign({ key, dsaEncoding: 'ieee-p1363' })
  return `${signed}.${signature.toString('base64url')}`
}

async function startAgent(
  maker: Maker,
  token: string | undefined,
  at: number,
): Promise<Probed & { tokenFile: string }> {
  const name = `agent-${agents++}`
  const tokenFile = join(folder, `${name}.token`)
  if (token !== undefined) await writeFile(tokenFile, token, { mode: 0o600 })
  const flags = token === undefined ? [] : [`--service-account-token-path=${tokenFile}`]
  const agent = await hub.startAgent(maker, name, [...flags, '--sync-interval=500ms', '--sync-interval-cap=1s'], {
    server: at,
  })
  return { ...agent, tokenFile }
}

/** In what our agent says of itself, or our server of an agent. */
const reason = ({ name }: Probed, text: RegExp): RegExp =>
  new RegExp(`could not connect .*${text.source}|agent refused .*${text.source}.*agent=${name}$`, 'm')
const held = (agent: Probed) => async (): Promise<number> => figureIn(await agent.until(agent.metrics()), OPEN)
const is = (wanted: number) => (found: number) => found === wanted

for (const maker of ['ours', 'stock'] as const) {
  await t.test(`our server takes an agent of ${maker} with the right token, by its service account`, async (t) => {
    const agent = await startAgent(maker, right, OURS)
    t.equal(await becomes('it is connected', held(agent), is(1), SOON_MS), 1)
    const fleet = await hub.admin(OURS, '/v1/clusters')
    t.match(fleet, `"system:serviceaccount:${NAMESPACE}:${SERVICE_ACCOUNT}"`, 'that is its principal')
    agent.signal('SIGKILL')
  })

  for (const [what, [token, text]] of Object.entries(tokens)) {
    await t.test(`our server refuses an agent of ${maker} with a token ${what}`, async (t) => {
      const agent = await startAgent(maker, token, OURS)
      await says(maker === 'ours' ? agent : server, reason(agent, text), SOON_MS)
      // A stock agent looks for the id of the server first, and says no more than that there is none.
      if (maker === 'stock') await says(agent, /expected one server ID in the context, got \[\]/, SOON_MS)
      t.equal(await held(agent)(), 0)
      agent.signal('SIGKILL')
    })
  }

  await t.test(`our server refuses an agent of ${maker} without a token`, async (t) => {
    const agent = await startAgent(maker, undefined, OURS)
    const text = /Authentication context was not found in metadata/
    await says(maker === 'ours' ? agent : server, reason(agent, text), SOON_MS)
    t.equal(await held(agent)(), 0)
    agent.signal('SIGKILL')
  })
}

await t.test('a stock server takes our agent with the right token, and refuses it with another', async (t) => {
  const agent = await startAgent('ours', right, STOCK)
  t.equal(await becomes('it is connected', held(agent), is(1), SOON_MS), 1)
  agent.signal('SIGKILL')
  const [token, text] = tokens['of another service account']
  const refused = await startAgent('ours', token, STOCK)
  t.match(await says(refused, text, SOON_MS), text)
  t.equal(await held(refused)(), 0)
  refused.signal('SIGKILL')
})

await t.test('an agent reads its token anew for each attempt', async (t) => {
  const agent = await startAgent('ours', 'not-yet', OURS)
  await says(agent, /invalid bearer token/, SOON_MS)
  await writeFile(agent.tokenFile, `${right}\n`)
  t.equal(await becomes('it is connected', held(agent), is(1), SOON_MS), 1)
  agent.signal('SIGKILL')
})

await t.test('while the API server is away, who is connected stays and others come in later', async (t) => {
  const agent = await startAgent('ours', right, OURS)
  await becomes('it is connected', held(agent), is(1), SOON_MS)
  const known = figureIn(await server.metrics(), KNOWN)
  t.ok(known >= 1)
  const other = await hub.token(SERVICE_ACCOUNT, AUDIENCE) // one that nobody has been asked about yet
  hub.apiServer.signal('SIGSTOP')
  const late = await startAgent('ours', other, OURS)
  await says(late, /Failed to authenticate request\. err:the API server cannot be asked/, REVIEW_MS)
  t.equal(await held(agent)(), 1)
  hub.apiServer.signal('SIGCONT')
  t.equal(await becomes('the other is connected', held(late), is(1), REVIEW_MS), 1)
  t.equal(await held(agent)(), 1)
  const metrics = await server.metrics()
  t.ok(figureIn(metrics, KNOWN) > known, 'the other token was asked about, by each attempt that waited')
  t.ok(figureIn(metrics, 'culvert_server_token_reviews_total{outcome="refused"}') >= 14)
  t.ok(figureIn(metrics, 'culvert_server_token_reviews_total{outcome="failed"}') >= 1)
  for (const one of [agent, late]) one.signal('SIGKILL')
})

await t.test('nothing that was shown is in any log of ours', async (t) => {
  for (const running of [server, stockServer]) running.signal('SIGKILL')
  const secrets = [right, ...Object.values(tokens).map(([token]) => token)]
  const logs = (await readdir(folder)).filter((name) => name.endsWith('.log'))
  t.ok(logs.length > 10)
  for (const name of logs) {
    const text = await readFile(join(folder, name), 'utf8')
    for (const secret of secrets) t.notOk(text.includes(secret), name)
  }
})
