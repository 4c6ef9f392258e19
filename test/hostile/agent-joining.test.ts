/**
 * Those who would be agents, of the cluster `evil` or of another: slow ones and strangers at the agent port, crowds, lanes, tokens and
 * certificates that are not theirs. Each is refused, the audit log and the metrics say so, and the cluster `calm` notices nothing. The
 * cases of docs/threat-model.md.
 */
import { X509Certificate } from 'node:crypto'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { ENROLMENT_ALPN, writeRequest } from '../../src/pki/enrolment-wire.ts'
import { createJoinToken, readJoinToken } from '../../src/pki/join-token.ts'
import { create } from '../../src/pki/token-commands/create.ts'
import { LANE_ALPN, writeHello } from '../../src/tunnel/lane.ts'
import type { Leaf } from '../integration/certificates.ts'
import { endOf, openTunnel } from '../integration/client.ts'
import { within } from '../integration/deadline.ts'
import { askHub } from '../integration/hub.ts'
import { converse, enrolments, newRequest } from '../integration/joining.ts'
import { failedHandshake, refusal, streamEnd } from '../integration/series.ts'
import { grpcMessage, type PacketOf } from '../integration/wire.ts'
import {
  allExtensions,
  connectAgentPort,
  type GrpcEnd,
  openWireAgent,
  type WireAgent,
} from '../integration/wire-agent.ts'
import { run } from '../platform/run-command.ts'
import { type Attack, withstand } from './attack.ts'
import { agentId, evilAgents, hangUp } from './evil-agents.ts'
import { startArena } from './hub.ts'
import { hungUp, stranger } from './stranger.ts'

const MEBIBYTE = 1024 * 1024
/** Of the addresses of strangers. */
const NET = 1

const hub = await startArena(t)
const { leaves } = hub
const { asAgent, registers, connectThrough } = evilAgents(hub)
const cluster = 'evil'
const principal = 'cluster/evil/agent/a1'

const slow: Attack[] = [
  {
    what: 'a handshake that never comes to its end',
    async act(t, index) {
      const socket = await stranger(t, hub.agentPort, NET, index)
      socket.write(Buffer.from([22, 3, 1, 2, 0, 1]))
      return hungUp(socket)
    },
    saw: 'hung up on',
    metric: failedHandshake('agent', 'slow'),
    audit: { event: 'agent', verdict: 'refused', reason: 'TLS handshake: slow' },
  },
  {
    what: 'bytes that are no handshake',
    async act(t, index) {
      const socket = await stranger(t, hub.agentPort, NET, index)
      socket.write('GET / HTTP/1.1\r\n\r\n')
      return hungUp(socket)
    },
    saw: 'hung up on',
    metric: failedHandshake('agent', 'failed'),
    audit: { event: 'agent', verdict: 'refused', reason: 'TLS handshake: failed' },
  },
  {
    what: 'bytes that are no HTTP/2',
    async act(t) {
      const socket = await connectAgentPort(t, hub, leaves.evilAgent, { localAddress: '127.0.1.200' }) // of whom the log has told nothing
      socket.write('GET / HTTP/1.1\r\nHost: hub\r\n\r\n'.repeat(10))
      return hungUp(socket)
    },
    saw: 'hung up on',
    metric: refusal('malformed'),
    audit: { event: 'agent', verdict: 'refused', reason: 'no HTTP/2' },
  },
  {
    what: 'a connection without a stream',
    act: async (t) => hungUp(await connectAgentPort(t, hub, leaves.evilAgent)),
    saw: 'hung up on',
    metric: refusal('slow'),
    audit: { event: 'agent', verdict: 'refused', reason: 'no stream in time' },
  },
  {
    what: 'a lane that does not show its token',
    act: async (t) => hungUp(await connectAgentPort(t, hub, leaves.evilAgent, { alpn: LANE_ALPN })),
    saw: 'hung up on',
    metric: 'culvert_server_refused_lanes_total{why="slow"}',
    audit: { event: 'agent', verdict: 'refused', reason: 'lane: slow' },
  },
  {
    what: 'messages that are begun and not finished, on more streams than may be held of',
    async act(t) {
      const half = grpcMessage(Buffer.alloc(4 * MEBIBYTE)).subarray(0, 4 * MEBIBYTE - 10)
      const agents: WireAgent[] = []
      for (let count = 0; count < 18; count++) {
        const agent = await openWireAgent(t, hub, { leaf: leaves.evilAgent, headers: { agentid: agentId() } })
        await agent.answer()
        agent.sendRaw(half)
        agents.push(agent)
      }
      const end = await Promise.race(agents.map((agent) => agent.ended()))
      await Promise.all(agents.map(hangUp))
      return end
    },
    saw: { code: 8, message: /too much is held of messages that were begun/ },
    metric: streamEnd('too_large'),
    audit: { event: 'agent-end', cluster, reason: 'too_large' },
  },
  {
    what: 'an enrolment without a request',
    act: async (t) => hungUp(await connectAgentPort(t, hub, 'none', { alpn: ENROLMENT_ALPN })),
    saw: 'hung up on',
    metric: enrolments('none', 'slow'),
    audit: { event: 'certificate', verdict: 'refused', reason: 'no request in time' },
  },
]

