/** The agent port of a server, on loopback, with its clock in the hands of the test; and agents made by hand. */
import { once } from 'node:events'
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect as connectHttp2,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
} from 'node:http2'
import { type AddressInfo, createServer } from 'node:net'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import type { Test } from 'tap'
import { createAuthority } from '../../src/pki/authority.ts'
import type { CertificateAndKey } from '../../src/pki/certificate.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import { tlsProtocol } from '../../src/platform/cipher-suites.ts'
import type { Policy } from '../../src/policy/policy.ts'
import {
  type AgentListener,
  type AgentListenerOptions,
  createAgentListener,
} from '../../src/proxy-server/agent-listener.ts'
import type { AgentStream, AgentStreamOptions } from '../../src/proxy-server/agent-stream-owner.ts'
import { createBegunMessages } from '../../src/proxy-server/core/begun-messages.ts'
import { createLaneTokens } from '../../src/proxy-server/lane-tokens.ts'
import { createBudget } from '../../src/tunnel/budget.ts'
import { offered, without, writeExtensions } from '../../src/tunnel/extensions.ts'
import { event, within } from '../integration/deadline.ts'
import { speakGrpc, type Wire } from '../integration/wire.ts'
import { type ManualClock, manualClock } from '../platform/manual-clock.ts'
import { type RecordedLog, recordedLog } from '../platform/recorded-log.ts'
import { roomyLimits } from '../tunnel/one-session.ts'
import { type RecordedMetrics, recordedMetrics } from './recorded-metrics.ts'

const authority = await createAuthority({ trustDomain: 'hub.example' })
const [server, agent, otherAgent, user] = await Promise.all([
  issueLeaf(authority, { identity: { role: 'server', id: 'hub-0' }, dnsNames: ['hub.example'] }),
  issueLeaf(authority, { identity: { role: 'agent', cluster: 'eu-1', name: 'a1' } }),
  issueLeaf(authority, { identity: { role: 'agent', cluster: 'eu-1', name: 'a2' } }),
  issueLeaf(authority, { identity: { role: 'user', name: 'alice' } }),
])
export const leaves = { server, agent, otherAgent, user }
export const ca = authority.certificatePem

/** The entry by which our own agent offers all it can. */
/** Of an agent, and what a server takes of it that knows of no replicas and reviews no tokens again. */
export const ours = { 'culvert-extensions': writeExtensions(offered) }
export const taken = { 'culvert-extensions': writeExtensions(without(offered, 'servers', 'new-token')) }

export type AgentPort = {
  readonly listener: AgentListener
  readonly clock: ManualClock
  readonly log: RecordedLog
  readonly metrics: RecordedMetrics
  /** Agents in the order in which they came and went. */
  readonly connected: AgentStream[]
  readonly gone: AgentStream[]
  /** Those that drain, in the order in which they said so. */
  readonly draining: AgentStream[]
  readonly port: number
}

export type AgentPortOptions = {
  readonly listener?: Partial<AgentListenerOptions>
  readonly stream?: Partial<AgentStreamOptions>
  /** Of messages that agents have not finished. */
  readonly begunBytes?: number
  /** Of what waits for agents. */
  readonly processBytes?: number
  readonly policy?: (cluster: string) => Policy | undefined
  /** Told when an agent has gone, before anybody else could ask. */
  readonly whenGone?: (agent: AgentStream) => void
}

