/**
 * Clients of the frontends, in both modes, with the credentials of the cluster `evil` or with none: each tries to reach another
 * cluster, or what its own denies, or to use up the hub. Each is refused, the audit log and the metrics say so, and the cluster `calm`
 * notices nothing. The cases of docs/threat-model.md.
 */
import { X509Certificate } from 'node:crypto'
import type { Socket } from 'node:net'
import { type ConnectionOptions, connect as connectTls } from 'node:tls'
import t, { type Test } from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import { encodePacket } from '../../src/tunnel/packet-codec.ts'
import type { Leaf } from '../integration/certificates.ts'
import {
  ask,
  connectFrontend,
  connectHead,
  echoOver,
  endOf,
  type FrontendAnswer,
  openTunnel,
} from '../integration/client.ts'
import { eventually, within } from '../integration/deadline.ts'
import { figure, figureBecomes, readFigures, SERVER } from '../integration/figures.ts'
import { askHub } from '../integration/hub.ts'
import {
  CALL_FIELDS,
  callHeaders,
  data,
  frame,
  headers as headersFrame,
  ping,
  settings,
  speakRawHttp2,
} from '../integration/raw-http2.ts'
import { failedHandshake, refusedHead } from '../integration/series.ts'
import { listenTarget, pour, stuckTarget } from '../integration/target.ts'
import { startAgent } from '../integration/tunnel.ts'
import { grpcMessage } from '../integration/wire.ts'
import { closeRequest, connectGrpcFrontend, joinFrontend, openCall, type WireCall } from '../integration/wire-call.ts'
import { type Attack, withstand } from './attack.ts'
import { type Arena, SLOW, startArena } from './hub.ts'
import { floodUnread, hungUp, stranger } from './stranger.ts'

const MEBIBYTE = 1024 * 1024
const flags = [`--connect-head-timeout=${SLOW}`]
const [http, grpc] = await Promise.all([startArena(t, { flags }), startArena(t, { mode: 'grpc' })])
for (const hub of [http, grpc]) {
  await startAgent(
    t,
    { ...hub, pki: { ...hub.pki, agent: hub.leaves.evilAgent } },
    { flags: ['--agent-id=evil-agent'] },
  )
}
const source = await listenTarget(t, pour)

const overBudget = 'culvert_server_forced_closes_total{reason="over_budget"}'
const unmapped = 'culvert_server_unmapped_peers_total{port="frontend"}'
const forbidden = 'culvert_server_forbidden_clients_total{port="frontend"}'
const atLimit = (limit: string): string => `culvert_server_cluster_refusals_total{cluster="evil",limit="${limit}"}`
const cluster = 'evil'
const principal = 'cluster/evil/apiserver'
const refused = { event: 'frontend', verdict: 'refused' }
const notAccepted = (cause: RegExp): Attack['audit'] => ({ ...refused, reason: cause })

const plain = async (hub: Arena): Promise<Leaf> => hub.pki.issue('plain', {})
const foreign = async (hub: Arena): Promise<Leaf> => {
  const authority = await createAuthority({ trustDomain: 'hub.example' })
  return hub.pki.issue('foreign', { identity: { role: 'apiserver', cluster: 'calm' } }, authority)
}

/** What a client is told of its certificate, in either mode. */
type Told = { readonly status?: number; readonly code?: number; readonly text: string }
async function told(t: Test, hub: Arena, leaf: Leaf | 'none', serverName?: string): Promise<Told> {
  if (hub === http) {
    const answer =
      leaf === 'none' ? await ask(hub, connectHead('10.0.0.1:443'), 'none') : await askHub(hub, leaf, named(serverName))
    return { status: answer.status, text: answer.body || answer.reason }
  }
  const { code, message } = await openCall(await joinFrontend(t, hub, leaf)).ended()
  return { code, text: message }
}
const named = (serverName: string | undefined) => (serverName === undefined ? {} : { serverName })