/** So many at once. @returns how one was refused */
async function crowd(t: Test, count: number): Promise<GrpcEnd | undefined> {
  const opened = Array.from({ length: count }, () =>
    openWireAgent(t, hub, { leaf: leaves.crowdedAgent, headers: { agentid: agentId() } }),
  )
  const agents = await Promise.all(opened)
  const taken = { code: 0, message: 'taken' }
  const ends = await Promise.all(
    agents.map((agent) =>
      Promise.race([
        agent.ended(),
        agent.answer().then(({ 'grpc-status': status }) => (status === undefined ? taken : agent.ended())),
      ]),
    ),
  )
  await Promise.all(agents.map(hangUp))
  return ends.find(({ code }) => code !== 0)
}

const crowds: Attack[] = [
  {
    what: 'more agents than the cluster may have',
    act: (t) => crowd(t, 8),
    saw: { code: 8, message: 'cluster crowded is at its limit of 4 agents' },
    metric: 'culvert_server_cluster_refusals_total{cluster="crowded",limit="agents"}',
    audit: { event: 'agent', verdict: 'refused', reason: 'cluster crowded is at its limit of 4 agents' },
  },
  {
    what: 'agents that join without end',
    act: (t) => crowd(t, 40),
    saw: { code: 8, message: /cluster crowded is at its limit of/ },
    metric: 'culvert_server_cluster_refusals_total{cluster="crowded",limit="agent_joins"}',
    audit: { event: 'agent', verdict: 'refused', reason: /agents that join one after the other/ },
  },
]

/** A token for a lane, as the hub gives it to the agent of somebody. */
async function laneToken(agent: WireAgent): Promise<Uint8Array> {
  agent.send({ type: 'LANES_WANTED', count: 1 })
  return (await agent.next('LANE_OFFER')).token
}
async function showToken(t: Test, token: Uint8Array, leaf: Leaf): Promise<string> {
  const lane = await connectAgentPort(t, hub, leaf, { alpn: LANE_ALPN })
  lane.write(writeHello(token))
  const [answer] = (await within(once(lane, 'data'), 'an answer')) as [Buffer]
  return answer.toString('hex')
}
const REFUSED = '0101'

