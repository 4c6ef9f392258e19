/** A frontend of gRPC mode, on loopback, with its clock in the hands of the test; its one agent is the test itself. */
import { once } from 'node:events'
import type { ClientHttp2Session } from 'node:http2'
import { type AddressInfo, connect, type Socket } from 'node:net'
import { join } from 'node:path'
import { connect as connectTls } from 'node:tls'
import { Registry } from 'prom-client'
import type { Test } from 'tap'
import type { CertificateAndKey } from '../../src/pki/certificate.ts'
import { tlsProtocol } from '../../src/platform/cipher-suites.ts'
import type { AgentStream } from '../../src/proxy-server/agent-stream-owner.ts'
import { createDialing } from '../../src/proxy-server/dialing.ts'
import type { FrontendListener } from '../../src/proxy-server/frontend-listener.ts'
import type { Penalty } from '../../src/proxy-server/frontend-penalty.ts'
import type { GrpcFrontendOptions } from '../../src/proxy-server/grpc-frontend.ts'
import {
  createGrpcFrontendListener,
  type GrpcFrontendListenerOptions,
} from '../../src/proxy-server/grpc-frontend-listener.ts'
import type { ServerOptions } from '../../src/proxy-server/options.ts'
import { openTenants, type Tenants } from '../../src/proxy-server/tenants.ts'
import { createBudget } from '../../src/tunnel/budget.ts'
import type { Extensions } from '../../src/tunnel/extensions.ts'
import type { Int64 } from '../../src/tunnel/packet.ts'
import { event } from '../integration/deadline.ts'
import { openCall, overHttp2, type WireCall, type WireCallOptions } from '../integration/wire-call.ts'
import { type ManualClock, manualClock } from '../platform/manual-clock.ts'
import { type RecordedLog, recordedLog } from '../platform/recorded-log.ts'
import { type OneSession, oneSession } from '../tunnel/one-session.ts'
import { ca, leaves } from './agent-port.ts'
import { type RecordedMetrics, recordedMetrics } from './recorded-metrics.ts'
import { roomyUnread } from './roomy-unread.ts'

export type GrpcPort = {
  readonly listener: FrontendListener
  readonly clock: ManualClock
  readonly log: RecordedLog
  readonly metrics: RecordedMetrics
  readonly agent: OneSession
  /** A bare connection, without TLS. */
  readonly connect: () => Promise<Socket>
  readonly join: (who?: CertificateAndKey | 'none') => Promise<ClientHttp2Session>
  readonly call: (options?: WireCallOptions) => Promise<WireCall>
  /** A call with connection `id`, which the client has noted. */
  readonly open: (id: Int64) => Promise<WireCall>
  /** What was counted under this verb. */
  readonly counted: (verb: string) => unknown[][]
}

export type GrpcPortOptions = {
  readonly tls?: boolean
  readonly listener?: Partial<GrpcFrontendListenerOptions>
  readonly frontend?: Partial<GrpcFrontendOptions>
  readonly extensions?: Extensions
  readonly dialTimeoutMs?: number
  readonly authorise?: Parameters<typeof createDialing>[0]['authorise']
  /** There is no agent. */
  readonly alone?: boolean
  /** It is one of many clusters, over TLS; what is in their file. */
  readonly clusters?: string
  readonly penalty?: Penalty
}

export async function grpcPort(t: Test, options: GrpcPortOptions = {}): Promise<GrpcPort> {
  const { clusters, tls = clusters !== undefined, extensions } = options
  const clock = manualClock()
  const log = recordedLog()
  const metrics = recordedMetrics()
  const agent = oneSession({ role: 'server', ...(extensions && { extensions }) })
  const { session, carrier } = agent
  const tenants = clusters !== undefined && tenantsOf(t, clusters, clock, log)
  let numbers = 1_000
  const dialing = createDialing({
    clusters: {
      of: () => [],
      pick: () => (options.alone ? undefined : ({ session, pushPolicy() {} } as Partial<AgentStream> as AgentStream)),
    } as unknown as Parameters<typeof createDialing>[0]['clusters'],
    clock,
    metrics,
    random: () => 0,
    dialNumber: () => numbers++,
    timeoutMs: options.dialTimeoutMs ?? 0,
    maxPendingPerFrontend: 100,
    authorise: options.authorise ?? (() => ({ kind: 'allowed' })),
    ...(tenants && { tenants }),
  })
  const { certificatePem, keyPem } = leaves.server
  const listener = createGrpcFrontendListener(
    tls ? { cert: certificatePem, key: keyPem, ca } : undefined,
    {
      protocol: tlsProtocol('', []),
      handshakeTimeoutMs: 10_000,
      trustDomain: 'hub.example',
      maxHeaderListBytes: 16_384,
      maxCalls: 100,
      keepaliveMs: 3_600_000,
      ...(tenants && { tenants }),
      ...options.listener,
    },
    {
      options: { maxMessageBytes: 4 * 2 ** 20, maxViolations: 1_000, ...options.frontend },
      dialing,
      clock,
      log,
      metrics,
      unread: roomyUnread(),
      penalty: options.penalty,
    },
  )
  listener.server.listen(0, '127.0.0.1')
  t.teardown(() => {
    listener.server.close()
    listener.destroyAll()
    clock.advance(120_000) // whatever was to happen later
  })
  await once(listener.server, 'listening')
  const { port } = listener.server.address() as AddressInfo

  async function joinPort(who: CertificateAndKey | 'none' = leaves.user): Promise<ClientHttp2Session> {
    if (!tls) return overHttp2(t, await bare())
    const own = who !== 'none' && { cert: who.certificatePem, key: who.keyPem }
    const socket = connectTls({ host: '127.0.0.1', port, servername: 'hub.example', ca, ...own, ALPNProtocols: ['h2'] })
    t.teardown(() => socket.destroy())
    socket.on('error', () => undefined)
    await event(socket, 'secureConnect')
    return overHttp2(t, socket)
  }

  async function bare(): Promise<Socket> {
    const socket = connect(port, '127.0.0.1')
    t.teardown(() => socket.destroy())
    socket.on('error', () => undefined)
    await event(socket, 'connect')
    return socket
  }

  const call: GrpcPort['call'] = async (how) => openCall(await joinPort(), how)

  return {
    listener,
    clock,
    log,
    metrics,
    agent,
    connect: bare,
    join: joinPort,
    call,
    async open(id) {
      const opened = await call()
      const dialled = opened.dial('10.0.0.1:80', id)
      const request = await carrier.next(({ type }) => type === 'DIAL_REQ')
      session.receive(carrier, {
        type: 'DIAL_RSP',
        error: '',
        connectId: id,
        random: (request as { random: Int64 }).random,
      })
      await dialled
      clock.advance(10)
      carrier.frames()
      return opened
    },
    counted: (verb) => metrics.counted.filter(([name]) => name === verb).map(([, ...given]) => given),
  }
}

export function tenantsOf(t: Test, clusters: string, clock: ManualClock, log: RecordedLog): Tenants {
  const file = join(t.testdir({ 'clusters.yaml': clusters }), 'clusters.yaml')
  const options = { clusters: file, workers: 1 } as ServerOptions
  const processBudget = createBudget(2 ** 30)
  const tenants = openTenants(options, { clock, log, registry: new Registry(), processBudget, connections: () => 0 })
  t.teardown(() => tenants[Symbol.dispose]())
  return tenants
}