const identities = (hub: Arena): Attack[] => {
  const no = hub === http ? { status: 403 } : { code: 16 }
  const who = (what: string, leaf: () => Promise<Leaf | 'none'>, cause: RegExp, metric: string): Attack => ({
    what: `${hub === http ? 'http-connect' : 'gRPC'}: ${what}`,
    act: async (t) => told(t, hub, await leaf()),
    saw: { ...no, text: cause },
    metric,
    audit: notAccepted(cause),
  })
  return [
    who("an agent's certificate", async () => hub.leaves.evilAgent, /it is an agent certificate/, forbidden),
    who('no certificate', async () => 'none', /none was sent/, forbidden),
    who('a certificate for calm, of another CA', () => foreign(hub), /client certificate not accepted/, forbidden),
    who('a certificate that names nobody', () => plain(hub), /it names no cluster of this server/, unmapped),
  ]
}

const names: Attack[] = [
  {
    what: 'the certificate of evil with the server name of calm',
    act: (t) => told(t, http, http.leaves.evil, 'calm.hub.example'),
    saw: { status: 403, text: /another cluster than the server name that was asked for/ },
    metric: unmapped,
    audit: notAccepted(/another cluster than the server name/),
  },
  {
    what: 'a user of evil with the server name of calm',
    act: (t) => told(t, http, http.leaves.mallory, 'calm.hub.example'),
    saw: { status: 403, text: /is not of the cluster whose server name/ },
    metric: unmapped,
    audit: notAccepted(/is not of the cluster whose server name/),
  },
  {
    what: 'a client that is revoked while its tunnel is open',
    async act() {
      const leaf = await http.pki.issue('lost', { identity: { role: 'apiserver', cluster: 'evil' } })
      const tunnel = await openTunnel(http.as(leaf), http.echo.address)
      await echoOver(tunnel, 'before')
      const over = endOf(tunnel)
      const startMs = performance.now()
      await http.revoke(new X509Certificate(leaf.cert).serialNumber.toLowerCase())
      await over
      const again = await ask(http, connectHead(http.echo.address), leaf)
      return [performance.now() - startMs < 5_000, again.status]
    },
    saw: [true, 403],
    metric: 'culvert_server_cut_off_connections_total{port="frontend",why="revoked"}',
    audit: { event: 'cut-off', reason: 'certificate revoked' },
  },
]

const asked = (address: string): Promise<FrontendAnswer> => askHub(http, http.leaves.evil, { address })
const DENIED_DIALS = 'culvert_server_denied_dials_total{why="policy"}'
/** Spellings of what the policy denies, and why each is: those that only C libraries understand are nobody's names. */
const DENIED: readonly (readonly [host: string, why: string])[] = [
  ...['192.0.2.1', '[::ffff:192.0.2.1]', '[::FFFF:c000:201]'].map(
    (host) => [host, 'rule 1, deny 192.0.2.0/24'] as const,
  ),
  ...['secret.example', 'SECRET.example.'].map((host) => [host, 'rule 2, deny secret.example'] as const),
  ...['0300.0.2.1', '0xc0.0.2.1', '3221225985', '192.513', '192.0.2.1.'].map(
    (host) => [host, 'it is no name or address with a port'] as const,
  ),
]
const policy: Attack[] = [
  {
    what: 'denied addresses and names, in every spelling',
    async act() {
      const before = await readFigures(http)
      const answers: [status: number, body: string][] = []
      for (const [host] of DENIED) {
        const { status, body } = await asked(`${host}:443`)
        answers.push([status, body])
      }
      const after = await readFigures(http)
      return [answers, after.of(DENIED_DIALS) - before.of(DENIED_DIALS)]
    },
    saw: [
      DENIED.map(([, why]) => [403, `403 Forbidden: not allowed by the policy of the cluster: ${why}`]),
      DENIED.length,
    ],
    metric: DENIED_DIALS,
    audit: { event: 'dial', cluster, principal, rule: 'policy', verdict: 'refused' },
  },
  {
    what: 'a link-local address, which the agent never dials',
    act: () => asked('169.254.169.254:80'),
    saw: { status: 502, body: /link-local addresses are not allowed/ },
    metric: `${SERVER}dial_failure_count{reason="error_response"}`,
    audit: { event: 'dial', cluster, principal, outcome: 'failed', reason: /link-local/ },
  },
]