const lanes: Attack[] = [
  {
    what: "a lane by the token of another cluster's agent",
    act: (t) =>
      asAgent(
        t,
        async (victim) => showToken(t, await laneToken(victim), leaves.evilAgent),
        allExtensions,
        leaves.thirdAgent,
      ),
    saw: REFUSED,
    metric: 'culvert_server_refused_lanes_total{why="foreign_token"}',
    audit: { event: 'agent', verdict: 'refused', reason: 'lane: foreign_token' },
  },
  {
    what: 'a lane by a token that was used, and by one that was guessed',
    act: (t) =>
      asAgent(
        t,
        async (agent) => {
          const token = await laneToken(agent)
          const first = await showToken(t, token, leaves.evilAgent)
          return [
            first,
            await showToken(t, token, leaves.evilAgent),
            await showToken(t, Buffer.alloc(16), leaves.evilAgent),
          ]
        },
        allExtensions,
      ),
    saw: ['0100', REFUSED, REFUSED],
    metric: 'culvert_server_refused_lanes_total{why="unknown_token"}',
    audit: { event: 'agent', verdict: 'refused', reason: 'lane: unknown_token' },
  },
  {
    what: 'more lanes than there may be, and a connection that moves to one that is not there',
    act: (t) =>
      asAgent(
        t,
        async (agent) => {
          for (let count = 0; count < 50; count++) agent.send({ type: 'LANES_WANTED', count: 2 ** 31 })
          const client = await connectThrough(agent, 1)
          const ended = endOf(client)
          agent.send({ type: 'MOVE', connectId: 1, carrier: 2 ** 40 })
          const { reason } = await agent.next('CLOSE_REQ')
          await ended
          const offered = new Set(
            agent.received.flatMap((packet) => (packet.type === 'LANE_OFFER' ? [String(packet.lane)] : [])),
          )
          const last = agent.received.findLast((packet) => packet.type === 'LANE_OFFER') as PacketOf<'LANE_OFFER'>
          const firstToken = agent.received.find((packet) => packet.type === 'LANE_OFFER') as PacketOf<'LANE_OFFER'>
          return [reason, offered.size > 50, last.lane > 0, await showToken(t, firstToken.token, leaves.evilAgent)]
        },
        allExtensions,
      ),
    saw: ['carrier-lost', true, true, REFUSED], // each offer takes back the oldest
    metric: 'culvert_server_refused_lanes_total{why="unknown_token"}',
    audit: { event: 'end', cluster, by: 'self', reason: 'carrier-lost' },
  },
]

/** A token of `culvert token create`. */
async function joinToken(more: readonly string[] = [], nowUnixMs?: number) {
  const argv = ['--cluster', 'evil', '--ca', hub.pki.caFile, '--tokens', hub.tokens, ...more]
  const outcome = await run(create, argv, nowUnixMs)
  return readJoinToken(outcome.kind === 'done' ? (outcome.lines[0] ?? '') : '')
}
async function enrol({ id, secret }: { readonly id: string; readonly secret: string }): Promise<string> {
  const answer = await converse(hub, writeRequest({ kind: 'join', id, secret, request: newRequest() }))
  return answer?.kind === 'refused' ? answer.why : String(answer?.kind)
}