export async function agentPort(t: Test, options: AgentPortOptions = {}): Promise<AgentPort> {
  const clock = manualClock()
  const log = recordedLog()
  const metrics = recordedMetrics()
  const connected: AgentStream[] = []
  const gone: AgentStream[] = []
  const draining: AgentStream[] = []
  const listener = createAgentListener(
    {
      material: { cert: server.certificatePem, key: server.keyPem, ca },
      protocol: tlsProtocol('', []),
      trustDomain: 'hub.example',
      handshakeTimeoutMs: 10_000,
      handshakesPerSecond: 200,
      streamTimeoutMs: 10_000,
      maxStreamsPerIdentity: 5_000,
      maxIdentifiersPerIdentity: 100_000,
      maxHeaderListBytes: 16_384,
      ...options.listener,
    },
    {
      options: {
        serverId: 's-1',
        serverCount: 3,
        maxMessageBytes: 65_536,
        heartbeatTimeoutMs: 12_000,
        streamBufferBytes: 64 * 2 ** 20,
        limits: roomyLimits,
        maxLanes: 8,
        ...options.stream,
      },
      clock,
      log,
      metrics,
      processBudget: createBudget(options.processBytes ?? 256 * 2 ** 20),
      begun: createBegunMessages(options.begunBytes ?? 64 * 2 ** 20),
      laneTokens: createLaneTokens(clock),
      policy: options.policy ?? (() => undefined),
    },
    {
      connected: (stream) => connected.push(stream),
      draining: (stream) => draining.push(stream),
      refusing: () => {},
      gone(stream) {
        gone.push(stream)
        options.whenGone?.(stream)
      },
    },
  )
  const accepting = createServer({ pauseOnConnect: true, noDelay: true }, listener.take).listen(0, '127.0.0.1')
  t.teardown(() => {
    accepting.close()
    for (const stream of connected) stream.end('UNAVAILABLE', 'the test is over', 'shutdown')
    clock.advance(60_000) // whoever is to be hung up on after a while
  })
  await once(accepting, 'listening')
  return { listener, clock, log, metrics, connected, gone, draining, port: (accepting.address() as AddressInfo).port }
}

export async function connectAgent(t: Test, port: number, who: CertificateAndKey | 'none' = agent): Promise<TLSSocket> {
  const socket = connectTls({
    host: '127.0.0.1',
    port,
    servername: 'hub.example',
    ca,
    ...(who !== 'none' && { cert: who.certificatePem, key: who.keyPem }),
    ALPNProtocols: ['h2'],
  })
  t.teardown(() => socket.destroy())
  await event(socket, 'secureConnect')
  socket.on('error', () => undefined)
  return socket
}

export type HandMadeAgent = Wire & {
  readonly socket: TLSSocket
  readonly http: ClientHttp2Session
  readonly stream: ClientHttp2Stream
  readonly answer: Promise<IncomingHttpHeaders>
  /** How the server ended the stream: gRPC's code and message. */
  readonly status: Promise<readonly [code: string, message: string]>
}

export function openStream(
  http: ClientHttp2Session,
  headers: OutgoingHttpHeaders,
): Omit<HandMadeAgent, 'http' | 'socket'> {
  const stream = http.request({
    ':method': 'POST',
    ':path': '/AgentService/Connect',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...headers,
  })
  stream.on('error', () => undefined)
  const { promise: status, resolve, reject } = Promise.withResolvers<readonly [string, string]>()
  const read = (fields: IncomingHttpHeaders): void => {
    const code = fields['grpc-status']
    if (code !== undefined) resolve([String(code), decodeURIComponent(String(fields['grpc-message'] ?? ''))])
  }
  stream.on('response', read)
  stream.on('trailers', read)
  const answer = Promise.withResolvers<IncomingHttpHeaders>()
  stream.once('response', answer.resolve)
  stream.on('close', () => {
    reject(new Error('the stream ended without a status'))
    answer.reject(new Error('the stream ended without an answer'))
  })
  status.catch(() => undefined)
  return {
    ...speakGrpc(stream),
    stream,
    answer: within(answer.promise, 'an answer'),
    status: within(status, 'a status'),
  }
}

/** @param headers instead of those of an agent that calls itself "a" */
export async function joinAgent(
  t: Test,
  port: number,
  headers: OutgoingHttpHeaders = { agentid: 'a', agentidentifiers: '', ...ours },
  who: CertificateAndKey | 'none' = agent,
): Promise<HandMadeAgent> {
  const socket = await connectAgent(t, port, who)
  const http = connectHttp2('https://hub.example', { createConnection: () => socket })
  http.on('error', () => undefined)
  t.teardown(() => http.destroy())
  const opened = openStream(http, headers)
  opened.answer.catch(() => undefined)
  opened.status.catch(() => undefined)
  return { ...opened, http, socket }
}
