/** An API server by hand, on loopback with TLS, for answers that a real one cannot be made to give: each is the test's. */
import { writeFileSync } from 'node:fs'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { Test } from 'tap'
import type { ApiAccess } from '../../src/kubernetes/access.ts'
import { type ApiClient, createApiClient } from '../../src/kubernetes/api-client.ts'
import type { Rate } from '../../src/kubernetes/turns.ts'
import { createAuthority } from '../../src/pki/authority.ts'
import { issueLeaf } from '../../src/pki/leaf.ts'
import type { Clock } from '../../src/platform/clock.ts'
import { temporaryFolder } from '../integration/certificates.ts'
import { event, within } from '../integration/deadline.ts'

const authority = await createAuthority({ trustDomain: 'hub.example' })
const leaf = await issueLeaf(authority, {
  identity: { role: 'server', id: 'api' },
  dnsNames: ['api.example'],
  ipAddresses: ['127.0.0.1'],
})
export const caPem = authority.certificatePem

export type Asked = {
  readonly method: string
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly headers: IncomingMessage['headers']
  readonly body: unknown
  /** The whole answer. */
  readonly answer: (status: number, body: object | string) => void
  readonly response: ServerResponse
}

export type ApiStandIn = {
  readonly port: number
  readonly access: ApiAccess
  /** The oldest request that the test has not seen yet. */
  readonly next: () => Promise<Asked>
  /** How many came so far. */
  readonly count: () => number
  /** Ends all connections, and takes no more. */
  readonly close: () => void
}

/** @param answer what is done with each request, where the test does not wait for them one by one */
export async function apiStandIn(t: Test, answer?: (asked: Asked) => void): Promise<ApiStandIn> {
  const unseen: Asked[] = []
  const waiting: ((asked: Asked) => void)[] = []
  let count = 0
  const server = createServer({ cert: leaf.certificatePem, key: leaf.keyPem }, async (request, response) => {
    let text = ''
    for await (const chunk of request.setEncoding('utf8')) text += chunk
    const url = new URL(request.url ?? '', 'https://api')
    const asked: Asked = {
      method: request.method ?? '',
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      headers: request.headers,
      body: text === '' ? undefined : JSON.parse(text),
      answer(status, body) {
        response.writeHead(status, { 'content-type': 'application/json' })
        response.end(typeof body === 'string' ? body : JSON.stringify(body))
      },
      response,
    }
    count++
    if (answer) return answer(asked)
    const take = waiting.shift()
    if (take) take(asked)
    else unseen.push(asked)
  })
  server.on('tlsClientError', () => undefined)
  server.listen(0, '127.0.0.1')
  const close = (): void => {
    server.close()
    server.closeAllConnections()
  }
  t.teardown(close)
  await event(server, 'listening')
  const { port } = server.address() as AddressInfo
  const tls = { ca: caPem }
  return {
    port,
    access: {
      server: new URL(`https://127.0.0.1:${port}`),
      credentials: async () => ({ headers: { authorization: 'Bearer ours' }, tls }),
    },
    next() {
      const asked = unseen.shift()
      if (asked) return Promise.resolve(asked)
      return within(new Promise<Asked>((resolve) => waiting.push(resolve)), 'a request to the API server')
    },
    count: () => count,
    close,
  }
}

/** The file by which a program finds it. @param server its address */
export function kubeconfig(t: Test, server: string): string {
  const file = join(temporaryFolder(t), 'kube.config')
  const cluster = { server, 'certificate-authority-data': Buffer.from(caPem).toString('base64') }
  const config = {
    'current-context': 'c',
    clusters: [{ name: 'k', cluster }],
    users: [{ name: 'u', user: { token: 'secret-of-the-kubeconfig' } }],
    contexts: [{ name: 'c', context: { cluster: 'k', user: 'u' } }],
  }
  writeFileSync(file, JSON.stringify(config), { mode: 0o600 })
  return file
}

const AS_FAST_AS_THEY_CAN: Rate = { qps: -1, burst: 0 }

/** A client of it. @param rate of its requests */
export function clientOf(t: Test, access: ApiAccess, clock: Clock, rate = AS_FAST_AS_THEY_CAN): ApiClient {
  const api = createApiClient({ access, clock, rate, userAgent: 'test/1' })
  t.teardown(() => api[Symbol.dispose]())
  return api
}

/** A lease as it is stored. */
export const storedLease = (name: string, resourceVersion: string, renewUnixMs: number, durationSeconds = 30) => ({
  metadata: { name, resourceVersion },
  spec: { renewTime: new Date(renewUnixMs).toISOString(), leaseDurationSeconds: durationSeconds },
})
export const leaseList = (resourceVersion: string, ...items: object[]) => ({ metadata: { resourceVersion }, items })
export const status = (code: number, reason: string, message = 'no') => ({ kind: 'Status', code, reason, message })