const identities: Attack[] = [
  {
    what: 'a token that is shown twice',
    async act() {
      const token = await joinToken()
      return [await enrol(token), await enrol(token)]
    },
    saw: ['issued', 'used-token'],
    metric: enrolments('join', 'used_token'),
    audit: { event: 'certificate', rule: 'join', verdict: 'refused', reason: /used before/ },
  },
  {
    what: 'a token that has expired',
    act: async () => enrol(await joinToken(['--ttl', '1m'], Date.now() - 61_000)),
    saw: 'expired-token',
    metric: enrolments('join', 'expired_token'),
    audit: { event: 'certificate', rule: 'join', verdict: 'refused', reason: /has expired/ },
  },
  {
    what: 'a token of another hub, and one that was changed',
    async act() {
      const good = await joinToken()
      const foreign = createJoinToken(good.authority)
      return [await enrol(foreign), await enrol({ ...good, secret: foreign.secret }), await enrol(good)]
    },
    saw: ['unknown-token', 'unknown-token', 'issued'],
    metric: enrolments('join', 'unknown_token'),
    audit: { event: 'certificate', rule: 'join', verdict: 'refused', reason: /is not one of this hub/ },
  },
  {
    what: 'a user’s certificate at the agent port',
    act: (t) => registers(t, leaves.mallory),
    saw: { code: 16, message: /it is a user certificate/ },
    metric: refusal('unauthenticated'),
    audit: { event: 'agent', verdict: 'refused', reason: /it is a user certificate/ },
  },
  {
    what: 'an API server’s certificate at the agent port',
    act: (t) => registers(t, leaves.calm),
    saw: { code: 16, message: /it is an apiserver certificate/ },
    metric: refusal('unauthenticated'),
    audit: { event: 'agent', verdict: 'refused', reason: /it is an apiserver certificate/ },
  },
  {
    what: 'no certificate at all, with the name of another cluster',
    act: (t) => registers(t, 'none', { agentid: 'calm-agent', agentidentifiers: 'cluster=calm' }),
    saw: { code: 16, message: /none was sent/ },
    metric: refusal('unauthenticated'),
    audit: { event: 'agent', verdict: 'refused', reason: /none was sent/ },
  },
  {
    what: 'a certificate for calm, of a CA that is not the hub’s',
    async act(t) {
      const other = await createAuthority({ trustDomain: 'hub.example' })
      const identity = { role: 'agent', cluster: 'calm', name: 'a1' } as const
      return registers(t, await hub.pki.issue('forged', { identity }, other))
    },
    saw: { code: 16 },
    metric: refusal('unauthenticated'),
    audit: { event: 'agent', verdict: 'refused', reason: /client certificate not accepted/ },
  },
  {
    what: 'a certificate of a cluster that is not here',
    act: async (t) =>
      registers(t, await hub.pki.issue('nowhere', { identity: { role: 'agent', cluster: 'nowhere', name: 'a1' } })),
    saw: { code: 16, message: /the cluster nowhere is not one of this server/ },
    metric: 'culvert_server_unmapped_peers_total{port="agent"}',
    audit: { event: 'agent', verdict: 'refused', reason: /nowhere is not one of this server/ },
  },
  {
    what: 'the agent id of another identity',
    act: (t) => asAgent(t, () => registers(t, leaves.evilAgent2, { agentid: 'taken' }), { agentid: 'taken' }),
    saw: { code: 7, message: /this agent ID and another identity/ },
    metric: refusal('foreign_id'),
    audit: { event: 'agent', agent: 'taken', verdict: 'refused' },
  },
  {
    what: 'the agent id of another cluster’s agent, and identifiers that name its targets: no dial of calm comes',
    act: (t) =>
      asAgent(
        t,
        async (agent) => {
          const own = askHub(hub, leaves.evil, { address: hub.echo.address })
          agent.send({ type: 'DIAL_RSP', error: 'mine', connectId: 0, random: (await agent.next('DIAL_REQ')).random })
          const { body } = await own
          await (await openTunnel(hub.as(leaves.calm), hub.echo.address)).destroy()
          return [body, agent.received.filter(({ type }) => type === 'DIAL_REQ').length]
        },
        { agentid: 'calm-agent', agentidentifiers: `host=127.0.0.1&ipv4=127.0.0.1&cidr=0.0.0.0/0&default-route=true` },
      ),
    saw: ['mine', 1],
    metric: streamEnd('lost'), // it is let in: as one of its own cluster, which is all it is
    audit: { event: 'agent', agent: 'calm-agent', cluster, principal, verdict: 'allowed' },
  },
  {
    what: 'a certificate that is revoked while its agent is connected, and comes again',
    async act(t) {
      const identity = { role: 'agent', cluster: 'evil', name: 'stolen' } as const
      const stolen = await hub.pki.issue('stolen', { identity })
      const agent = await openWireAgent(t, hub, { leaf: stolen, headers: { agentid: 'stolen' } })
      await agent.answer()
      const gone = new Promise((resolve) => agent.stream.once('close', resolve))
      const revokedMs = performance.now()
      await hub.revoke(new X509Certificate(stolen.cert).serialNumber.toLowerCase())
      await within(gone, 'its stream ends')
      return [performance.now() - revokedMs < 5_000, await registers(t, stolen)]
    },
    saw: [true, { code: 16, message: /it was revoked/ }],
    metric: 'culvert_server_cut_off_connections_total{port="agent",why="revoked"}',
    audit: { event: 'cut-off', reason: 'certificate revoked' },
  },
]

withstand(hub, [...slow, ...crowds, ...lanes, ...identities])
