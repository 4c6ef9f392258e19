/**
 * A hub of four clusters, with all that it can tell of: `calm` has an agent and a client that go on exchanging, `evil` is whose
 * credentials the attackers hold, `third` has nobody yet, `crowded` may have four agents.
 */
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import type { Test } from 'tap'
import { updateList } from '../../src/pki/revocation-list.ts'
import { writePair } from '../../src/pki/store.ts'
import { type Leaf, makePki, type Pki } from '../integration/certificates.ts'
import { openTunnel } from '../integration/client.ts'
import { dialOnOneEach } from '../integration/grpc-dialers.ts'
import { agentLeaf, apiserverLeaf, type Hub, startHub, userLeaf } from '../integration/hub.ts'
import { echo, listenTarget, type Target } from '../integration/target.ts'
import { startAgent } from '../integration/tunnel.ts'
import type { Ground } from './attack.ts'
import { SLOWEST_MS, startNeighbour } from './neighbour.ts'

/** What `evil` may have; the others have the defaults. */
const EVIL_LIMITS = 'clients: 40, connections: 30, pendingDials: 8, dialsPerSecond: 100, bufferedBytes: 1MiB'
const clusters = `
id: calm
frontends: {users: [carol], serverNames: [calm.hub.example]}
---
id: evil
frontends: {users: [mallory], serverNames: [evil.hub.example], addresses: [127.0.2.200/30]}
limits: {${EVIL_LIMITS}}
policy: {rules: [{deny: {cidr: 192.0.2.0/24}}, {deny: {name: secret.example}}, {allow: {cidr: 0.0.0.0/0}}, {allow: {cidr: '::/0'}}]}
---
id: third
---
id: crowded
limits: {agents: 4}
`
/** Deadlines of handshakes and first streams, and of heads: a busy machine keeps the neighbour for less than that, or it counts as harmed. */
export const SLOW = `${SLOWEST_MS}ms`

export type Arena = Hub &
  Ground & {
    readonly leaves: Readonly<
      Record<
        | 'evilAgent'
        | 'evilAgent2'
        | 'calmAgent'
        | 'thirdAgent'
        | 'crowdedAgent'
        | 'evil'
        | 'calm'
        | 'third'
        | 'mallory',
        Leaf
      >
    >
    readonly tokens: string
    readonly echo: Target
    /** What the client of `calm` does: a new connection to that. */
    readonly dialAsCalm: () => Promise<Duplex>
    /** The hub as a client of that cluster sees it. */
    readonly as: (leaf: Leaf) => Hub
    readonly revoke: (...serials: string[]) => Promise<void>
  }

export async function startArena(
  t: Test,
  {
    mode = 'http-connect',
    flags = [],
  }: { readonly mode?: 'http-connect' | 'grpc'; readonly flags?: string[] | ((pki: Pki) => string[]) } = {},
): Promise<Arena> {
  const pki: Pki = await makePki(t)
  const { folder, authority } = pki
  const serials: string[] = []
  const revoke = async (...more: string[]): Promise<void> => {
    serials.push(...more)
    await updateList(folder, authority, { serials, lifetimeMs: 3_600_000, nowUnixMs: Date.now() })
  }
  await revoke()
  const ca = writePair(folder, 'ca', { ...authority }, 'replace')
  const [auditLog, tokens] = [join(folder, 'audit.log'), join(folder, 'join-tokens')]
  const crl = join(folder, 'crl.pem')
  const hub = await startHub(
    t,
    () => clusters,
    [
      `--mode=${mode}`,
      `--audit-log-file=${auditLog}`,
      `--tls-handshake-timeout=${SLOW}`,
      `--agent-stream-timeout=${SLOW}`,
      `--enrolment-ca-cert=${ca.certificateFile}`,
      `--enrolment-ca-key=${ca.keyFile}`,
      `--join-tokens=${tokens}`,
      `--cluster-crl-file=${crl}`,
      `--server-crl-file=${crl}`,
      ...(typeof flags === 'function' ? flags(pki) : flags),
    ],
    pki,
  )
  const [evilAgent, evilAgent2, calmAgent, thirdAgent, crowdedAgent, evil, calm, third, mallory] = await Promise.all([
    agentLeaf(hub, 'evil'),
    agentLeaf(hub, 'evil', 'a2'),
    agentLeaf(hub, 'calm'),
    agentLeaf(hub, 'third'),
    agentLeaf(hub, 'crowded'),
    apiserverLeaf(hub, 'evil'),
    apiserverLeaf(hub, 'calm'),
    apiserverLeaf(hub, 'third'),
    userLeaf(hub, 'mallory'),
  ])
  const as = (leaf: Leaf): Hub => ({ ...hub, pki: { ...pki, apiserver: leaf } })
  await startAgent(t, { ...hub, pki: { ...pki, agent: calmAgent } }, { flags: ['--agent-id=calm-agent'] })
  const target = await listenTarget(t, echo)
  const calmDialer = dialOnOneEach(t, as(calm))
  const dialAsCalm = (): Promise<Duplex> =>
    mode === 'grpc' ? calmDialer.dial(target.address) : openTunnel(as(calm), target.address)
  const neighbour = await startNeighbour(t, dialAsCalm)
  const leaves = { evilAgent, evilAgent2, calmAgent, thirdAgent, crowdedAgent, evil, calm, third, mallory }
  return { ...hub, auditLog, neighbour, leaves, tokens, echo: target, dialAsCalm, as, revoke }
}
