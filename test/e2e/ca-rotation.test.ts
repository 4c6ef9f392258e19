/**
 * The steps of docs/certificates.md, "Changing the CA", at a hub of two clusters, while kubectl and CONNECT clients go on without
 * a pause: no call fails. Agents renew by themselves; of API servers a new one takes over from the old one, as behind a balancer.
 */
import { X509Certificate } from 'node:crypto'
import { appendFileSync, copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { figureIn } from '../integration/figures.ts'
import { askPlace, type Identities } from './cells.ts'
import { culvert, makeAuthority } from './identities.ts'
import { type Kubernetes, PLACE_COMMAND, PLACE_PATH, startTwo } from './kubernetes.ts'
import { POD } from './objects.ts'
import type { Running } from './process.ts'
import { type Member, startSharedHub } from './shared-hub.ts'
import { becomes, says, timesSaid } from './waiting.ts'

/** Of the certificates of agents: they renew at two thirds of it. */
const LIFETIME_S = 30
/** Two looks at files, a renewal, and what a busy machine adds. */
const NOTICED_MS = 60_000
/** Ports of the second API server of each cluster. */
const NEXT_API_PORT = 6543
const MIN_CALLS = 10

const hub = await startSharedHub(t, ['eu-1', 'eu-2'], { flags: [`--enrolment-lifetime=${LIFETIME_S}s`] })
const real = await startTwo(hub, hub.members as [Member, Member])

t.test('a CA is exchanged while kubectl and CONNECT clients go on, and no call fails', async (t) => {
  const { files, folder } = hub
  const loads = real.map(([member, kubernetes]) => startLoad(member, kubernetes))
  const allMoveOn = async (): Promise<void> => {
    const before = loads.map(({ calls }) => calls())
    const moved = becomes(
      'every kind of call goes on',
      () => loads.map(({ calls }) => calls()),
      (now) => now.every((kinds, at) => kinds.every((calls, kind) => calls > (before[at]?.[kind] ?? 0) + 1)),
      NOTICED_MS,
    )
    await Promise.race([moved, ...loads.map(({ failed }) => failed)])
  }
  await allMoveOn()

  const next = await makeAuthority(join(folder, 'pki-2'))
  const agents = hub.members.map(({ agent }) => agent)
  const bundles = [files.bundle, ...agents.map(({ ca }) => ca)]
  for (const bundle of bundles) appendFileSync(bundle, readFileSync(next.ca.cert)) // 1: both are trusted
  const changed = /TLS files changed, new handshakes use them/
  await says(hub.server, changed, NOTICED_MS, 2)
  await Promise.all(hub.agents.values().map(noticesChange))

  // API servers read their files at their start: new ones take over, and the old ones end when they have no calls left.
  await Promise.all(
    real.map(async ([member, kubernetes], index) => {
      const apiserver = await next.issue('apiserver', `apiserver-${member.id}`, '--cluster', member.id)
      const identities = { ...member, apiserver }
      const { kubectl } = await kubernetes.another(NEXT_API_PORT + index, identities)
      loads[index]!.use(kubectl, identities)
    }),
  )
  await allMoveOn()
  for (const [, { apiServer }] of real) {
    apiServer.signal('SIGKILL')
    await apiServer.ended
  }

  await next.issue('server', 'hub-0', ...hub.names, '--out', join(folder, 'hub-0'), '--force') // 2
  copyFileSync(next.ca.cert, files.issuing.cert)
  copyFileSync(next.ca.key, files.issuing.key)
  await says(hub.server, changed, NOTICED_MS, 4)
  // 3: they come back by it themselves
  await becomes(
    'the agents have renewed, by the new CA',
    () => agents.map(({ cert }) => isOf(cert, next.ca.cert)),
    (all) => all.every(Boolean),
    NOTICED_MS,
  )
  await becomes('the server was shown them', unshown, (count) => count === 0, NOTICED_MS)

  for (const bundle of bundles) replace(bundle, readFileSync(next.ca.cert)) // 4: the old one is out
  await culvert('pki', 'crl', '--refresh', '--dir', next.dir)
  replace(files.crl, readFileSync(join(next.dir, 'crl.pem')))
  await says(hub.server, changed, NOTICED_MS, 6)
  await allMoveOn()
  for (const { stop } of loads) {
    const calls = await stop()
    t.ok(Math.min(...calls) >= MIN_CALLS, `kubectl exec, kubectl get, CONNECT: ${calls.join(', ')} calls`)
  }

  const metrics = await hub.metrics()
  for (const why of ['revoked', 'expired', 'untrusted']) {
    for (const port of ['agent', 'frontend']) {
      const cutOff = `culvert_server_cut_off_connections_total{port="${port}",why="${why}"}`
      t.equal(figureIn(metrics, cutOff), 0, cutOff)
    }
  }
  for (const member of hub.members) {
    const { status } = await askPlace(hub, member, member)
    t.equal(status, 403, `what the old CA issued to the API server of ${member.id} is worth nothing`)
  }
})

/** Calls of three kinds at once, one after the other of each, until it is stopped. @throws Error of the first that fails */
function startLoad(member: Member, { kubectl: first }: Kubernetes) {
  let [kubectl, identities, over]: [Kubernetes['kubectl'], Identities, boolean] = [first, member, false]
  const counts = [0, 0, 0]
  const kinds = [
    async () => (await kubectl.text('exec', POD, '--', ...PLACE_COMMAND)).trim(),
    () => kubectl.text('get', '--raw', PLACE_PATH),
    async () => {
      const { status, text } = await askPlace(hub, member, identities)
      return status === 200 ? text : `${status} ${text}`
    },
  ]
  const running = Promise.all(
    kinds.map(async (call, kind) => {
      for (; !over; counts[kind]!++) {
        const place = await call()
        if (place !== member.place) throw new Error(`a call to ${member.id} came to ${place}, not ${member.place}`)
      }
    }),
  )
  const failed = running.then(() => new Promise<never>(() => undefined)) // only ever rejects
  failed.catch(() => undefined) // told by who moves on, or stops it
  return {
    failed,
    calls: (): readonly number[] => [...counts],
    use(next: Kubernetes['kubectl'], its: Identities): void {
      kubectl = next
      identities = its
    },
    async stop(): Promise<readonly number[]> {
      over = true
      await running
      return counts
    },
  }
}

/** The agent says the same of each renewal, for which it reads all of its files. */
async function noticesChange(agent: Running): Promise<void> {
  const changed = /TLS files changed, the next connection uses them/
  await says(agent, changed, NOTICED_MS, (await timesSaid(agent, changed)) + 1)
}

/** New certificates that the server has not been shown yet: each is shown once, on the connection that stands. */
async function unshown(): Promise<number> {
  const shown = await timesSaid(hub.server, /agent shows a new certificate/)
  const renewed = await Promise.all(hub.agents.values().map((agent) => timesSaid(agent, /certificate renewed/)))
  return renewed.reduce((sum, times) => sum + times, 0) - shown
}

function isOf(cert: string, ca: string): boolean {
  const [leaf, authority] = [cert, ca].map((file) => new X509Certificate(readFileSync(file)))
  return leaf!.verify(authority!.publicKey)
}

function replace(file: string, bytes: Buffer): void {
  writeFileSync(`${file}.new`, bytes)
  renameSync(`${file}.new`, file)
}