/** Requests that are more than the head of a CONNECT, or less. */
const withField = (field: string): string => `CONNECT 10.0.0.1:443 HTTP/1.1\r\n${field}\r\n\r\n`
const heading = (what: string, bytes: string, status: number, why: string): Attack => ({
  what: `a head with ${what}`,
  act: () => ask(http.as(http.leaves.evil), bytes),
  saw: { status },
  metric: refusedHead(why),
  audit: { ...refused, cluster, principal, reason: why.replaceAll('_', '-') },
})
const smuggling: Attack[] = [
  heading('Transfer-Encoding', withField('Transfer-Encoding: chunked'), 400, 'body'),
  heading('a body', `${withField('Content-Length: 5')}hello`, 400, 'body'),
  heading('a folded line', withField('A: b\r\n c'), 400, 'folded_line'),
  heading('an absolute target', connectHead('http://10.0.0.1:80/'), 400, 'target'),
  heading('another method', 'GET http://10.0.0.1/ HTTP/1.1\r\nHost: a\r\n\r\n', 405, 'method'),
  heading('16 KiB and no end', 'x'.repeat(20_000), 431, 'too_large'),
  heading('half of its bytes', 'CONNECT 10.0.0.1:443 HT', 408, 'slow'),
]

/** Of the addresses of strangers. */
const NET = 2
async function sends(t: Test, index: number, bytes: string): Promise<string> {
  const socket = await stranger(t, http.frontendPort, NET, index)
  const over = hungUp(socket)
  socket.write(Buffer.from(bytes, 'latin1'))
  return over
}
const exhaustion: Attack[] = [
  {
    what: 'a handshake that never comes to its end',
    act: (t, index) => sends(t, index, '\x16\x03\x01\x02\x00\x01'),
    saw: 'hung up on',
    metric: failedHandshake('frontend', 'slow'),
    audit: { ...refused, reason: 'TLS handshake: slow' },
  },
  {
    what: 'bytes that are no handshake',
    act: (t, index) => sends(t, index, 'CONNECT 10.0.0.1:443 HTTP/1.1\r\n\r\n'),
    saw: 'hung up on',
    metric: failedHandshake('frontend', 'failed'),
    audit: { ...refused, reason: 'TLS handshake: failed' },
  },
  {
    what: 'more dials at once than the cluster may have',
    async act(t) {
      const stuck = await stuckTarget(t)
      const waiting = await Promise.all(Array.from({ length: 8 }, () => openIdle()))
      for (const socket of waiting) socket.write(connectHead(stuck.address))
      const pending = 'culvert_server_cluster_usage{cluster="evil",limit="pending_dials"}'
      await figureBecomes(http, pending, 8)
      const answer = await asked(stuck.address)
      for (const socket of waiting) socket.destroy()
      await figureBecomes(http, pending, 0)
      return answer
    },
    saw: { status: 503, reason: /cluster evil is at its limit of 8 pending dials/ },
    metric: atLimit('pending_dials'),
    audit: { event: 'dial', cluster, principal, rule: 'limit', verdict: 'refused', reason: /8 pending dials/ },
  },
  {
    what: 'more clients than the cluster may have',
    async act() {
      // Most with tunnels: who says nothing is hung up on soon.
      const sockets: Socket[] = []
      for (let count = 0; count < 30; count++)
        sockets.push(await openTunnel(http.as(http.leaves.evil), http.echo.address))
      sockets.push(...(await Promise.all(Array.from({ length: 15 }, () => openIdle()))))
      const answer = await asked('127.0.0.1:1')
      for (const socket of sockets) socket.destroy()
      return answer
    },
    saw: { status: 503, reason: /cluster evil is at its limit of 40 clients/ },
    metric: atLimit('clients'),
    audit: { ...refused, cluster, principal, reason: 'cluster evil is at its limit of 40 clients' },
  },
  {
    what: 'clients that read nothing of what their target sends',
    async act() {
      const stalled: Socket[] = []
      for (let count = 0; count < 12; count++) {
        stalled.push(await openTunnel(http.as(http.leaves.evil), source.address))
      }
      for (const socket of stalled) socket.on('error', () => undefined).once('readable', () => undefined)
      await eventually(
        'one is given up',
        () => figure(http, overBudget),
        (count) => count > 0,
      )
      const used = await figure(http, 'culvert_server_cluster_usage{cluster="evil",limit="buffered_bytes"}')
      for (const socket of stalled) socket.destroy()
      return used <= MEBIBYTE
    },
    saw: true,
    metric: overBudget,
    audit: { event: 'end', cluster, principal, by: 'self', reason: 'over-budget' },
  },
]
/** Handshakes in all, and how many at once: more than may wait for their turns, where they have to. */
const [HANDSHAKES, AT_ONCE] = [600, 60]
/** @returns whether the client of calm was answered all the while */
async function floodOfHandshakes(
  hub: Arena,
  leaf: Leaf | 'none',
  localAddress: string,
  isOver: (begun: number) => boolean,
  leave: 'in order' | 'broken off' = 'in order',
): Promise<boolean> {
  let begun = 0
  let underWay = AT_ONCE
  async function comeAndGo(): Promise<void> {
    while (!isOver(begun++)) await handshakeAndLeave(hub, leaf, localAddress, leave)
    underWay--
  }
  const flood = Promise.all(Array.from({ length: AT_ONCE }, comeAndGo))
  let answered = 0
  for (; underWay > 0; answered++) {
    const tunnel = await hub.dialAsCalm()
    await echoOver(tunnel, `answer ${answered}`)
    tunnel.destroy()
  }
  await flood
  return answered > 0
}
async function handshakeAndLeave(
  hub: Arena,
  leaf: Leaf | 'none',
  localAddress: string,
  leave: 'in order' | 'broken off',
): Promise<void> {
  const socket = connectTls({
    host: '127.0.0.1',
    port: hub.frontendPort,
    localAddress,
    ca: hub.pki.authority.certificatePem,
    ALPNProtocols: [hub === http ? 'http/1.1' : 'h2'],
    ...(leaf !== 'none' && { cert: leaf.cert, key: leaf.key }),
  } as ConnectionOptions)
  socket.on('error', () => undefined)
  socket.once('secureConnect', () => {
    if (leave === 'in order') socket.end().resume()
    else socket.destroy() // for the hub it may not have finished
  })
  await within(new Promise((resolve) => socket.once('close', resolve)), 'it has gone')
}
/** Each from an address of its own: the audit log tells of the same again once in a while only. */
const FLOODS = [
  ['a flood of handshakes of clients that say nothing and hang up', 'in order', 0],
  ['a flood of handshakes of clients that break off as soon as they can', 'broken off', 2],
] as const
/** The last numbers of the address that each comes from: see NET. Those of evil's client are in `addresses` of the hub's file. */
const handshakes = (hub: Arena, last: number): Attack[] => [
  ...FLOODS.map(([what, leave, further]) => ({
    what: `${hub === http ? 'http-connect' : 'gRPC'}: ${what}`,
    async act() {
      const turnedAway = failedHandshake('frontend', 'too_many')
      const before = await figure(hub, turnedAway)
      let isOver = false
      const flood = floodOfHandshakes(hub, hub.leaves.evil, `127.0.${NET}.${last + further}`, () => isOver, leave)
      await eventually(
        'some are turned away',
        () => figure(hub, turnedAway),
        (count) => count > before,
      )
      isOver = true
      return flood
    },
    saw: true,
    metric: failedHandshake('frontend', 'too_many'),
    audit: { ...refused, source: `127.0.${NET}.${last + further}`, reason: 'TLS handshake: too many' },
  })),
  {
    what: `${hub === http ? 'http-connect' : 'gRPC'}: a flood of handshakes without a certificate`,
    act: () => floodOfHandshakes(hub, 'none', `127.0.${NET}.${last}`, (begun) => begun >= HANDSHAKES),
    saw: true,
    metric: forbidden,
    audit: { ...refused, source: `127.0.${NET}.${last}`, reason: /none was sent/ },
  },
]
async function openIdle(): Promise<Socket> {
  return (await connectFrontend(http.as(http.leaves.evil))).on('error', () => undefined)
}

/** A call of evil on a connection of its own. */
const call = async (t: Test): Promise<WireCall> => openCall(await joinFrontend(t, grpc, grpc.leaves.evil))
const violations = (kind: string): string => `culvert_server_client_violations_total{kind="${kind}"}`
const broken = `${SERVER}stream_errors_total{segment="from_client",code="ResourceExhausted",packet_type="Unknown"}`
const speak = async (t: Test) => {
  const raw = speakRawHttp2(await connectGrpcFrontend(t, grpc, grpc.leaves.evil), { polite: false })
  await raw.next(({ type }) => type === 'SETTINGS')
  return raw
}

const flooding = (what: string, first: Buffer, one: Buffer): Attack => ({
  what: `gRPC: a flood of ${what}`,
  act: async (t) => floodUnread(await speak(t), first, one),
  saw: 'hung up on',
  metric: refusedHead('malformed'),
  audit: { ...refused, cluster, principal, reason: 'malformed' },
})

const calls: Attack[] = [
  {
    what: 'gRPC: data and closes for the connections of others',
    async act(t) {
      const [one, other] = [await call(t), await call(t)]
      one.send({ type: 'DATA', connectId: 1, error: '', data: Buffer.from('x') })
      other.send(closeRequest(2))
      return [(await one.next('CLOSE_RSP')).error, (await other.next('CLOSE_RSP')).error]
    },
    saw: ['backend not initialized', 'backend uninitialized'],
    metric: violations('unknown_connection'),
    audit: { event: 'violation', cluster, principal, reason: 'unknown-connection' },
  },
  {
    what: 'gRPC: packets that mean nothing, by the thousand',
    async act(t) {
      const one = await call(t)
      for (let count = 0; count < 1_100; count++) one.sendMessage(Buffer.from([8, 63]))
      return one.ended()
    },
    saw: { code: 8, message: 'too many packets that mean nothing here' },
    metric: broken,
    audit: { ...refused, cluster, principal, reason: 'too many packets that mean nothing here' },
  },
  {
    what: 'gRPC: a packet over the maximum',
    async act(t) {
      const one = await call(t)
      one.sendMessage(Buffer.alloc(4 * MEBIBYTE + 1))
      return one.ended()
    },
    saw: { code: 8, message: /larger than max/ },
    metric: broken,
    audit: { ...refused, cluster, principal, reason: /larger than max/ },
  },
  {
    what: 'gRPC: messages that are begun and not finished, in more calls than may be held',
    async act(t) {
      const half = grpcMessage(Buffer.alloc(4 * MEBIBYTE)).subarray(0, 4 * MEBIBYTE - 10)
      const begun: WireCall[] = []
      for (let count = 0; count < 18; count++) {
        begun.push(await call(t))
        begun.at(-1)!.sendRaw(half)
      }
      return Promise.race(begun.map((one) => one.ended()))
    },
    saw: { code: 8, message: /too much is held of messages that were begun/ },
    metric: broken,
    audit: { ...refused, cluster, principal, reason: /too much is held of messages that were begun/ },
  },
  {
    what: 'gRPC: a connection that says nothing',
    async act(t) {
      const socket = await connectGrpcFrontend(t, grpc, grpc.leaves.evil)
      await endOf(socket)
      return 'hung up on'
    },
    saw: 'hung up on',
    metric: refusedHead('slow'),
    audit: { ...refused, cluster, principal, reason: 'slow' },
  },
  {
    what: 'gRPC: PINGs of the tunnel and other packets of agents',
    async act(t) {
      const one = openCall(await joinFrontend(t, grpc, grpc.leaves.mallory)) // of whom the log has told nothing yet
      one.sendMessage(encodePacket({ type: 'PING', nonce: 1 }))
      one.send({ type: 'DRAIN' }, { type: 'DIAL_RSP', error: '', connectId: 1, random: 1 })
      one.send({ type: 'DIAL_REQ', protocol: 'tcp', address: '10.0.0.1:1', random: 7 }) // answered behind whatever they are
      await one.next('DIAL_RSP')
      return one.received.map(({ type }) => type)
    },
    saw: ['DIAL_RSP'],
    metric: violations('unexpected'),
    audit: { event: 'violation', cluster, principal: 'user/mallory', reason: 'unexpected' },
  },
  flooding('PINGs', Buffer.alloc(0), ping()),
  flooding('SETTINGS', Buffer.alloc(0), settings()),
  flooding('CONTINUATION', headersFrame(1, CALL_FIELDS, 0), frame('CONTINUATION', 0, 1)),
  flooding('DATA without bytes', callHeaders(1), data(1, Buffer.alloc(0))),
]

withstand(http, [...identities(http), ...names, ...policy, ...smuggling, ...exhaustion, ...handshakes(http, 200)])
withstand(grpc, [...identities(grpc), ...calls, ...handshakes(grpc, 201)])
